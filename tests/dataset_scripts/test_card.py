from collections import Counter

from huggingface_hub import DatasetCard

from dataset_scripts.card import config_metadata, dataset_card
from dataset_scripts.rows import SplitCounts
from dataset_scripts.schema import COLUMNS, CONFIGS, LANGUAGES, SPLITS


def make_counts(languages=LANGUAGES, sentences=2000):
    return {
        (lang, split): SplitCounts(
            sentences, 9, mentions=Counter(PER=3, LOC=1), sources=Counter(cc12m=5), statuses=Counter(ok=7)
        )
        for lang in languages
        for split in SPLITS
    }


def make_card(counts, **changes):
    return dataset_card(counts, "f00d", **{"name": "mmnerd", "title": "A title", "summary": "A summary.", **changes})


def test_every_configuration_lists_the_files_of_its_languages():
    entries = {entry["config_name"]: entry for entry in config_metadata(make_counts(), "f00d")}
    assert list(entries) == list(CONFIGS)
    assert [name for name, entry in entries.items() if entry.get("default")] == ["all"]
    assert entries["de_fr"]["data_files"][1] == {
        "split": "validation",
        "path": ["data/de/validation-*.parquet", "data/fr/validation-*.parquet"],
    }
    assert [len(files["path"]) for files in entries["all"]["data_files"]] == [4, 4, 4]


def test_absent_languages_and_splits_are_not_listed():
    counts = make_counts(("de",))
    del counts["de", "validation"]
    entries = config_metadata(counts, "f00d")
    assert [entry["config_name"] for entry in entries] == ["all", "de"]
    assert [files["split"] for files in entries[1]["data_files"]] == ["train", "test"]


def test_metadata_is_valid_yaml_with_features_for_every_configuration():
    metadata = DatasetCard(make_card(make_counts(), license="mit")).data
    assert metadata.language == ["en", "fr", "es", "de"]
    assert metadata.size_categories == "10K<n<100K"
    assert metadata.license == "mit" and "license_name" not in metadata.to_dict()
    assert [info["config_name"] for info in metadata.dataset_info] == sorted(CONFIGS)
    assert all([column["name"] for column in info["features"]] == list(COLUMNS) for info in metadata.dataset_info)


def test_body_has_measured_counts_columns_and_the_extra_markdown():
    card = make_card(make_counts(("en",)), body="## More\n\n{{ kept }} & $kept")
    assert "# A title\n\nA summary.\n" in card
    assert "| en | train | 2,000 | 9 | 4 | 3 | 1 | 0 | 0 |" in card
    assert "| en | test | 5 | 7 | 0 | 0 | 0 | 0 |" in card
    assert 'load_dataset("mmnerd", "en")' in card
    assert all(f"\n| `{column}` | {meaning} |\n" in card for column, meaning in COLUMNS.items())
    assert card.endswith("\n\n## More\n\n{{ kept }} & $kept\n")
