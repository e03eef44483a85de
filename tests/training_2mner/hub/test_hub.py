from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from huggingface_hub import HfApi, ModelCard, parse_eval_result_entries
from packaging.requirements import Requirement
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification, AutoProcessor

from modeling_2mner import TwoMNERPipeline
from tests.stand_in_hub import ROOT, StandInHub
from tests.stand_in_repository import Repository
from training_2mner.arguments import DataArguments, ModelArguments, TwoMNERTrainingArguments
from training_2mner.collator import TwoMNERDataCollator
from training_2mner.evaluation import evaluate_on_test
from training_2mner.hub.__main__ import main, read_command_line
from training_2mner.hub.release import release
from training_2mner.hub.staging import requirements
from training_2mner.model_card import write_model_card
from training_2mner.trainer import TwoMNERTrainer

CHILD = Path(__file__).with_name("pull_from_hub.py")
REPO, PLANTED = "user/2m-ner.tiny", "user/planted"
SENTENCES = ["Anna Meier est in Paris, le Louvre!", "São Paulo in Köln"]
CODE = {
    f"{name}.py" for name in ("configuration_2mner", "modeling_2mner", "processing_2mner", "pipeline_2mner", "handler")
}
CODE |= {
    f"{name}.py" for name in ("pipeline_inputs", "picture_rows", "stock_arguments", "configuration_parts", "pixels")
}
CODE |= {f"{name}.py" for name in ("alignment", "crf", "encoders", "fusion", "image_sources", "images", "outputs")}
CODE |= {
    f"{name}.py"
    for name in (
        "foreign_inputs",
        "kept_features",
        "lattice",
        "length_windows",
        "pieces",
        "posteriors",
        "spans",
        "torchvision_resnet",
        "windows",
    )
}
CODE |= {"configuration_tagging.py", "tagging.py"}
FILES = CODE | {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json"}
FILES |= {"README.md", "requirements.txt", "all_results.json", "calibration.json", "calibration.png"}
LEFT_OUT = {"checkpoint-3/", "example-1.jpg", "predictions_test.conll", "trainer_state.json", "training_args.bin"}


@pytest.fixture(scope="module")
def built(tmp_path_factory, make_model, processor, splits, quiet, make_picture) -> Path:
    """A run folder with all that a run leaves, and a picture as `make demo` adds."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    trainer = TwoMNERTrainer(
        model=make_model(),
        args=TwoMNERTrainingArguments(output_dir=str(folder), **quiet),
        train_dataset=splits["train"],
        data_collator=TwoMNERDataCollator(processor),
        processing_class=processor,
    )
    trainer.save_model()
    trainer.save_state()
    results = evaluate_on_test(trainer, splits["test"])
    trainer.save_metrics("all", results)
    write_model_card(trainer, ModelArguments(license="mit"), DataArguments(dataset="mini"), splits, results)
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "optimizer.pt").write_bytes(b"a pickle")
    (folder / "training_args.bin").write_bytes(b"a pickle, as the plain Trainer leaves it")
    make_picture(0).save(folder / "example-1.jpg")
    make_picture(1).save(folder / "calibration.png")
    (folder / "calibration.json").write_text("{}", encoding="utf-8")
    return folder


@pytest.fixture
def folder(built, tmp_path) -> Path:
    """A copy of the run folder, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "runs" / "tiny"))


@pytest.fixture
def online(hub, monkeypatch, tmp_path):
    """The Hub, for clients in this process; the check in a process of its own, which takes its time, is left out."""
    hub.connect(monkeypatch, tmp_path)
    monkeypatch.setattr("training_2mner.hub.release.check_in_clean_process", lambda folder: None)
    return hub


@pytest.fixture(scope="module")
def published(built, tmp_path_factory):
    """The Hub after a release, with everything checked."""
    with StandInHub() as hub:
        with pytest.MonkeyPatch.context() as patch:
            hub.connect(patch, tmp_path_factory.mktemp("author"))
            commit = release(built, REPO, tag="v1", message="First", space="user/demo", dataset="user/mini")
        yield SimpleNamespace(hub=hub, repo=hub.repo("models", REPO), commit=commit)


def data_of(repo) -> dict[str, bytes]:
    return {name: data for name, data in repo.files().items() if name != ".gitattributes"}


def edit_json(path: Path, change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_one_commit_with_a_tag(published):
    repo = published.repo

    assert [commit.message for commit in repo.commits] == ["initial commit", "First"]
    assert repo.tags == {"v1": published.commit.oid} and published.commit.oid == repo.commits[-1].id
    assert not repo.private
    assert sum(request.startswith(f"POST /api/models/{REPO}/commit/") for request in published.hub.requests) == 1


def test_what_goes_up_and_what_stays(published, built):
    files = data_of(published.repo)

    assert set(files) == FILES | {".eval_results/mini.yaml"}
    changed = {"README.md", "requirements.txt", ".eval_results/mini.yaml"}
    assert all(files[name] == (built / name).read_bytes() for name in set(files) - changed)
    assert published.repo.commit().lfs == {"model.safetensors", "calibration.png"}
    assert {path.name + "/" * path.is_dir() for path in built.iterdir()} - FILES == LEFT_OUT
    assert not any(str(ROOT).encode() in data or str(built.parent).encode() in data for data in files.values())


def test_the_card_on_the_hub(published, built):
    card = ModelCard(published.repo.files()["README.md"].decode())

    assert card.text.count(f'"{REPO}"') == 4 and '"tiny"' not in card.text
    assert "# 2m-ner.tiny\n" in card.text
    assert "does not run custom code" in card.text and "https://huggingface.co/spaces/user/demo" in card.text
    assert (card.data.model_name, card.data.datasets, card.data.license) == ("2m-ner.tiny", ["user/mini"], "mit")
    assert {result.dataset_type for result in card.data.eval_results} == {"user/mini"}
    local = (built / "README.md").read_text(encoding="utf-8")
    assert '"tiny"' in local and REPO not in local  # the run's own card stays as it is


def test_scores_in_the_newer_format(published, built):
    text = published.repo.files()[".eval_results/mini.yaml"].decode()
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    results = json.loads((built / "all_results.json").read_text(encoding="utf-8"))

    assert (entry.dataset_id, entry.task_id, entry.value) == ("user/mini", "all", round(100 * results["test_f1"], 2))
    assert "strict IOB2" in entry.notes


def test_requirements_are_the_projects_own(published):
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = published.repo.files()["requirements.txt"].decode().splitlines()

    assert set(map(Requirement, lines)) == set(map(Requirement, project["dependencies"]))
    assert any(line.startswith("pytorch-crf>=") for line in lines)


def test_requirements_of_an_installed_project(monkeypatch):
    lines = ["torch>=2.13", "numpy", 'pytest; extra == "dev"']
    monkeypatch.setattr("training_2mner.hub.staging.metadata.requires", {"2m-ner": lines}.get)

    assert requirements() == ["torch>=2.13", "numpy"]


@pytest.fixture
def place(built, tmp_path, make_picture, predict) -> Path:
    """What the local folder makes of two sentences and a picture."""
    make_picture(3).save(tmp_path / "picture.png")
    model, processor = AutoModelForTokenClassification.from_pretrained(built), AutoProcessor.from_pretrained(built)
    batch = processor(SENTENCES, [tmp_path / "picture.png", None])
    outputs = predict(model, batch)
    rows = [{"text": SENTENCES[0], "image": str(tmp_path / "picture.png")}, {"text": SENTENCES[1]}]
    expected = {
        "sentences": SENTENCES,
        "batch": dict(batch),
        "logits": outputs.logits,
        "predictions": outputs.predictions,
        "states": predict(model.model, batch).last_hidden_state,
        "entities": [list(found) for found in TwoMNERPipeline(model=model, processor=processor)(rows)],
    }
    assert all(expected["entities"])
    torch.save(expected, tmp_path / "expected.pt")
    return tmp_path


def plant(hub: StandInHub, marker: Path) -> None:
    """A repository whose encoders' configs name code, and claim to be trusted; the code leaves `marker`."""
    files = dict(hub.repo("models", REPO).files())
    evil = f"open({str(marker)!r}, 'w').close()\nclass Evil: pass\n".encode()
    config = json.loads(files["config.json"])
    for name in ("text_config", "vision_config", "resnet_config"):
        there = f"{PLANTED}--" if name == "vision_config" else ""
        config[name]["trust_remote_code"] = True
        config[name]["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModel"), f"{there}evil.Evil")
    files |= {"config.json": json.dumps(config).encode(), "evil.py": evil}
    lines = [
        {"key": "file", "value": {"path": name, "content": base64.b64encode(data)}} for name, data in files.items()
    ]
    hub.repositories["models", PLANTED] = Repository("models", PLANTED, {})
    hub.repo("models", PLANTED).add_commit("main", [{"value": {"summary": "Planted"}}, *lines], {})
    exec(evil)
    assert marker.exists()  # it would work
    marker.unlink()


def test_a_process_without_the_project_pulls_it_and_then_needs_no_hub(published, place):
    """By id with every class, bit by bit the same; without trust it is refused; nested trust is not obeyed."""
    plant(published.hub, place / "marker")
    environment = published.hub.environment(place / "reader", token=None)
    command = [sys.executable, "-I", str(CHILD), str(place), REPO]
    settings = {"cwd": "/", "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([*command, PLANTED], env=environment, **settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not any(request.endswith("/evil.py") for request in published.hub.requests)
    assert not (place / "marker").exists()
    asked = len(published.hub.requests)
    environment |= {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(command, env=environment, **settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(published.hub.requests) == asked


def test_a_model_that_works_here_alone_is_not_published(folder, hub, monkeypatch, tmp_path):
    hub.connect(monkeypatch, tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop("classifier.bias")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError, match=r"(?s)does not work where .*weights do not fit the network: .*classifier\.bias"
    ):
        release(folder, REPO)
    assert hub.requests == []


DAMAGES = {
    "no card": (lambda f: (f / "README.md").unlink(), r"tiny has no README\.md; name a run folder"),
    "bad yaml": (
        lambda f: (f / "README.md").write_text("---\na: ]\n---\n"),
        r"YAML at the top .*README\.md is invalid",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), r"has no config\.json"),
    "no processor": (lambda f: (f / "processor_config.json").unlink(), r"has no processor_config\.json"),
    "a pickle": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "no weights as safetensors"),
    "no json": (lambda f: (f / "config.json").write_text("{"), r"config\.json is not valid JSON"),
    "code gone": (lambda f: (f / "windows.py").unlink(), r"lacks windows\.py, .* call `save_pretrained` on both"),
    "old pipeline": (lambda f: (f / "handler.py").unlink(), r"lacks handler\.py"),
    "import gone": (
        lambda f: (f / "crf.py").write_text("from .forward_backward import scan\n"),
        r"imports forward_backward\.py, which is missing",
    ),
    "huge": (lambda f: (f / "vocab.txt").open("wb").truncate(101 * 2**20), r"vocab\.txt has more than 104,857,600"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_folders_are_refused_before_the_hub_hears_of_it(folder, online, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        release(folder, REPO)
    assert online.requests == []


def test_code_that_names_others_is_left_out(folder, online, caplog):
    def plant(config):
        config["text_config"] |= {"auto_map": {"AutoModel": "evil.Evil"}, "trust_remote_code": True}

    edit_json(folder / "config.json", plant)
    edit_json(folder / "processor_config.json", lambda c: c["image_processor"]["auto_map"].update(A="other/repo--x.Y"))
    edit_json(folder / "tokenizer_config.json", lambda c: c["auto_map"].update(AutoTokenizer=["evil.Slow", None]))
    (folder / "evil.py").write_text("raise SystemExit")
    release(folder, REPO)
    files = online.repo("models", REPO).files()

    config = json.loads(files["config.json"])
    assert not {"auto_map", "trust_remote_code"} & set(config["text_config"])
    assert config["auto_map"]["AutoModel"] == "modeling_2mner.TwoMNERModel"
    processor = json.loads(files["processor_config.json"])
    assert "auto_map" not in processor["image_processor"] and "auto_map" in processor["resnet_image_processor"]
    assert "auto_map" not in json.loads(files["tokenizer_config.json"]) and "evil.py" not in files
    places = ("config.json: text_config: auto_map", "config.json: text_config: trust_remote_code")
    places += ("processor_config.json: image_processor: auto_map", "tokenizer_config.json: auto_map")
    assert [record.args for record in caplog.records if "never runs" in record.msg] == [(place,) for place in places]


def test_code_of_another_version_is_published_with_a_warning(folder, online, caplog):
    release(folder, REPO)
    assert "not as in this version" not in caplog.text
    (folder / "windows.py").write_text(
        (folder / "windows.py").read_text(encoding="utf-8") + "\n# older\n", encoding="utf-8"
    )
    release(folder, REPO)

    assert "tiny: windows.py is not as in this version" in caplog.text
    assert online.repo("models", REPO).files()["windows.py"].endswith(b"# older\n")


def test_a_later_release_replaces_the_earlier_in_one_commit(folder, online):
    first = release(folder, REPO, tag="v1", dataset="user/mini")
    repo = online.repo("models", REPO)
    assert release(folder, REPO, dataset="user/mini").oid == first.oid and len(repo.commits) == 2
    (folder / "all_results.json").unlink()
    second = release(folder, REPO, tag="v2", message="Without scores")
    assert [commit.message for commit in repo.commits] == ["initial commit", "Upload the model", "Without scores"]
    assert repo.tags == {"v1": first.oid, "v2": second.oid}
    assert set(data_of(repo)) == FILES - {"all_results.json"}
    with pytest.raises(ValueError, match="already has a tag 'v1'"):
        release(folder, REPO, tag="v1")
    assert len(repo.commits) == 3


def test_a_data_set_without_hub_id_gives_no_entry(folder, online, caplog):
    caplog.set_level("INFO")
    release(folder, REPO)

    assert not any(name.startswith(".eval_results") for name in online.repo("models", REPO).files())
    assert "the run read 'mini', which is not a Hub id" in caplog.text
    assert f"Left out of the release: {', '.join(sorted(LEFT_OUT))}." in caplog.text


def test_a_card_written_by_hand(folder, online, caplog):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# tiny\n\nMine.\n", encoding="utf-8")
    release(folder, REPO, space="user/demo")

    text = online.repo("models", REPO).files()["README.md"].decode()
    assert text == "---\nlicense: mit\n---\n# 2m-ner.tiny\n\nMine.\n"
    assert "has lost its note on widgets; add the Space yourself" in caplog.text


@pytest.mark.parametrize("private", [True, False])
def test_visibility_is_never_changed(folder, online, private):
    release(folder, REPO, private)
    with pytest.raises(ValueError, match=rf"should be {'public' if private else 'private'}, .*\(`private={private}`"):
        release(folder, REPO, not private)
    repo = online.repo("models", REPO)
    assert repo.private == private and len(repo.commits) == 2


def test_a_public_model_without_licence_is_warned_of(folder, online, caplog):
    release(folder, "user/licensed")
    card = (folder / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(card.replace("license: mit\n", ""), encoding="utf-8")
    release(folder, "user/private", private=True)
    assert "states no licence" not in caplog.text
    release(folder, REPO)
    assert f"{REPO} will be public, and its card states no licence" in caplog.text


@pytest.mark.parametrize("repo", ["tiny", "user/runs/tiny", "user/ti ny", "user/tiny.git", "user/"])
def test_bad_names_are_refused_before_the_folder_is_read(online, tmp_path, repo):
    with pytest.raises(ValueError, match=r"(?i)repo.id"):
        release(tmp_path / "nowhere", repo)
    assert online.requests == []


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [
        (None, REPO, "There is no token for the Hub"),
        ("hf_wrong", REPO, "refused user/2m-ner.tiny: .*hf auth login"),
        ("hf_stand_in", "someone/tiny", "refused someone/tiny: .*a token that may write to this namespace"),
    ],
)
def test_refusals_of_the_hub_are_explained(built, online, monkeypatch, tmp_path, token, repo, message):
    online.connect(monkeypatch, tmp_path, token)
    with pytest.raises(SystemExit, match=f"(?s)error: .*{message}"):
        main([str(built), repo])
    assert online.repositories == {}


def test_a_change_in_between_is_not_overwritten(built, online, monkeypatch):
    def list_while_another_writes(api, repo_id, **options):
        files = list(online.repo("models", repo_id).files())
        line = {"key": "file", "value": {"path": "README.md", "content": ""}}
        online.repo("models", repo_id).add_commit("main", [{"value": {"summary": "Other"}}, line], {})
        return files

    monkeypatch.setattr(HfApi, "list_repo_files", list_while_another_writes)
    with pytest.raises(SystemExit, match=r"(?s)error: .*has changed in the meantime"):
        main([str(built), REPO, "--tag", "v1"])
    assert online.repo("models", REPO).commits[-1].message == "Other" and not online.repo("models", REPO).tags


def test_the_command_line(built, online, capsys):
    main([str(built), REPO, "--private", "--message", "Hello", "--tag", "v1", "--space", "user/demo"])
    repo = online.repo("models", REPO)
    assert repo.private and repo.commits[-1].message == "Hello" and set(repo.tags) == {"v1"}
    assert f"model='{REPO}', trust_remote_code=True), signed in" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"error: .*nowhere has no config\.json"):
        main([str(built / "nowhere"), REPO])
    assert not read_command_line([str(built), REPO]).private
