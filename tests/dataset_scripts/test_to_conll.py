from pathlib import Path

import pytest

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.parquet import write_dataset
from dataset_scripts.schema import LANGUAGES
from dataset_scripts.to_conll import main, to_conll

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "mmnerd" / "train_valid_test"
ODD_WORDS = [
    "\u00a0",
    "New\u00a0York",
    "a\u2028b",
    "\u0085",
    "\x0b",
    " ",
    "👩‍🔬",
    "🇪🇺",
    "#",
    "IMGID",
    "O",
    '"',
    "\ufeff",
]
ODD_WORDS += ["caf\u00e9", "cafe\u0301", "-DOCSTART-", "replacestrstr0"]
ODD_IDS = ["06959512---", "00001293---a%2Fb*?c=[d]&e.", " blank ", "#1", "O_1", "O_1", "../up", "日本", "IMGID:1"]


@pytest.fixture
def odd_source(write_files, tmp_path):
    """Files in two languages with all the words and ids that break other readers."""
    tagged = ("O_2", ["Ann", "Lee", "Bo", "\u200b"], ["B-PER", "I-PER", "B-PER", "B-MISC"])
    for lang in ("en", "de"):
        words = [(lang, [word, "x", word]) for word in ODD_WORDS]
        ids = [(image_id, f"{lang} {number}") for number, image_id in enumerate(ODD_IDS)]
        write_files(tmp_path / "source" / f"train_valid_test_{lang}", words, ids, [tagged, ("O_3", f"{lang} x")])
    return tmp_path / "source"


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("rows_per_shard", [2_000, 4])
def test_files_come_back_byte_for_byte(odd_source, tmp_path, rows_per_shard):
    build_dataset(odd_source, None, tmp_path / "set", settings=BuildSettings(rows_per_shard=rows_per_shard))
    paths = to_conll(tmp_path / "set", tmp_path / "text")
    assert contents(tmp_path / "text") == contents(odd_source)
    assert sorted(paths) == sorted(tmp_path / "text" / name for name in contents(odd_source))


def test_one_mixed_folder_comes_back_as_one_folder_for_each_language(write_distribution, tmp_path):
    build_dataset(write_distribution(tmp_path / "mixed", "en", "fr", "es", "all_lang"), None, tmp_path / "set")
    to_conll(str(tmp_path / "set"), str(tmp_path / "text"))
    single = contents(write_distribution(tmp_path / "single", *LANGUAGES))
    found = contents(tmp_path / "text")
    assert found.keys() == single.keys()
    for path, text in found.items():
        assert sorted(text.split(b"\n\n")) == sorted(single[path].split(b"\n\n"))


def test_files_in_place_are_not_replaced(odd_source, tmp_path):
    build_dataset(odd_source, None, tmp_path / "set")
    last = tmp_path / "text" / "train_valid_test_de" / "test_conll_format.txt"
    last.parent.mkdir(parents=True)
    last.write_text("mine")
    with pytest.raises(ValueError, match=rf"`output` already has {last}; give another folder"):
        to_conll(tmp_path / "set", tmp_path / "text")
    assert contents(tmp_path / "text") == {last.relative_to(tmp_path / "text"): b"mine"}


def test_words_that_the_format_cannot_hold_are_refused(tmp_path):
    row = {"id": "en/1", "tokens": ["a\tb"], "ner_tags": ["O"], "image": None, "image_id": "1"}
    row |= {"image_status": "missing", "lang": "en", "source": "other"}
    write_dataset(tmp_path / "set", {("en", "train"): [row]}, "card")
    with pytest.raises(ValueError, match=r"The sentence of picture '1' cannot be written"):
        to_conll(tmp_path / "set", tmp_path / "text")
    assert contents(tmp_path / "text") == {}


def test_command_line_prints_the_files(odd_source, tmp_path, capsys):
    build_dataset(odd_source, None, tmp_path / "set")
    capsys.readouterr()
    main([str(tmp_path / "set"), str(tmp_path / "text")])
    assert sorted(capsys.readouterr().out.split("\n")[:-1]) == sorted(
        str(tmp_path / "text" / name) for name in contents(odd_source)
    )
    with pytest.raises(SystemExit, match="error: `output` already has"):
        main([str(tmp_path / "set"), str(tmp_path / "text")])
    with pytest.raises(SystemExit, match=r"error: .* holds no data set"):
        main([str(tmp_path), str(tmp_path / "more")])


def test_the_english_files_of_the_authors_come_back_byte_for_byte(tmp_path):
    if not (REAL / "train_valid_test_en").is_dir():
        pytest.skip("the authors' English files are not beside this checkout (../shared/data/mmnerd)")
    build_dataset(REAL, None, tmp_path / "set", settings=BuildSettings(languages=("en",)))
    paths = to_conll(tmp_path / "set", tmp_path / "text")
    assert len(paths) == 3
    for path in paths:
        assert path.read_bytes() == (REAL / "train_valid_test_en" / path.name).read_bytes()
