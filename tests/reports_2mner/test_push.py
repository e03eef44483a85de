import pytest

from reports_2mner.push import connect, push

REPO = "user/thing"
KINDS = {"model": "models", "dataset": "datasets"}


@pytest.fixture
def api(hub, monkeypatch, tmp_path):
    hub.connect(monkeypatch, tmp_path / "home")
    return connect()


@pytest.fixture
def folder(tmp_path):
    for name in ("README.md", "data.txt", "secret.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_named_files_alone_go_up_and_others_are_deleted_in_one_commit(hub, api, folder, kind):
    push(folder, ["data.txt", "README.md"], REPO, kind, private=True, message="First", api=api)
    commit = push(folder, ["README.md"], REPO, kind, private=True, message="Second", api=api, tag="v1")
    repo = hub.repo(KINDS[kind], REPO)
    assert [commit.message for commit in repo.commits] == ["initial commit", "First", "Second"]
    assert set(repo.files()) - {".gitattributes"} == {"README.md"} and repo.private
    assert repo.tags == {"v1": commit.oid}


@pytest.mark.parametrize(("kind", "says_training"), [("model", True), ("dataset", False)])
def test_visibility_is_never_changed_and_the_remedy_fits_the_kind(api, folder, kind, says_training):
    push(folder, ["README.md"], REPO, kind, private=True, message="First", api=api)
    with pytest.raises(ValueError, match=r"should be public, .*\(`private=True`, --private") as found:
        push(folder, ["README.md"], REPO, kind, private=False, message="Second", api=api)
    assert ("train_hf.py --hub_private_repo True" in str(found.value)) is says_training
