import json
from collections import Counter, defaultdict
from dataclasses import asdict

import pytest

from dataset_scripts.build.plan import make_plan, source_of
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.rows import encode_row
from dataset_scripts.schema import LANGUAGES, SPLITS

TWITTER_NAMES = ("train.txt", "valid.txt", "test.txt")
WITHOUT_PICTURE = {"image": None, "image_status": "missing"}


@pytest.fixture
def plan(tmp_path):
    """Plan a build; return the plan and its rows in order by language and split."""

    def make(source, **decisions):
        folder = tmp_path / f"rows {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        made = make_plan(source, folder, BuildSettings(**decisions))
        rows = {key: [row for path in paths for row in rows_of(path)] for key, paths in made.rows.items()}
        return made, rows

    return make


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def without_order(rows, *left_out):
    """The rows by language and split, as a set that counts."""
    kept = {key: [{k: v for k, v in row.items() if k not in left_out} for row in group] for key, group in rows.items()}
    return {key: Counter(json.dumps(row, sort_keys=True) for row in group) for key, group in kept.items()}


def test_rows_are_as_the_files_give_them(write_distribution, four_languages, plan, tmp_path):
    made, rows = plan(write_distribution(tmp_path / "source", *LANGUAGES))
    assert list(rows) == [(lang, split) for lang in LANGUAGES for split in SPLITS]
    for (lang, split), sentences in four_languages.items():
        assert [(row["image_id"], row["tokens"], row["ner_tags"]) for row in rows[lang, split]] == sentences
        assert [row["id"] for row in rows[lang, split]] == [f"{lang}/{image_id}" for image_id, *_ in sentences]
        assert {row["lang"] for row in rows[lang, split]} == {lang}
        assert all(encode_row({**row, **WITHOUT_PICTURE}) for row in rows[lang, split])
    assert made.sizes == {key: len(sentences) for key, sentences in four_languages.items()}
    assert [path.parent.name for path in made.files[::3]] == [f"train_valid_test_{lang}" for lang in LANGUAGES]
    assert not any(made.changes.values())


def test_all_languages_in_one_folder_give_the_same_rows(write_distribution, plan, tmp_path):
    pytest.importorskip("py3langid", reason="py3langid, which tells languages from words, is not installed")
    _, single = plan(write_distribution(tmp_path / "single", *LANGUAGES))
    made, mixed = plan(write_distribution(tmp_path / "mixed", "all_lang"))
    assert without_order(mixed, "quality") == without_order(single, "quality")
    assert {tuple(row["quality"]) for group in mixed.values() for row in group} == {("inferred_language",)}
    assert made.changes["languages told from the words"] == made.sizes.total()
    made, mixed = plan(write_distribution(tmp_path / "most", "en", "fr", "es", "all_lang"))
    assert without_order(mixed) == without_order(single)
    assert made.changes["languages told from the words"] == 0


@pytest.mark.parametrize("split", ["paper", "grouped"])
def test_new_splits_do_not_depend_on_the_files(write_distribution, plan, tmp_path, split):
    kinds = ("en", "fr", "es", "all_lang"), ("all_lang", "de", "fr", "en"), LANGUAGES
    found = [
        without_order(plan(write_distribution(tmp_path / str(number), *group), split=split)[1])
        for number, group in enumerate(kinds)
    ]
    assert found[0] == found[1] == found[2]


def test_the_paper_split_is_exact_and_follows_the_seed(write_distribution, plan, tmp_path):
    source = write_distribution(tmp_path / "source", *LANGUAGES)
    made, rows = plan(source, split="paper")
    sizes = {split: sum(made.sizes[lang, split] for lang in LANGUAGES) for split in SPLITS}
    assert sizes == {"train": 78, "validation": 9, "test": 9}
    assert without_order(plan(source, split="paper", seed=19)[1]) == without_order(rows)
    assert without_order(plan(source, split="paper", seed=20)[1]) != without_order(rows)


def test_the_grouped_split_keeps_pictures_together_and_stays_when_rows_come(write_distribution, plan, tmp_path):
    source = write_distribution(tmp_path / "source", "en", "de")
    places = []
    for _ in range(2):
        splits = defaultdict(set)
        for (_, split), group in plan(source, split="grouped")[1].items():
            for row in group:
                splits[row["image_id"]].add(split)
        places.append(splits)
        write_distribution(source, *({"fr", "es"} if len(places) == 1 else ()))
    assert all(len(splits) == 1 for splits in places[1].values())
    assert places[0].items() < places[1].items()
    assert set().union(*places[1].values()) == set(SPLITS)


@pytest.mark.parametrize("split", ["given", "paper", "grouped"])
def test_leaks_are_those_of_the_rows_planned(write_distribution, plan, tmp_path, split):
    made, rows = plan(write_distribution(tmp_path / "source", "en", "de"), split=split)
    expected = []
    for config, languages in {"all": ("en", "de"), "en": ("en",), "de": ("de",), "en_de": ("en", "de")}.items():
        train = [row for lang in languages for row in rows.get((lang, "train"), [])]
        for part in SPLITS[1:]:
            held_out = [row for lang in languages for row in rows.get((lang, part), [])]
            pictures = sum(row["image_id"] in {other["image_id"] for other in train} for row in held_out)
            texts = sum(row["tokens"] in [other["tokens"] for other in train] for row in held_out)
            shares = {"rows": len(held_out), "pictures": pictures, "texts": texts}
            expected += [{"config": config, "split": part, **shares}] if held_out else []
    assert [asdict(leak) for leak in made.leaks] == expected
    assert any(leak.pictures for leak in made.leaks) == (split != "grouped")


def test_row_files_hold_at_most_so_many_rows(write_files, plan, tmp_path):
    train = [(str(number), f"w{number}") for number in range(7)]
    write_files(tmp_path / "train_valid_test_en", train, train[:3], train[:4])
    made, rows = plan(tmp_path, rows_per_shard=3)
    assert {key[1]: [len(rows_of(path)) for path in paths] for key, paths in made.rows.items()} == {
        "train": [3, 3, 1],
        "validation": [3],
        "test": [3, 1],
    }
    assert [path.name for path in made.rows["en", "train"]] == [f"en-train-{n:05d}.jsonl" for n in range(3)]
    assert [row["image_id"] for row in rows["en", "train"]] == list("0123456")


def test_only_the_languages_asked_for_are_taken(write_distribution, plan, tmp_path):
    source = write_distribution(tmp_path / "source", "en", "fr", "es", "all_lang")
    _, everything = plan(source)
    made, rows = plan(source, languages=("de",))
    assert without_order(rows) == {k: v for k, v in without_order(everything).items() if k[0] == "de"}
    assert not any(made.changes.values())


def test_files_side_by_side_are_in_the_one_language_asked_for(write_files, plan, tmp_path):
    write_files(tmp_path / "source", [("1", "a")], [("2", "b")], [("3", "c")], TWITTER_NAMES)
    assert list(plan(tmp_path / "source", languages=("es",))[1]) == [("es", split) for split in SPLITS]


def test_a_source_without_any_language_asked_for_is_refused(write_files, plan, tmp_path):
    write_files(tmp_path / "source", [("1", "a")], [("2", "b")], [("3", "c")], TWITTER_NAMES)
    with pytest.raises(ValueError, match=r"has no sentence in any of `languages` \['fr', 'de'\]"):
        plan(tmp_path / "source", languages=("fr", "de"))


def test_sentences_of_one_picture_are_numbered_in_each_language(write_files, plan, tmp_path):
    write_files(tmp_path / "train_valid_test_en", [("1", "a"), ("2", "b"), ("1", "c")], [("1", "d")], [("2", "e")])
    write_files(tmp_path / "train_valid_test_de", [("1", "f")], [("2", "g")], [("1", "h")])
    _, rows = plan(tmp_path)
    assert {row["tokens"][0]: row["id"] for group in rows.values() for row in group} == {
        **{"a": "en/1", "b": "en/2", "c": "en/1#2", "d": "en/1#3", "e": "en/2#2"},
        **{"f": "de/1", "g": "de/2", "h": "de/1#2"},
    }


@pytest.mark.parametrize("ids", [["1", "1", "1#2"], ["1#2", "1", "1"], ["1", "1#2", "1", "1#2", "1"]])
def test_numbered_names_never_meet_an_id_that_looks_so(write_files, plan, tmp_path, ids):
    write_files(tmp_path / "train_valid_test_en", [(image_id, "a") for image_id in ids], [("v", "v")], [("t", "t")])
    rows = plan(tmp_path)[1]["en", "train"]
    assert len({row["id"] for row in rows}) == len(ids)
    assert [row["image_id"] for row in rows] == ids


@pytest.fixture
def twitter(write_files, tmp_path):
    """A source of tweets, some with a type that needs another name, and a caption."""
    train = [("17_06_1", ["Ann", "in", "Rome"], ["B-OTHER", "I-OTHER", "B-LOC"]), ("17_06_2", "b")]
    return write_files(tmp_path / "tweets", train, [("16_05_3", "c")], [("00000002---x", "d")], TWITTER_NAMES)


@pytest.mark.parametrize("collection", ["twitter2015", "twitter2017", "other"])
def test_collections_give_source_and_names_of_types(twitter, plan, collection):
    made, rows = plan(twitter, collection=collection)
    assert rows["en", "train"][0]["ner_tags"] == ["B-MISC", "I-MISC", "B-LOC"]
    assert {row["source"] for group in rows.values() for row in group} == {collection}
    assert made.changes["tags renamed"] == 2
    known = {key[1]: [row["tw2017_split"] for row in group] for key, group in rows.items()}
    expected = {"train": ["train", "train"], "validation": ["validation"], "test": ["test"]}
    assert known == (expected if collection == "twitter2017" else {k: [None] * len(v) for k, v in expected.items()})


def test_mmnerd_renames_no_type(twitter, plan):
    with pytest.raises(ValueError, match=r"train\.txt:2: unknown tag: 'B-OTHER'"):
        plan(twitter)


def test_sources_are_told_by_ids():
    assert source_of("06959512---") == "cc12m"
    assert source_of("00001293---a%2Fb?c=[d]&e") == "cc12m"
    assert source_of("17_06_4705") == source_of("O_1") == source_of("123---x") == "twitter2017"
    assert source_of("06959512---", "other") == source_of("O_1", "other") == "other"


def test_splits_of_twitter2017_are_filled_in_from_its_files(twitter, write_files, plan, tmp_path):
    rows = [("17_06_1", "a"), ("16_05_3", "b"), ("O_9", "c"), ("00000002---x", "d")]
    write_files(tmp_path / "source" / "train_valid_test_en", rows, [("17_06_2", "e")], [("17_06_1", "f")])
    _, found = plan(tmp_path / "source", twitter2017=twitter)
    assert [row["tw2017_split"] for row in found["en", "train"]] == ["train", "validation", None, None]
    assert [row["tw2017_split"] for row in found["en", "validation"] + found["en", "test"]] == ["train", "train"]
    _, found = plan(tmp_path / "source")
    assert {row["tw2017_split"] for group in found.values() for row in group} == {None}


def test_addresses_are_filled_in_from_the_list(write_files, plan, tmp_path):
    listing = tmp_path / "cc12m.tsv"
    listing.write_text("http://a/x.jpg\tone\nhttp://b/y.jpg\ttwo\n", encoding="utf-8")
    train = [("00000000---x", "a"), ("00000001---y", "b"), ("00000001---z", "c"), ("O_1", "d")]
    write_files(tmp_path / "source" / "train_valid_test_en", train, [("O_2", "e")], [("00000000---x", "f")])
    _, rows = plan(tmp_path / "source", urls=listing)
    assert [row["url"] for row in rows["en", "train"]] == ["http://a/x.jpg", "http://b/y.jpg", None, None]
    assert rows["en", "test"][0]["url"] == "http://a/x.jpg"
    _, rows = plan(tmp_path / "source")
    assert {row["url"] for group in rows.values() for row in group} == {None}


def test_repaired_tags_are_counted_and_flagged(write_files, plan, tmp_path):
    broken = ("1", ["a", "b", "c"], ["I-PER", "O", "I-LOC"])
    write_files(tmp_path / "source", [broken, ("2", "d")], [broken], [("3", "e")], TWITTER_NAMES)
    with pytest.raises(ValueError, match=r"train\.txt:2: a tag that continues no entity"):
        plan(tmp_path / "source", collection="twitter2015")
    made, rows = plan(tmp_path / "source", collection="twitter2015", repair_tags=True)
    assert (made.changes["tags repaired"], made.changes["sentences with repaired tags"]) == (4, 2)
    assert [row["quality"] for row in rows["en", "train"]] == [["repaired_tags"], []]
    assert rows["en", "validation"][0]["ner_tags"] == ["B-PER", "O", "B-LOC"]


def test_all_flags_of_a_row_stand_together(write_files, plan, tmp_path):
    words = ["replacestrstr0", "\u200b", "is", "the", "house"]
    bad = ("1", words, ["I-PER", "O", "O", "O", "O"])
    write_files(tmp_path / "source" / "train_valid_test_en", [bad], [("v", "v")], [("t", "t")])
    assert plan(tmp_path / "source", repair_tags=True)[1]["en", "train"][0]["quality"] == [
        "placeholder",
        "invisible_word",
        "repaired_tags",
    ]


def test_compatibility_reads_as_the_released_loader_and_warns_once(write_files, plan, tmp_path, caplog):
    write_files(tmp_path / "source", [("1", "a")], [("2", "b")], [("3", "c")], TWITTER_NAMES)
    with open(tmp_path / "source" / "train.txt", "a", encoding="utf-8") as file:
        file.write("d O\n\nIMGID:4\n\ne\tO\n")
    with pytest.raises(ValueError, match=r"train\.txt:4: a word outside a sentence"):
        plan(tmp_path / "source")
    made, rows = plan(tmp_path / "source", compatibility="released")
    assert [(row["id"], row["tokens"]) for row in rows["en", "train"]] == [("en/1", ["a"]), ("en/1#2", ["d"])]
    lines = [message.split(": ")[0].split(":")[-1] for message in caplog.messages]
    assert lines == ["7", "8"]
    assert made.sizes.total() == 4


def test_a_broken_line_is_found_before_a_row_is_written(write_files, tmp_path):
    source = write_files(tmp_path / "train_valid_test_en", [("1", "a")], [("2", "b")], [("3", "c")])
    with open(source / "test_conll_format.txt", "a", encoding="utf-8") as file:
        file.write("IMGID:4\nno tab\n")
    (tmp_path / "rows").mkdir()
    with pytest.raises(ValueError, match=r"test_conll_format\.txt:5: no TAB between word and tag"):
        make_plan(tmp_path, tmp_path / "rows", BuildSettings())
    assert list((tmp_path / "rows").iterdir()) == []


def test_another_train_file_is_read_in_place_of_the_usual_one(write_files, plan, tmp_path):
    source = write_files(tmp_path / "train_valid_test_en", [("1", "a")], [("2", "b")], [("3", "c")])
    (source / "fold_2.txt").write_text("IMGID:9\nz\tO\n\n", encoding="utf-8")
    _, rows = plan(tmp_path, train_file="fold_2.txt")
    assert [row["image_id"] for row in rows["en", "train"]] == ["9"]


@pytest.mark.parametrize("word", ["\u00a0", "a\u2028b", "\u0085", "\x0b", "👩‍🔬", '"', "\\", "{", "#"])
def test_odd_words_survive(write_files, plan, tmp_path, word):
    write_files(tmp_path / "train_valid_test_en", [("a%2F*?[b]", [word, "b"])], [("v", "v")], [("t", "t")])
    row = plan(tmp_path)[1]["en", "train"][0]
    assert (row["image_id"], row["tokens"]) == ("a%2F*?[b]", [word, "b"])
