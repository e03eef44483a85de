"""The stand-in Hub behaves as huggingface_hub expects of the real one."""

from __future__ import annotations

import hashlib
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

PUSH = """
import sys
from huggingface_hub import HfApi

api = HfApi()
api.create_repo("user/tiny", private=True)
print(api.upload_folder(repo_id="user/tiny", folder_path=sys.argv[1], commit_message="Push").oid)
api.create_tag("user/tiny", tag="v1.0")
"""
PULL = """
import sys
from huggingface_hub import snapshot_download

print(snapshot_download("user/tiny", revision="v1.0"))
"""
WORDS = b"0123456789"
BINARY = bytes(range(200))


@pytest.fixture
def connect(hub, monkeypatch, tmp_path):
    """Make a client in this process; None is one that is not signed in."""

    def make(*token):
        hub.connect(monkeypatch, tmp_path, *token)
        return HfApi()

    return make


@pytest.fixture
def api(connect):
    """A client that has made the model `user/x`, with a text and a binary file."""
    client = connect()
    client.create_repo("user/x")
    commit(client, {"words.txt": WORDS, "deep/er/weights.bin": BINARY})
    return client


def commit(client, files, repo="user/x", message="Add", **options):
    operations = [
        CommitOperationAdd(path, data) if data is not None else CommitOperationDelete(path)
        for path, data in files.items()
    ]
    return client.create_commit(repo, operations, commit_message=message, **options)


def get(hub, path, method="GET", **headers):
    return urlopen(Request(f"{hub.url}/{path}", method=method, headers=headers))


def test_a_model_and_its_processor_travel_between_processes(hub, model, processor, tmp_path):
    for part in (model, processor):
        part.save_pretrained(tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    pushed = hub.run("-c", PUSH, str(tmp_path / "saved"), home=tmp_path / "author")
    assert pushed.returncode == 0, pushed.stderr
    repo = hub.repo("models", "user/tiny")
    assert repo.tags == {"v1.0": pushed.stdout.strip()} and repo.private
    assert [commit.message for commit in repo.commits] == ["initial commit", "Push"]
    assert {name: data for name, data in repo.files("v1.0").items() if name != ".gitattributes"} == files
    assert repo.commit().lfs == {"model.safetensors"}
    pulled = hub.run("-c", PULL, home=tmp_path / "reader")
    assert pulled.returncode == 0, pulled.stderr
    snapshot = tmp_path / "reader" / "hub" / "models--user--tiny" / "snapshots" / repo.tags["v1.0"]
    assert pulled.stdout.strip() == str(snapshot)
    assert {path.name: path.read_bytes() for path in snapshot.iterdir() if path.name != ".gitattributes"} == files
    stranger = hub.run("-c", PULL, home=tmp_path / "stranger", token=None)
    assert stranger.returncode == 1 and "RepositoryNotFoundError" in stranger.stderr


def test_commits_are_immutable_and_have_names(hub, api):
    first = hub.repo("models", "user/x").commit().id
    api.create_tag("user/x", tag="v1.0")
    api.create_branch("user/x", branch="try/this", revision="v1.0")
    commit(api, {"words.txt": None, "more.txt": b"more"})
    aside = commit(api, {"aside.txt": b"aside"}, revision="try/this").oid
    refs = api.list_repo_refs("user/x")
    last = hub.repo("models", "user/x").commit().id
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": last, "try/this": aside}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1.0": first}
    old = [".gitattributes", "deep/er/weights.bin", "words.txt"]
    assert api.list_repo_files("user/x", revision="v1.0") == api.list_repo_files("user/x", revision=first) == old
    assert api.list_repo_files("user/x") == [".gitattributes", "deep/er/weights.bin", "more.txt"]
    assert "aside.txt" in api.list_repo_files("user/x", revision="try/this")
    assert api.model_info("user/x", revision="try/this").sha == aside
    api.delete_tag("user/x", tag="v1.0")
    api.delete_branch("user/x", branch="try/this")
    assert hub.repo("models", "user/x").tags == {} and list(hub.repo("models", "user/x").branches) == ["main"]


def test_what_is_there_already_is_not_made_again(hub, api):
    api.create_repo("user/x", exist_ok=True, private=True)
    assert not hub.repo("models", "user/x").private
    assert commit(api, {"words.txt": WORDS}).oid == hub.repo("models", "user/x").commits[-1].id
    assert len(hub.repo("models", "user/x").commits) == 2
    api.create_tag("user/x", tag="v1.0")
    for repeat in (
        lambda: api.create_repo("user/x"),
        lambda: api.create_tag("user/x", tag="v1.0"),
        lambda: commit(api, {"words.txt": b""}, parent_commit=hub.repo("models", "user/x").commits[0].id),
    ):
        with pytest.raises(HfHubHTTPError, match=r"409|412"):
            repeat()


def test_what_is_not_there_has_the_errors_that_clients_know(api):
    for error, ask in (
        (RepositoryNotFoundError, lambda: api.model_info("user/y")),
        (RepositoryNotFoundError, lambda: api.dataset_info("user/x")),
        (RevisionNotFoundError, lambda: api.model_info("user/x", revision="v2")),
        (RemoteEntryNotFoundError, lambda: list(api.list_repo_tree("user/x", "shallow"))),
        (RemoteEntryNotFoundError, lambda: api.hf_hub_download("user/x", "no.txt")),
        (RemoteEntryNotFoundError, lambda: commit(api, {"no.txt": None})),
    ):
        with pytest.raises(error):
            ask()
    assert not api.file_exists("user/x", "no.txt") and api.file_exists("user/x", "words.txt")


def test_trees_and_paths(api):
    def described(entries):
        return {entry.path: getattr(entry, "size", None) for entry in entries}

    weights = "deep/er/weights.bin"
    assert described(api.list_repo_tree("user/x")) == {".gitattributes": 21, "deep": None, "words.txt": 10}
    assert described(api.list_repo_tree("user/x", "deep", recursive=True)) == {"deep/er": None, weights: 200}
    (folder, file) = api.get_paths_info("user/x", ["deep", weights, "no.txt"])
    assert folder.path == "deep" and file.lfs.sha256 == hashlib.sha256(BINARY).hexdigest()
    commit(api, {"deep/": None})
    assert described(api.list_repo_tree("user/x", recursive=True)) == {".gitattributes": 21, "words.txt": 10}


def test_only_the_owner_writes_and_reads_what_is_private(hub, api, connect):
    api.create_repo("user/secret", repo_type="dataset", private=True)
    assert api.dataset_info("user/secret").private and api.whoami()["name"] == "user"
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("someone/x")
    stranger = connect(None)
    assert stranger.model_info("user/x").sha and stranger.file_exists("user/x", "words.txt")
    with pytest.raises(RepositoryNotFoundError, match="401"):
        stranger.dataset_info("user/secret")
    with pytest.raises(HTTPError, match="401"):
        get(hub, "datasets/user/secret/resolve/main/.gitattributes")
    for write in (lambda: stranger.create_repo("user/y"), lambda: commit(stranger, {"words.txt": b""})):
        with pytest.raises(HfHubHTTPError, match="401"):
            write()
    with pytest.raises(HfHubHTTPError, match="401"):
        connect("hf_wrong").model_info("user/x")
    assert len(hub.repo("models", "user/x").commits) == 2


def test_files_come_whole_and_in_part(hub, api):
    sha = hub.repo("models", "user/x").commit().id
    for wanted, part in (("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=8-99", b"89")):
        with get(hub, "user/x/resolve/main/words.txt", Range=wanted) as reply:
            assert (reply.status, reply.read()) == (206, part)
            start = WORDS.index(part)
            assert reply.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/10"
    with pytest.raises(HTTPError, match="416"):
        get(hub, "user/x/resolve/main/words.txt", Range="bytes=10-")
    with get(hub, f"user/x/resolve/{sha}/deep/er/weights.bin", method="HEAD") as reply:
        assert reply.headers["Content-Length"] == reply.headers["X-Linked-Size"] == "200" and reply.read() == b""
        assert reply.headers["X-Linked-Etag"] == f'"{hashlib.sha256(BINARY).hexdigest()}"'
        assert reply.headers["X-Repo-Commit"] == sha


def test_uploads_must_be_what_was_announced(hub):
    with pytest.raises(HTTPError, match="400"):
        urlopen(Request(f"{hub.url}/lfs/{'0' * 64}", b"other", method="PUT"))
    assert hub.uploads == {}


def test_spaces_and_data_sets_are_apart_from_models(hub, api):
    api.create_repo("x", repo_type="space", space_sdk="gradio")
    api.create_repo("user/x", repo_type="dataset")
    commit(api, {"app.py": b"1"}, repo_type="space")
    assert hub.repo("spaces", "user/x").created["sdk"] == "gradio"
    with get(hub, "spaces/user/x/resolve/main/app.py") as reply:
        assert reply.read() == b"1"
    assert list(hub.repo("datasets", "user/x").files()) == [".gitattributes"]
    assert hub.requests[-1] == "GET /spaces/user/x/resolve/main/app.py"
