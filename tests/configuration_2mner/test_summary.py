from __future__ import annotations

import json

import pytest

from configuration_2mner.summary import count_parameters, load_config, main
from modeling_2mner import TwoMNERConfig, TwoMNERForTokenClassification

TEXT_ONLY = {"use_vit": False, "use_resnet": False}


def linear(inside: int, outside: int) -> int:
    return inside * outside + outside


def bert(vocab: int, pooler: bool, size: int = 768, layers: int = 12, positions: int = 512) -> int:
    embeddings = (vocab + positions + 2) * size + 2 * size
    layer = 4 * linear(size, size) + linear(size, 4 * size) + linear(4 * size, size) + 4 * size
    return embeddings + layers * layer + pooler * linear(size, size)


def clip_tower(size: int = 768, layers: int = 12, patch: int = 32, tokens: int = 50) -> int:
    embeddings = size + 3 * patch**2 * size + tokens * size
    layer = 4 * linear(size, size) + linear(size, 4 * size) + linear(4 * size, size) + 4 * size
    return embeddings + layers * layer + 4 * size  # norms before and after the layers


def resnet_152() -> int:
    total, inside = 3 * 64 * 49 + 2 * 64, 64
    for depth, width in zip((3, 8, 36, 3), (64, 128, 256, 512), strict=True):
        outside = 4 * width
        total += inside * outside + 2 * outside  # the shortcut
        for block in range(depth):
            entry = inside if block == 0 else outside
            total += entry * width + 9 * width * width + width * outside + 2 * (width + width + outside)
        inside = outside
    return total


def collaboration(size: int = 768) -> int:
    return 4 * linear(size, size) + linear(size, 4 * size) + linear(4 * size, size) + 4 * size


PAPER = {
    "text_model": 177_853_440,
    "vision_model": 87_456_000,
    "vit_head": linear(50 * 768, 768) + linear(768, 768),
    "vit_collaboration": collaboration(),
    "resnet_model": 58_143_808,
    "resnet_head": linear(2048, 768) + linear(768, 768),
    "resnet_projection": linear(2048, 768),
    "resnet_collaboration": collaboration(),
    "text_head": 2 * linear(768, 768),
    "classifier": linear(1536, 9),
    "crf": 9 * 9 + 18,
}


def test_the_published_encoders_have_these_sizes():
    assert bert(119_547, pooler=True) == PAPER["text_model"]
    assert clip_tower() == PAPER["vision_model"]
    assert resnet_152() == PAPER["resnet_model"]


def test_the_papers_network_by_component():
    counts = count_parameters(TwoMNERConfig())
    assert counts == {**PAPER, "total": sum(PAPER.values())}


def test_ablations_lose_their_components():
    text_only = count_parameters(TwoMNERConfig(**TEXT_ONLY))
    expected = {"text_model": bert(119_547, pooler=False), "classifier": linear(768, 9), "crf": 99}
    assert text_only == {**expected, "total": sum(expected.values())}
    without_resnet = count_parameters(TwoMNERConfig(use_resnet=False, use_crf=False, contrastive_vit_pooling="cls"))
    names = ("text_model", "vision_model", "vit_head", "vit_collaboration", "text_head", "classifier")
    assert list(without_resnet)[:-1] == [name for name in without_resnet if name in names]
    assert without_resnet["vit_head"] == 2 * linear(768, 768) and without_resnet["classifier"] == linear(768, 9)
    light = count_parameters(TwoMNERConfig(fusion_projection=True, collaboration_ffn=False, num_text_layers=6))
    assert light["fusion_projection"] == linear(1536, 768) and light["classifier"] == linear(768, 9)
    assert light["vit_collaboration"] == 4 * linear(768, 768) + 2 * 768
    assert light["text_model"] == bert(119_547, pooler=True, layers=6)


def test_configs_are_found_by_preset_file_and_folder(tmp_path, make_config):
    assert count_parameters(load_config("2m-ner"))["total"] == sum(PAPER.values())
    config = make_config()
    config.save_pretrained(tmp_path)
    for name in (tmp_path, tmp_path / "config.json"):
        assert load_config(str(name)).to_diff_dict() == config.to_diff_dict()
    with pytest.raises(ValueError, match=r"`config` is '2m-nerd'; write .* a preset: .*2m-ner"):
        load_config("2m-nerd")


def test_the_table_is_printed(capsys, tmp_path, make_config):
    make_config(**TEXT_ONLY).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    main(["--config", str(tmp_path)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    vocabulary = saved["text_config"]["vocab_size"]
    text = bert(vocabulary, False, 16, 2, 64) - 2 * (linear(16, 64) + linear(64, 16) - linear(16, 32) - linear(32, 16))
    rows = {"text_model": text, "classifier": linear(16, 9), "crf": 99}
    assert lines == [[name, f"{count:,}"] for name, count in {**rows, "total": sum(rows.values())}.items()]


def test_an_unknown_preset_is_an_error_of_the_command_line():
    with pytest.raises(SystemExit, match=r"error: `config` is 'nothing-like-it'; .*2m-ner-demo"):
        main(["--config", "nothing-like-it"])


def test_the_former_name_of_the_command_does_not_travel(tmp_path, make_config):
    TwoMNERForTokenClassification(make_config(**TEXT_ONLY)).save_pretrained(tmp_path)
    copied = {path.name for path in tmp_path.glob("*.py")}
    assert "modeling_2mner.py" in copied and "summary.py" not in copied
