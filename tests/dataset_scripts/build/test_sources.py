import logging
from itertools import permutations

import pytest

from dataset_scripts.build.sources import SourceFile, find_source_files
from dataset_scripts.schema import LANGUAGES, SPLITS

AUTHORS_NAMES = ("train_conll_format.txt", "valid_conll_format.txt", "test_conll_format.txt")
TWITTER_NAMES = ("train.txt", "valid.txt", "test.txt")
ELEVEN = {lang: (lang,) for lang in LANGUAGES}
ELEVEN |= {"all_lang": LANGUAGES, "en_plus_de": ("en", "de"), "en_plus_fr": ("en", "fr"), "en_plus_es": ("en", "es")}
ELEVEN |= {"de_plus_fr": ("de", "fr"), "de_plus_es": ("de", "es"), "fr_plus_es": ("fr", "es")}


def add_files(folder, names=AUTHORS_NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def add_folders(source, *kinds):
    for kind in kinds:
        add_files(source / f"train_valid_test_{kind}")
    return source


def languages_of(files):
    """The languages of each folder, in order; a folder's three files must agree and be the three splits."""
    groups = [[file.languages for file in files[start : start + 3]] for start in range(0, len(files), 3)]
    assert [file.split for file in files] == [*SPLITS] * len(groups)
    assert all(len(set(group)) == 1 for group in groups)
    return [group[0] for group in groups]


def test_all_eleven_folders_are_found_those_of_one_language_first(tmp_path):
    found = languages_of(find_source_files(add_folders(tmp_path, *ELEVEN)))
    assert sorted(found) == sorted(ELEVEN.values())
    assert found[:4] == [(lang,) for lang in LANGUAGES]


@pytest.mark.parametrize("kind", ELEVEN)
def test_any_one_folder_will_do(tmp_path, kind):
    folder = add_folders(tmp_path, kind) / f"train_valid_test_{kind}"
    assert find_source_files(tmp_path) == [
        SourceFile(folder / name, split, ELEVEN[kind]) for name, split in zip(AUTHORS_NAMES, SPLITS, strict=True)
    ]


def test_two_languages_may_stand_in_either_order(tmp_path):
    for first, second in permutations(LANGUAGES, 2):
        source = add_folders(tmp_path / f"{first}{second}", f"{first}_plus_{second}")
        assert languages_of(find_source_files(source)) == [(first, second)]


def test_single_languages_come_before_what_they_explain(tmp_path):
    found = languages_of(find_source_files(add_folders(tmp_path, "all_lang", "de_plus_es", "fr", "es")))
    assert found == [("fr",), ("es",), ("de", "es"), LANGUAGES]


def test_the_folder_above_and_the_folder_itself_will_do(tmp_path):
    folder = add_folders(tmp_path / "mmnerd" / "texts", "de", "es") / "train_valid_test_de"
    (tmp_path / "mmnerd" / "images").mkdir()
    assert find_source_files(tmp_path / "mmnerd") == find_source_files(tmp_path / "mmnerd" / "texts")
    assert [file.path for file in find_source_files(folder)] == [folder / name for name in AUTHORS_NAMES]
    assert languages_of(find_source_files(folder)) == [("de",)]


def test_a_folder_knows_its_name_from_within(tmp_path, monkeypatch):
    add_folders(tmp_path, "fr_plus_es")
    monkeypatch.chdir(tmp_path / "train_valid_test_fr_plus_es")
    assert languages_of(find_source_files(type(tmp_path)())) == [("fr", "es")]


def test_several_candidates_are_refused_by_name(tmp_path):
    add_folders(tmp_path / "first", "en")
    add_folders(tmp_path / "second", "de")
    with pytest.raises(ValueError, match=r"language folders in \[.*first.*second.*name one of these"):
        find_source_files(tmp_path)


def test_folders_of_languages_not_asked_for_are_passed_over(tmp_path):
    add_folders(tmp_path, "en", "de", "fr_plus_es", "en_plus_es")
    (tmp_path / "train_valid_test_en" / "test_conll_format.txt").unlink()  # unread, so not missed
    assert languages_of(find_source_files(tmp_path, ("de",))) == [("de",)]
    assert languages_of(find_source_files(tmp_path, ("fr",))) == [("fr", "es")]


def test_a_folder_not_asked_for_stays_where_it_tells_another_apart(tmp_path):
    add_folders(tmp_path, "en", "fr", "en_plus_de", "fr_plus_es")
    assert languages_of(find_source_files(tmp_path, ("de",))) == [("en",), ("en", "de")]


def test_absent_languages_are_told_and_an_empty_choice_is_refused(tmp_path, caplog):
    add_folders(tmp_path, "en", "fr_plus_es")
    with caplog.at_level(logging.INFO):
        find_source_files(tmp_path)
    assert caplog.messages == [f"No folder for de under {tmp_path}: the data set is built without."]
    with pytest.raises(ValueError, match=r"no folder for any of `languages` \['de'\]"):
        find_source_files(tmp_path, ("de",))


@pytest.mark.parametrize("absent", AUTHORS_NAMES)
def test_missing_files_are_named(tmp_path, absent):
    folder = add_folders(tmp_path, "en", "all_lang") / "train_valid_test_all_lang"
    (folder / absent).unlink()
    with pytest.raises(ValueError) as caught:
        find_source_files(tmp_path)
    assert str(caught.value).startswith(f"Files are missing: {folder / absent}; {folder} needs {AUTHORS_NAMES[0]}, ")


@pytest.mark.parametrize("names", [AUTHORS_NAMES, TWITTER_NAMES, ("train.txt", "dev.txt", "test.txt")])
@pytest.mark.parametrize("folder", ["twitter2017", "train_valid_test_en"])
def test_three_files_side_by_side(tmp_path, folder, names):
    folder = add_files(tmp_path / folder, names)
    files = [SourceFile(folder / name, split, ("en",)) for name, split in zip(names, SPLITS, strict=True)]
    assert find_source_files(folder) == files


@pytest.mark.parametrize(("languages", "expected"), [(("de",), "de"), (("de", "en"), "en"), (LANGUAGES, "en")])
def test_files_side_by_side_are_english_unless_one_other_language_is_named(tmp_path, languages, expected):
    assert languages_of(find_source_files(add_files(tmp_path, TWITTER_NAMES), languages)) == [(expected,)]


def test_a_missing_train_file_is_named_where_the_others_are(tmp_path):
    add_files(tmp_path, TWITTER_NAMES[1:])
    with pytest.raises(ValueError, match=f"Files are missing: {tmp_path / 'train.txt'}; "):
        find_source_files(tmp_path)


def test_another_train_file_takes_the_place_of_the_usual_one(tmp_path):
    for names, source in ((AUTHORS_NAMES, tmp_path / "train_valid_test_en"), (TWITTER_NAMES, tmp_path / "twitter")):
        add_files(source, ("fold_3.txt", *names[1:]))
        paths = [file.path for file in find_source_files(source, train_file="fold_3.txt")]
        assert paths == [source / "fold_3.txt", source / names[1], source / names[2]]
        with pytest.raises(ValueError, match=r"Files are missing: .*fold_4\.txt; "):
            find_source_files(source, train_file="fold_4.txt")


def test_what_holds_nothing_is_refused(tmp_path):
    add_files(tmp_path, ["train.txt"])
    with pytest.raises(
        ValueError, match=r"holds any of the folders \['train_valid_test_en', .*train\.txt, valid\.txt"
    ):
        find_source_files(tmp_path)
    for path in (tmp_path / "train.txt", tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="`source` must be a folder"):
            find_source_files(path)
