"""PEFT's recipe for token classification: adapters train, save, reload and merge."""

import pytest
import torch
from transformers import AutoModelForTokenClassification

from modeling_2mner.foreign_inputs import drop_foreign

peft = pytest.importorskip("peft")
NEW_PARTS = ["crf", "text_head", "vit_head", "resnet_head"]


@pytest.fixture
def recipe():
    def make(**changes):
        return peft.LoraConfig(
            task_type="TOKEN_CLS", r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["query", "value"], **changes
        )

    return make


@pytest.fixture
def base_folder(tmp_path, make_model):
    make_model().save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def load(folder):
    return AutoModelForTokenClassification.from_pretrained(folder)


def train(model, batch, steps=15):
    model.train()
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("more", [[], NEW_PARTS], ids=["the recipe", "and new parts"])
def test_the_standard_recipe_trains_saves_reloads_and_merges(
    base_folder, tmp_path, processor, sentences, tags, pictures, recipe, more
):
    batch = processor(sentences, [pictures[0], *[None] * (len(sentences) - 1)], tags)
    model = peft.get_peft_model(load(base_folder), recipe(**({"modules_to_save": more} if more else {})))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    losses = train(model, batch)
    assert losses[-1] < 0.8 * losses[0]
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert any("lora_B" in name for name in moved) and any("classifier" in name for name in moved)
    assert any("crf" in name for name in moved) == bool(more)
    assert not any(name for name in moved if "lora" not in name and "modules_to_save" not in name)

    model.eval().save_pretrained(tmp_path / "adapter")
    assert not list((tmp_path / "adapter").glob("model.safetensors")) and list(
        (tmp_path / "adapter").glob("adapter_*")
    )
    with torch.no_grad():
        trained = model(**batch)
        fresh = load(base_folder).eval()
        assert not torch.allclose(fresh(**batch).logits, trained.logits, atol=1e-3)
        reloaded = peft.PeftModel.from_pretrained(load(base_folder), str(tmp_path / "adapter")).eval()
        assert torch.allclose(reloaded(**batch).logits, trained.logits, atol=1e-5)
        assert torch.equal(reloaded(**batch).predictions, trained.predictions)
        merged = reloaded.merge_and_unload()
        assert type(merged) is type(fresh)
        assert torch.allclose(merged(**batch).logits, trained.logits, atol=1e-4)
        merged.save_pretrained(tmp_path / "merged")
        assert torch.allclose(load(str(tmp_path / "merged")).eval()(**batch).logits, trained.logits, atol=1e-4)
        assert torch.equal(load(str(tmp_path / "merged")).eval()(**batch).predictions, trained.predictions)


@pytest.mark.parametrize("kind", ["bert-crf", "umt", "umgf", "mkgformer"])
def test_comparison_models_take_the_recipe_too(make_baseline, tokenizer, recipe, kind):
    from modeling_2mner import OneImageProcessor

    model = make_baseline(kind)
    batch = OneImageProcessor.for_model(model, tokenizer)(["Anna in Paris"], labels=[["B-PER", "O", "B-LOC"]])
    config = recipe()
    config.target_modules = r".*text_model.*\.(query|value)"
    losses = train(peft.get_peft_model(model, config), batch)
    assert losses[-1] < losses[0]


def test_prompt_tuning_is_refused_with_the_remedy(base_folder, processor):
    model = load(base_folder)
    with pytest.raises(
        ValueError, match=r"`inputs_embeds` cannot be used.* pass `input_ids`, and adapt the model by LoRA"
    ):
        model(inputs_embeds=torch.zeros(1, 3, 32), attention_mask=None)
    with pytest.raises(ValueError, match="`output_hidden_states` cannot be used"):
        model(**processor(["Anna"]), output_hidden_states=True)


def test_only_what_is_foreign_and_none_is_dropped():
    given = {"inputs_embeds": None, "output_attentions": None, "input_ids": None, "word_ids": 1, "attention_mask": 2}
    assert drop_foreign(given, reads_words=True) == {"word_ids": 1, "attention_mask": 2}
    assert drop_foreign(given, reads_words=False) == {"input_ids": None, "word_ids": 1, "attention_mask": 2}
    assert drop_foreign({"output_attentions": True}, reads_words=True) == {"output_attentions": True}
