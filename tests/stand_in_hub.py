"""A small stand-in of the HuggingFace Hub: it answers the clients' real HTTP requests from memory.

    with StandInHub() as hub:
        hub.run("-m", "dataset_scripts.publish", "mmnerd", "user/mmnerd", home=tmp_path)
        hub.repo("datasets", "user/mmnerd").files()["README.md"]

There is one user, `user`, with one token. Large files travel by LFS: the stand-in does not speak Xet, which
`environment` and `connect` therefore switch off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import close_session, constants

from tests.stand_in_repository import Commit, Refusal, Repository

ROOT = Path(__file__).resolve().parents[1]
USER, TOKEN = "user", "hf_stand_in"
LARGE = 10 * 2**20  # bytes; from here on a text file travels by LFS, too
DATE = "2026-01-01T00:00:00.000Z"
FOREIGN_SETTINGS = ("HF_", "HUGGING", "TRANSFORMERS_", "PYTHON", "PYTEST", "COV_")


class StandInHub(ThreadingHTTPServer):
    """The server; `requests` lists what was asked, as "GET /path", in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.lock = Lock()

    def __enter__(self) -> StandInHub:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()

    def repo(self, kind: str, name: str) -> Repository:
        """Return a repository; `kind` is "models", "datasets" or "spaces"."""
        return self.repositories[kind, name]

    def environment(self, home: Path, token: str | None = TOKEN) -> dict[str, str]:
        """The environment of a client process with its cache in `home`; without `token` it is not signed in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
        settings = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        settings |= {"HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
        return kept | settings | ({"HF_TOKEN": token} if token else {})

    def run(
        self, *arguments: str, home: Path, token: str | None = TOKEN, cwd: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments as a client in a process of its own."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=self.environment(home, token),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def connect(self, patch: pytest.MonkeyPatch, home: Path, token: str | None = TOKEN) -> None:
        """Let a new `HfApi` in this process talk to the stand-in; other libraries keep copies of these settings."""
        settings = {"ENDPOINT": self.url, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}
        settings["HUGGINGFACE_CO_URL_TEMPLATE"] = f"{self.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        settings |= {"HF_TOKEN_PATH": str(home / "token"), "HF_HUB_CACHE": str(home / "hub")}
        for name, value in settings.items():
            patch.setattr(constants, name, value)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("HF_TOKEN", token or "")
        patch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        close_session()  # it has read the proxies


@dataclass(frozen=True)
class Request:
    """One request; `parts` are what its route took from the path."""

    hub: StandInHub
    parts: dict[str, str]
    query: dict[str, list[str]]
    headers: Any
    body: bytes
    signed_in: bool

    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.body)

    def repo(self) -> Repository:
        """Find the repository to read; a private one is absent for those who are not signed in."""
        found = self.hub.repositories.get((self.parts["kind"] or "models", self.parts["name"]))
        if found is None or (found.private and not self.signed_in):
            raise Refusal(404 if self.signed_in else 401, "Repository not found", "RepoNotFound")
        return found

    def repo_to_write(self) -> Repository:
        """Find the repository to change."""
        self.check_owner(self.parts["name"])
        return self.repo()

    def check_owner(self, name: str = f"{USER}/") -> None:
        """Refuse those who are not signed in, and names that belong to others."""
        if not self.signed_in:
            raise Refusal(401, "Invalid username or password.")
        if not name.startswith(f"{USER}/"):
            raise Refusal(403, f"You don't have the rights to write to {name}")

    def commit(self) -> Commit:
        """Find the commit to read."""
        return self.repo().commit(self.parts.get("revision") or "main")


@dataclass(frozen=True)
class Reply:
    """One answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def _json(data: Any, status: int = 200) -> Reply:
    return Reply(json.dumps(data).encode(), status, {"Content-Type": "application/json"})


def _who_am_i(request: Request) -> Reply:
    request.check_owner()
    return _json({"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}})


def _validate_yaml(request: Request) -> Reply:
    return _json({"errors": [], "warnings": []})


def _create_repo(request: Request) -> Reply:
    created = request.json()
    key = (f"{created.get('type', 'model')}s", f"{created.get('organization') or USER}/{created['name']}")
    request.check_owner(key[1])
    exists = key in request.hub.repositories
    repo = request.hub.repositories.setdefault(key, Repository(*key, created))
    return _json({"url": f"{request.hub.url}/{repo.path}", "name": repo.name, "id": repo.name}, 409 if exists else 200)


def _info(request: Request) -> Reply:
    repo, commit = request.repo(), request.commit()
    info = {"id": repo.name, "author": repo.name.split("/")[0], "sha": commit.id, "private": repo.private, "tags": []}
    info |= {"gated": False, "disabled": False, "lastModified": DATE, "createdAt": DATE, "downloads": 0, "likes": 0}
    return _json(info | {"siblings": [{"rfilename": path} for path in sorted(commit.files)]})


def _tree(request: Request) -> Reply:
    recursive = request.query.get("recursive", [""])[0].lower() in ("1", "true")
    return _json(request.commit().tree(request.parts["path"] or "", recursive))


def _paths_info(request: Request) -> Reply:
    is_form = "form" in request.headers["Content-Type"]
    paths = parse_qs(request.body.decode())["paths"] if is_form else request.json()["paths"]
    commit = request.commit()
    known = {entry["path"] for entry in commit.tree("", recursive=True)}
    return _json([commit.entry(path) for path in paths if path in known])


def _preupload(request: Request) -> Reply:
    commit = request.repo_to_write().commit(request.parts["revision"])
    answers = []
    for file in request.json()["files"]:
        path = file["path"]
        is_binary = path.endswith(".parquet") or b"\0" in base64.b64decode(file["sample"])
        mode = "lfs" if is_binary or file["size"] >= LARGE else "regular"
        oid = {"oid": commit.etag(path)} if path in commit.files else {}
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | oid)
    return _json({"files": answers})


def _lfs_batch(request: Request) -> Reply:
    request.repo_to_write()
    objects = []
    for wanted in request.json()["objects"]:
        place = {"href": f"{request.hub.url}/lfs/{wanted['oid']}"}
        stored = wanted["oid"] in request.hub.uploads
        objects.append(wanted | ({} if stored else {"actions": {"upload": place, "verify": place}}))
    return _json({"transfer": "basic", "objects": objects})


def _lfs_upload(request: Request) -> Reply:
    if hashlib.sha256(request.body).hexdigest() != request.parts["oid"]:
        raise Refusal(400, "The content does not have the SHA-256 that was announced")
    request.hub.uploads[request.parts["oid"]] = request.body
    return Reply()


def _lfs_verify(request: Request) -> Reply:
    asked = request.json()
    if len(request.hub.uploads.get(asked["oid"], b"")) != asked["size"]:
        raise Refusal(404, "There is no such upload")
    return Reply()


def _commit(request: Request) -> Reply:
    repo = request.repo_to_write()
    if "create_pr" in request.query:
        raise Refusal(400, "Pull requests are beyond this stand-in")
    lines = [json.loads(line) for line in request.body.splitlines()]
    commit = repo.add_commit(request.parts["revision"], lines, request.hub.uploads)
    url = f"{request.hub.url}/{repo.path}/commit/{commit.id}"
    return _json({"success": True, "commitOid": commit.id, "commitUrl": url})


def _refs(request: Request) -> Reply:
    repo = request.repo()
    listed = {
        kind: [{"name": name, "ref": f"refs/{place}/{name}", "targetCommit": oid} for name, oid in names.items()]
        for kind, place, names in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags))
    }
    return _json(listed | {"converts": []})


def _add_ref(request: Request) -> Reply:
    """Make a branch at `startingPoint`, or a tag at the revision of the path."""
    repo, parts = request.repo_to_write(), request.parts
    is_tag = parts["ref"] == "tag"
    refs, name = (repo.tags, request.json()["tag"]) if is_tag else (repo.branches, parts["revision"])
    if name in refs:
        raise Refusal(409, f"Reference {name} exists already")
    refs[name] = repo.commit(parts["revision"] if is_tag else request.json().get("startingPoint", "main")).id
    return _json({})


def _delete_ref(request: Request) -> Reply:
    repo = request.repo_to_write()
    if not (repo.tags if request.parts["ref"] == "tag" else repo.branches).pop(request.parts["revision"], ""):
        raise Refusal(404, "There is no such reference", "RevisionNotFound")
    return _json({})


def _resolve(request: Request) -> Reply:
    commit, path = request.commit(), request.parts["path"]
    if path not in commit.files:
        raise Refusal(404, f"Entry not found: {path}", "EntryNotFound", commit.id)
    data, etag = commit.files[path], f'"{commit.etag(path)}"'
    headers = {"X-Repo-Commit": commit.id, "ETag": etag, "Accept-Ranges": "bytes"}
    if path in commit.lfs:
        headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(len(data))}
    if not (wanted := re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))):
        return Reply(data, 200, headers)
    first, last = wanted.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    end = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= end:
        return Reply(b"", 416, headers | {"Content-Range": f"bytes */{len(data)}"})
    return Reply(data[start:end], 206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})


API = "/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+(?:/[^/]+)??)"
PAGE = "/(?:(?P<kind>datasets|spaces)/)?(?P<name>[^/]+(?:/[^/]+)??)"
REVISION = "(?P<revision>[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", _who_am_i),
    ("POST", "/api/validate-yaml", _validate_yaml),
    ("POST", "/api/repos/create", _create_repo),
    ("GET", f"{API}(?:/revision/{REVISION})?", _info),
    ("GET", f"{API}/tree/{REVISION}(?:/(?P<path>.+))?", _tree),
    ("POST", f"{API}/paths-info/{REVISION}", _paths_info),
    ("POST", f"{API}/preupload/{REVISION}", _preupload),
    ("POST", f"{PAGE}.git/info/lfs/objects/batch", _lfs_batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", _lfs_upload),
    ("POST", "/lfs/(?P<oid>[0-9a-f]{64})", _lfs_verify),
    ("POST", f"{API}/commit/{REVISION}", _commit),
    ("GET", f"{API}/refs", _refs),
    ("POST", f"{API}/(?P<ref>tag|branch)/{REVISION}", _add_ref),
    ("DELETE", f"{API}/(?P<ref>tag|branch)/{REVISION}", _delete_ref),
    ("GET", f"{PAGE}/resolve/{REVISION}/(?P<path>.+)", _resolve),
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go out separately; the second must not wait for the first's echo
    server: StandInHub

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            reply = self._reply(body)
        except Refusal as refusal:
            reply = Reply(json.dumps({"error": str(refusal)}).encode(), refusal.status, refusal.headers)
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def _reply(self, body: bytes) -> Reply:
        url = urlsplit(self.path)
        method = "GET" if self.command == "HEAD" else self.command
        with self.server.lock:
            self.server.requests.append(f"{self.command} {unquote(url.path)}")
            signed_in = self._is_signed_in()
            for known, pattern, action in ROUTES:
                if known == method and (match := re.fullmatch(pattern, url.path)):
                    parts = {name: part and unquote(part) for name, part in match.groupdict().items()}
                    return action(Request(self.server, parts, parse_qs(url.query), self.headers, body, signed_in))
        raise Refusal(404, f"The stand-in has no route for {self.command} {url.path}")

    def _is_signed_in(self) -> bool:
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            raise Refusal(401, "Invalid credentials in Authorization header")
        return given is not None

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet; `StandInHub.requests` holds what was asked."""
