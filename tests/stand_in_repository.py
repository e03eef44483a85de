"""A repository of the stand-in Hub: branches and tags that name immutable snapshots."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

URL_PREFIX = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}


class Refusal(Exception):
    """An answer that is an error; `code` is what clients read from the header `X-Error-Code`."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message}
        if code:
            self.headers["X-Error-Code"] = code
        if commit:
            self.headers["X-Repo-Commit"] = commit


@dataclass(frozen=True)
class Commit:
    """One state of all files; `lfs` are the paths whose bytes came by LFS, `parent` is empty for the first commit."""

    message: str
    parent: str
    files: dict[str, bytes]
    lfs: frozenset[str]

    @property
    def id(self) -> str:
        """40 hexadecimal digits that depend on message, files and all that came before."""
        entries = sorted(f"{path} {git_hash(data)}" for path, data in self.files.items())
        return hashlib.sha1("\n".join([self.parent, self.message, *entries]).encode()).hexdigest()

    def etag(self, path: str) -> str:
        """What names a file's content: SHA-256 for an LFS file, or else the hash that git gives it."""
        data = self.files[path]
        return hashlib.sha256(data).hexdigest() if path in self.lfs else git_hash(data)

    def entry(self, path: str) -> dict[str, Any]:
        """Describe a file or a folder as the Hub's tree does."""
        if path not in self.files:
            below = "\n".join(sorted(file for file in self.files if file.startswith(f"{path}/")))
            return {"type": "directory", "path": path, "oid": git_hash(below.encode()), "size": 0}
        size = len(self.files[path])
        entry = {"type": "file", "path": path, "size": size, "oid": self.etag(path)}
        if path in self.lfs:
            pointer = (
                f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.etag(path)}\nsize {size}\n".encode()
            )
            lfs = {"oid": self.etag(path), "size": size, "pointerSize": len(pointer)}
            entry |= {"oid": git_hash(pointer), "lfs": lfs}
        return entry

    def tree(self, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """List what is in a folder (empty: at the root); without `recursive` one level."""
        start = f"{folder}/" if folder else ""
        paths = set(self.files) | {parent for path in self.files for parent in parents(path)}
        inside = sorted(path for path in paths if path.startswith(start))
        if folder and not inside:
            raise Refusal(404, f"There is no folder {folder}.", "EntryNotFound", self.id)
        return [self.entry(path) for path in inside if recursive or "/" not in path[len(start) :]]


@dataclass
class Repository:
    """Commits (oldest first), the commit ids that branches and tags stand for, and `created`: the request as sent."""

    kind: str  # a key of URL_PREFIX
    name: str
    created: dict[str, Any]
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = Commit("initial commit", "", {".gitattributes": b"*.parquet filter=lfs\n"}, frozenset())
        self.commits.append(first)
        self.branches["main"] = first.id

    @property
    def private(self) -> bool:
        """Whether only its owner may read it."""
        return self.created.get("visibility") == "private"

    @property
    def path(self) -> str:
        """Where its page is on the Hub."""
        return f"{URL_PREFIX[self.kind]}{self.name}"

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Return the files at a branch, tag or commit id."""
        return self.commit(revision).files

    def commit(self, revision: str = "main") -> Commit:
        """Return the commit that a branch, a tag or a commit id names."""
        wanted = self.branches.get(revision) or self.tags.get(revision) or revision
        for commit in self.commits:
            if commit.id == wanted:
                return commit
        raise Refusal(404, f"There is no revision {revision}.", "RevisionNotFound")

    def add_commit(self, branch: str, lines: list[dict[str, Any]], uploads: dict[str, bytes]) -> Commit:
        """Commit to a branch what the lines of a commit request say; `uploads` are LFS contents by SHA-256."""
        if branch not in self.branches:
            raise Refusal(404, f"There is no branch {branch}.", "RevisionNotFound")
        parent = self.commit(branch)
        header = lines[0]["value"]
        if header.get("parentCommit", parent.id) != parent.id:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files, lfs = dict(parent.files), set(parent.lfs)
        for line in lines[1:]:
            _apply(line["key"], line["value"], files, lfs, uploads)
        commit = Commit(header["summary"], parent.id, files, frozenset(lfs & set(files)))
        self.commits.append(commit)
        self.branches[branch] = commit.id
        return commit


def _apply(key: str, value: dict[str, Any], files: dict[str, bytes], lfs: set[str], uploads: dict[str, bytes]) -> None:
    path = value["path"]
    if key == "file":
        files[path] = base64.b64decode(value["content"])
        lfs.discard(path)
    elif key == "lfsFile" and value["oid"] in uploads:
        files[path] = uploads[value["oid"]]
        lfs.add(path)
    elif key == "deletedFile" and path in files:
        del files[path]
    elif key == "deletedFolder":
        for inside in [file for file in files if file.startswith(f"{path.rstrip('/')}/")]:
            del files[inside]
    elif key == "deletedFile":
        raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    else:
        raise Refusal(400, f"The commit holds a {key!r} of {path} that cannot be carried out.")


def git_hash(data: bytes) -> str:
    """Return the hash that git gives to a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def parents(path: str) -> list[str]:
    """List the folders that a file lies in."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
