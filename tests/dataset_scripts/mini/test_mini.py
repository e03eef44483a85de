import io
import itertools
import re
from collections import Counter, defaultdict
from random import Random

import pytest
from datasets import get_dataset_config_names, load_dataset
from PIL import Image

from dataset_scripts.mini import __main__ as mini
from dataset_scripts.mini.generator import (
    SPLIT_SIZES,
    choose_kinds,
    count_ambiguous,
    generate_rows,
    text_only_ceiling,
    write_mini,
)
from dataset_scripts.mini.pictures import draw_picture
from dataset_scripts.mini.text import (
    AMBIGUOUS_NAMES,
    AMBIGUOUS_SLOTS,
    FILLERS,
    SENTENCE_TEMPLATES,
    FilledTemplate,
    slots,
)
from dataset_scripts.rows import encode_row, row_spans
from dataset_scripts.schema import CONFIGS, ENTITY_TYPES, LANGUAGES, SPLITS, features

TINY = (64, 16, 16)


@pytest.fixture(scope="module")
def jpeg():
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture(scope="module")
def full(jpeg):
    """All rows at full size, with one stand-in for every drawn picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataset_scripts.mini.generator.draw_picture", lambda subject, rng: jpeg)
        return generate_rows()


@pytest.fixture(scope="module")
def tiny():
    return generate_rows(3, *TINY)


def all_rows(splits):
    return [row for rows in splits.values() for row in rows]


def ambiguous_spans(row):
    names = {tuple(name[row["lang"]]) for name in AMBIGUOUS_NAMES}
    return [span for span in row_spans(row) if tuple(row["tokens"][span.start : span.end]) in names]


def by_image(rows):
    groups = defaultdict(list)
    for row in rows:
        groups[row["image_id"]].append(row)
    return groups


def test_rows_are_valid_and_languages_balanced(full):
    assert {split: len(rows) for split, rows in full.items()} == dict(zip(SPLITS, SPLIT_SIZES, strict=True))
    for rows in full.values():
        assert Counter(row["lang"] for row in rows) == dict.fromkeys(LANGUAGES, len(rows) // 4)
    rows = all_rows(full)
    assert len({row["id"] for row in rows}) == len(rows)
    assert {encode_row(row)["source"] for row in rows} == {2}


def test_every_ambiguous_sentence_has_a_picture_of_each_type_in_one_split(full):
    places = defaultdict(set)
    for split, rows in full.items():
        sets = defaultdict(list)
        for row in filter(ambiguous_spans, rows):
            sets[tuple(row["tokens"])].append(row)
            places[tuple(row["tokens"])].add(split)
        for copies in sets.values():
            types = [{span.type for span in ambiguous_spans(row)} for row in copies]
            assert sorted(map(sorted, types)) == [[kind] for kind in sorted(ENTITY_TYPES)]
            assert len({row["image_id"] for row in copies}) == 4
    assert all(len(splits) == 1 for splits in places.values())


def test_translations_share_their_picture_and_splits_share_none(full, tiny):
    for splits in (full, tiny):
        owners = {split: set(by_image(rows)) for split, rows in splits.items()}
        assert not any(a & b for a, b in itertools.combinations(owners.values(), 2))
        for rows in by_image(all_rows(splits)).values():
            assert sorted(row["lang"] for row in rows) in ([rows[0]["lang"]], sorted(LANGUAGES))
            assert all(row["image"] == rows[0]["image"] for row in rows)
            types = [sorted(span.type for span in row_spans(row)) for row in rows]
            assert types == types[:1] * len(rows)
    drawn = [rows[0]["image"]["bytes"] for rows in by_image(all_rows(tiny)).values() if rows[0]["image"]]
    assert len(set(drawn)) == len(drawn)


def test_half_of_the_rows_are_parallel(full):
    groups = by_image(full["train"])
    parallel = sum(len(rows) for rows in groups.values() if len(rows) > 1)
    assert 0.45 < parallel / len(full["train"]) < 0.55
    assert 1400 <= len(groups) <= 1700


def test_every_name_of_validation_and_test_is_known_from_train_in_its_language(full):
    def names(split):
        return {(row["lang"], *row["tokens"][a:b]) for row in full[split] for _, a, b in ambiguous_spans(row)}

    assert names("train") == {(lang, *name[lang]) for name in AMBIGUOUS_NAMES for lang in LANGUAGES}
    assert names("test") & names("validation")


def test_sentences_have_none_one_or_several_entities_and_long_names(full):
    rows = full["test"]
    assert set(Counter(len(row_spans(row)) for row in rows)) >= {0, 1, 2}
    assert any(len(ambiguous_spans(row)) == 2 for row in rows)
    assert any(0 < len(ambiguous_spans(row)) < len(row_spans(row)) for row in rows)
    assert any(row_spans(row) and not ambiguous_spans(row) for row in rows)
    assert any(end - start > 1 for row in rows for _, start, end in ambiguous_spans(row))


def test_a_few_pictures_are_missing_and_hardly_any_that_tells_a_type(full, tiny):
    for rows in full.values():
        missing = [row for row in rows if row["image_status"] == "missing"]
        assert 0.01 < len(missing) / len(rows) < 0.05
        assert all(row["image"] is None and row["image_id"] for row in missing)
        assert sum(map(bool, map(ambiguous_spans, missing))) == len(rows) // 300
    for rows in tiny.values():
        assert any(row["image"] is None for row in rows)


def test_text_only_ceiling_is_low_and_agrees_with_the_closed_form(full):
    for rows in full.values():
        for group in (rows, *([row for row in rows if row["lang"] == lang] for lang in LANGUAGES)):
            ambiguous = sum(count_ambiguous(row) for row in group)
            known = sum(len(row_spans(row)) for row in group) - ambiguous
            all_typed = (known + ambiguous / 4) / (known + ambiguous)
            left_out = 2 * known / (2 * known + ambiguous)
            assert text_only_ceiling(group) == pytest.approx(100 * max(all_typed, left_out))
            assert text_only_ceiling(group) <= 48


@pytest.mark.parametrize("seed", range(3))
def test_text_only_ceiling_equals_a_search_over_all_rules(seed):
    rng = Random(seed)
    tags = ("O", "B-PER", "B-LOC")
    texts = [rng.choice(("a b", "a c", "d")).split() for _ in range(9)]
    rows = [{"tokens": words, "ner_tags": [rng.choice(tags) for _ in words]} for words in texts]
    distinct = sorted({tuple(words) for words in texts})
    gold = sum(tag != "O" for row in rows for tag in row["ner_tags"])
    best = 0.0
    for rule in itertools.product(*(itertools.product(tags, repeat=len(words)) for words in distinct)):
        answers = dict(zip(distinct, rule, strict=True))
        pairs = [pair for row in rows for pair in zip(answers[tuple(row["tokens"])], row["ner_tags"], strict=True)]
        right = sum(answer == tag != "O" for answer, tag in pairs)
        best = max(best, 200 * right / (gold + sum(answer != "O" for answer, _ in pairs)))
    assert text_only_ceiling(rows) == pytest.approx(best)


def test_text_only_ceiling_leaves_out_names_when_that_is_better():
    known = [{"tokens": ["Berlin", str(i)], "ner_tags": [3, 0]} for i in range(4)]
    ambiguous = [{"tokens": ["Aurora"], "ner_tags": [tag]} for tag in (1, 3, 5, 7)]
    assert text_only_ceiling(known + ambiguous) == pytest.approx(100 * 2 * 4 / (4 + 8))
    assert text_only_ceiling(known[:1] + ambiguous) == pytest.approx(100 * 2 / 5)
    assert text_only_ceiling([{"tokens": ["rain"], "ner_tags": [0]}]) == 0


def test_equal_seeds_write_equal_files(tmp_path):
    for name, seed in (("a/mini", 3), ("b/mini", 3), ("c/mini", 4)):
        write_mini(tmp_path / name, seed, TINY)
    first, second, other = (
        {
            path.relative_to(tmp_path / part): path.read_bytes()
            for path in (tmp_path / part).rglob("*")
            if path.is_file()
        }
        for part in "abc"
    )
    assert len(first) == 14
    assert first == second
    assert not any(first[path] == other[path] for path in first)


def test_written_folder_opens_by_name_from_its_parent(tmp_path, monkeypatch, tiny):
    write_mini(tmp_path / "mmnerd-mini", 3, TINY)
    monkeypatch.chdir(tmp_path)
    assert sorted(get_dataset_config_names("mmnerd-mini")) == sorted(CONFIGS)
    rows = load_dataset("mmnerd-mini", "en", cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows[split]) for split in SPLITS} == {
        split: sum(row["lang"] == "en" for row in tiny[split]) for split in SPLITS
    }
    assert rows["train"].features == features()
    pictures = rows["train"].filter(lambda status: status == "ok", input_columns="image_status")
    assert min(pictures[0]["image"].size) >= 160
    everything = load_dataset("mmnerd-mini", cache_dir=str(tmp_path / "cache"))
    assert {split: len(everything[split]) for split in SPLITS} == dict(zip(SPLITS, TINY, strict=True))
    assert text_only_ceiling(everything["test"]) == pytest.approx(text_only_ceiling(tiny["test"]))


def test_command_line_writes_the_full_set_with_its_ceiling_in_the_card(tmp_path, monkeypatch, capsys, jpeg, full):
    monkeypatch.setattr("dataset_scripts.mini.generator.draw_picture", lambda subject, rng: jpeg)
    output = str(tmp_path / "mini")
    mini.main(["--output", output])
    assert "| en | train | 600 |" in capsys.readouterr().out
    card = (tmp_path / "mini" / "README.md").read_text(encoding="utf-8")
    ceilings = [f"{text_only_ceiling(full[split]):.1f}" for split in SPLITS]
    assert f"| all | {' | '.join(ceilings)} |" in card
    assert "license: apache-2.0" in card
    assert "--output mini --seed 19" in card
    assert "(figures/example.jpg)\n\n| language | sentence |\n| --- | --- |\n| en | " in card
    assert (tmp_path / "mini" / "figures" / "example.jpg").read_bytes() == jpeg
    assert not re.search(r"\{\w+", card)
    with pytest.raises(SystemExit, match="not empty"):
        mini.main(["--output", output])


@pytest.mark.parametrize(("sizes", "cause"), [((64, 15, 16), "num_validation"), ((20_000, 16, 16), "lower")])
def test_impossible_sizes_are_refused(sizes, cause, monkeypatch, jpeg):
    monkeypatch.setattr("dataset_scripts.mini.generator.draw_picture", lambda subject, rng: jpeg)
    with pytest.raises(ValueError, match=cause):
        generate_rows(3, *sizes)


def test_plans_of_any_size_are_exact_and_reach_every_language():
    for size in range(16, 120):
        kinds = choose_kinds(size)
        assert sum(kind.unit for kind in kinds) == size
        assert any(kind.parallel for kind in kinds)
        assert any(kind.ambiguous for kind in kinds)


def test_templates_agree_between_languages_and_suit_any_name():
    for templates in SENTENCE_TEMPLATES.values():
        for template in templates:
            assert all(
                Counter(w for w in template[lang] if w[0] == "{") == Counter(slots(template)) for lang in LANGUAGES
            )
            before = {word for word, slot in itertools.pairwise(template["fr"]) if slot in AMBIGUOUS_SLOTS}
            assert not before & {"de", "que", "le", "la", "du", "au", "en"}
    known = {name["en"] for names in FILLERS.values() for name in names}
    assert not known & {name["en"] for name in AMBIGUOUS_NAMES}


def test_a_sentence_gives_the_picture_type_only_to_ambiguous_names():
    template = {"fr": ("{X}", "rappelle", "{LOC}", "!")}
    sentence = FilledTemplate(template, {"{X}": {"fr": ("Santa", "Rosa")}, "{LOC}": {"fr": ("Rome",)}})
    assert sentence.types() == ["LOC"]
    tokens, tags = sentence.render("fr", "ORG")
    assert tokens == ["Santa", "Rosa", "rappelle", "Rome", "!"]
    assert tags == ["B-ORG", "I-ORG", "O", "B-LOC", "O"]


@pytest.mark.parametrize("subject", [*ENTITY_TYPES, None])
def test_pictures_are_decodable_small_and_varied(subject):
    pictures = [draw_picture(subject, Random(i)) for i in range(12)]
    assert draw_picture(subject, Random(0)) == pictures[0]
    assert len(set(pictures)) == 12
    sizes = {Image.open(io.BytesIO(data)).convert("RGB").size for data in pictures}
    assert len(sizes) > 2
    assert all(160 <= side <= 224 for size in sizes for side in size)
    assert all(1_500 < len(data) < 25_000 for data in pictures)
