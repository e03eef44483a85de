import hashlib
import io
import json
import shutil
from functools import partial
from pathlib import Path

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi

from dataset_scripts.card import dataset_card
from dataset_scripts.parquet import parquet_path, write_dataset, write_parquet
from dataset_scripts.publish import __main__ as publishing
from dataset_scripts.publish.__main__ import main, publish
from dataset_scripts.publish.check_folder import check_folder
from dataset_scripts.rows import encode_row
from dataset_scripts.schema import SPLITS

CHILD = "tests.dataset_scripts.load_from_hub"
REPO = "user/mmnerd"
SHARDS = [f"data/en/train-0000{index}-of-00002.parquet" for index in range(2)]


def make_row(lang, number):
    out = io.BytesIO()
    PIL.Image.new("RGB", (8, 6), (number, 0, 0)).save(out, "PNG")
    return {
        "id": f"{lang}/{number}",
        "tokens": ["Köln", str(number)],
        "ner_tags": ["B-LOC", "O"],
        "image": {"bytes": out.getvalue(), "path": f"{number}.png"} if number % 3 == 0 else None,
        "image_id": str(number),
        "image_status": "ok" if number % 3 == 0 else "missing",
        "lang": lang,
        "source": "synthetic",
    }


def record(folder):
    """Write build.json as a builder does."""
    files = {
        path.relative_to(folder).as_posix(): {
            "rows": pq.read_metadata(path).num_rows,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in folder.rglob("*.parquet")
    }
    (folder / "build.json").write_text(json.dumps({"files": files}))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with all that a builder writes, in two languages, one of them with a split of two files."""
    folder = tmp_path_factory.mktemp("built") / "mmnerd"
    starts = {(lang, split): 10 * place for lang in ("en", "de") for place, split in enumerate(SPLITS)}
    rows = {key: [make_row(key[0], start + number) for number in range(7)] for key, start in starts.items()}
    write_dataset(folder, rows, partial(dataset_card, name="mmnerd", title="MMNERD", summary="Test."))
    (folder / "data" / "en" / "train-00000-of-00001.parquet").unlink()
    for index in range(2):
        half = rows["en", "train"][4 * index : 4 * index + 4]
        write_parquet(map(encode_row, half), parquet_path(folder / "data", "en", "train", index, 2))
    (folder / "LICENSE.md").write_text("Four layers.")
    (folder / "figures").mkdir()
    for name in ("entity_shares.png", "example.jpg"):
        (folder / "figures" / name).write_bytes(make_row("en", 0)["image"]["bytes"])
    record(folder)
    return folder


@pytest.fixture
def folder(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "mmnerd"))


@pytest.fixture
def online(hub, monkeypatch, tmp_path):
    """The Hub, for clients in this process."""
    hub.connect(monkeypatch, tmp_path)
    return hub


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def data_of(repo):
    return {name: data for name, data in repo.files().items() if name != ".gitattributes"}


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def rewrite(path, **columns):
    """Replace columns of a parquet file; None takes one out."""
    table = pq.read_table(path)
    for name, values in columns.items():
        at = table.column_names.index(name)
        table = table.remove_column(at) if values is None else table.set_column(at, name, values)
    pq.write_table(table, path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip(path):
    data = bytearray(path.read_bytes())
    data[100] ^= 1  # in the first page
    path.write_bytes(data)


def drop_rows(folder):
    write_parquet([encode_row(make_row("de", 10))], folder / "data/de/validation-00000-of-00001.parquet")


def leave_out(folder, name):
    (folder / name).unlink()
    record(folder)


DAMAGES = {
    "no card": (lambda f: (f / "README.md").unlink(), "has no README.md"),
    "bad yaml": (lambda f: edit(f / "README.md", "configs:", "configs: ]"), "YAML at the top .* cannot be read"),
    "no yaml": (lambda f: (f / "README.md").write_text("# MMNERD"), "README.md needs `configs`"),
    "no data_files": (lambda f: edit(f / "README.md", "data_files:", "files:"), "README.md needs `configs`"),
    "no match": (
        lambda f: leave_out(f, "data/de/test-00000-of-00001.parquet"),
        r"no parquet file matches 'data/de/test-\*.parquet' of the configuration 'all'",
    ),
    "absolute": (
        lambda f: edit(f / "README.md", "data/en/train-", "/data/en/train-"),
        "no parquet file matches '/data",
    ),
    "not reached": (
        lambda f: edit(f / "README.md", "en/train-*", "en/train-00000*"),
        f"no configuration contains {SHARDS[1]}",
    ),
    "wrong split": (
        lambda f: edit(f / "README.md", "en/test-", "en/train-"),
        "'all' has data/en/train.* split 'test'",
    ),
    "text file": (lambda f: (f / "notes.txt").write_text("x"), r"no builder wrote, or links: notes.txt \(1 in all\)"),
    "code": (lambda f: (f / "mmnerd.py").write_text("x"), "links: mmnerd.py"),
    "hidden file": (lambda f: (f / "data/en/.train.partial").write_text("x"), "links: data/en/.train.partial"),
    "hidden folder": (lambda f: (f / ".git/refs").mkdir(parents=True), r"links: .git \(1 in all\)"),
    "language": (lambda f: (f / "data/italian").mkdir(), r"links: data/italian \("),
    "link": (lambda f: (f / "data/fr").symlink_to(f / "data/de"), r"links: data/fr \("),
    "linked card": (
        lambda f: (f / "README.md").rename(f / "a") and (f / "README.md").symlink_to(f / "a"),
        "README.md, a",
    ),
    "no data": (lambda f: shutil.rmtree(f / "data"), "holds no data/<language>"),
    "one shard": (lambda f: leave_out(f, SHARDS[0]), r"the numbers \[1\] of the 2 files of its train split"),
    "cut": (lambda f: cut(f / SHARDS[0]), f"{SHARDS[0]} is not a valid parquet file"),
    "column gone": (lambda f: rewrite(f / SHARDS[0], url=None), f"{SHARDS[0]} does not have .* data set: url differs"),
    "other type": (lambda f: rewrite(f / SHARDS[0], url=pa.array([1] * 4)), "data set: url differs"),
    "no licence": (lambda f: (f / "LICENSE.md").unlink(), "license: other`, but there is no LICENSE.md"),
    "flipped bit": (lambda f: flip(f / SHARDS[1]), f"{SHARDS[1]} has changed since it was built"),
    "fewer rows": (drop_rows, "validation-00000-of-00001.parquet has changed .* {'rows': 1, .* {'rows': 7"),
    "not recorded": (
        lambda f: edit(f / "build.json", SHARDS[0], "gone"),
        f"{SHARDS[0]} is in .*, but not in build.json",
    ),
    "bad record": (lambda f: (f / "build.json").write_text('{"files": []}'), "lacks `rows`, `bytes`"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_folders_are_refused_before_the_hub_hears_of_it(folder, online, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        publish(folder, REPO)
    assert online.requests == []


def test_files_of_the_record_must_be_there(folder):
    (folder / "data/de/test-00000-of-00001.parquet").unlink()
    edit(folder / "README.md", "data/de/test-*", "data/en/test-*")
    with pytest.raises(ValueError, match=r"data/de/test-00000-of-00001.parquet is in build.json, but not in .*mmnerd"):
        check_folder(folder)


def test_columns_in_another_order_are_refused(folder):
    table = pq.read_table(folder / SHARDS[0])
    pq.write_table(table.select(table.column_names[::-1]), folder / SHARDS[0])
    with pytest.raises(ValueError, match="their order differs"):
        check_folder(folder)


def test_files_that_need_not_be_there(folder):
    (folder / "build.json").unlink()
    shutil.rmtree(folder / "figures")
    edit(folder / "README.md", "license: other", "license: mit")
    (folder / "LICENSE.md").unlink()
    assert check_folder(folder) == sorted(contents(folder))


@pytest.mark.parametrize("repo", ["mmnerd", "user/data/mmnerd", "user/mm nerd", "user/mmnerd.git", "user/"])
def test_bad_names_are_refused_before_the_folder_is_read(online, tmp_path, repo):
    with pytest.raises(ValueError, match=r"(?i)repo.id"):
        publish(tmp_path / "nowhere", repo)
    assert online.requests == []


def test_round_trip_over_http(built, hub, tmp_path):
    done = hub.run(
        "-m", "dataset_scripts.publish", str(built), REPO, "--message", "First edition", home=tmp_path / "author"
    )
    assert done.returncode == 0, done.stderr
    repo = hub.repo("datasets", REPO)
    assert repo.private and repo.created["visibility"] == "private"
    assert [commit.message for commit in repo.commits] == ["initial commit", "First edition"]
    assert f"{hub.url}/datasets/{REPO}/commit/{repo.commits[-1].id}" in done.stdout
    assert data_of(repo) == contents(built)
    assert repo.commit().lfs == {name for name in contents(built) if name.endswith((".parquet", ".png", ".jpg"))}
    done = hub.run("-m", CHILD, REPO, str(built), home=tmp_path / "reader")
    assert done.returncode == 0, done.stderr


def test_a_later_edition_replaces_the_earlier_in_one_commit(folder, online):
    first = publish(folder, REPO)
    repo = online.repo("datasets", REPO)
    assert publish(folder, REPO).oid == first.oid == repo.commits[-1].id
    assert len(repo.commits) == 2
    (folder / SHARDS[1]).unlink()
    (folder / SHARDS[0]).rename(folder / "data/en/train-00000-of-00001.parquet")
    record(folder)
    assert publish(folder, REPO, message="Fewer").oid == repo.commits[-1].id
    assert [commit.message for commit in repo.commits] == ["initial commit", "Upload the data set", "Fewer"]
    assert data_of(repo) == contents(folder)
    assert repo.commit().lfs == {name for name in repo.files() if name.endswith((".parquet", ".png", ".jpg"))}
    assert ".gitattributes" in repo.files() and SHARDS[0] in repo.files(first.oid)


@pytest.mark.parametrize("private", [True, False])
def test_visibility_is_never_changed(folder, online, private):
    publish(folder, REPO, private)
    with pytest.raises(ValueError, match=rf"should be {'public' if private else 'private'}, .*\(`private={private}`"):
        publish(folder, REPO, not private)
    repo = online.repo("datasets", REPO)
    assert repo.private == private and len(repo.commits) == 2


def test_public_data_is_warned_of_where_no_licence_covers_it(folder, online, caplog):
    publish(folder, "user/private")
    edit(folder / "README.md", "license: other", "license: mit")
    publish(folder, "user/free", private=False)
    assert caplog.text == ""
    edit(folder / "README.md", "license: mit", "license: other")
    publish(folder, REPO, private=False)
    assert f"{REPO} will be public" in caplog.text
    assert not online.repo("datasets", REPO).private


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [
        (None, REPO, "There is no token for the Hub"),
        ("hf_wrong", REPO, "refused user/mmnerd: .*hf auth login"),
        ("hf_stand_in", "someone/mmnerd", "refused someone/mmnerd: .*a token that may write to this namespace"),
    ],
)
def test_refusals_of_the_hub_are_explained(folder, hub, monkeypatch, tmp_path, token, repo, message):
    hub.connect(monkeypatch, tmp_path, token)
    with pytest.raises(SystemExit, match=f"(?s)error: .*{message}"):
        main([str(folder), repo])
    assert hub.repositories == {}


def test_a_change_in_between_is_not_overwritten(folder, online, monkeypatch):
    def list_while_another_writes(api, repo_id, **options):
        files = list(online.repo("datasets", repo_id).files())
        line = {"key": "file", "value": {"path": "README.md", "content": ""}}
        online.repo("datasets", repo_id).add_commit("main", [{"value": {"summary": "Other"}}, line], {})
        return files

    monkeypatch.setattr(HfApi, "list_repo_files", list_while_another_writes)
    with pytest.raises(SystemExit, match=r"(?s)error: .*has changed in the meantime"):
        main([str(folder), REPO])
    assert online.repo("datasets", REPO).commits[-1].message == "Other"


def test_a_hub_out_of_reach_is_an_error_without_traceback(folder, online):
    online.shutdown()
    online.server_close()
    with pytest.raises(SystemExit, match="error: "):
        main([str(folder), REPO])


def test_the_command_line(folder, online, capsys):
    main([str(folder), REPO, "--no-private", "--message", "Hello"])
    repo = online.repo("datasets", REPO)
    assert not repo.private and repo.commits[-1].message == "Hello"
    assert f"load_dataset('{REPO}')" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"error: `folder` must be a data set folder"):
        main([str(folder / "nowhere"), REPO])
    assert publishing.read_command_line([str(folder), REPO]).private
