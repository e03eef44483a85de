"""Arguments that other libraries pass to every model, whether it takes them or not."""

from typing import Any

# PEFT's model for token classification passes these on, as None if its caller did not give them.
_PASSED_ON = ("inputs_embeds", "output_hidden_states", "output_attentions")
_OF_PIECES = ("input_ids", "attention_mask")


def drop_foreign(inputs: dict[str, Any], reads_words: bool) -> dict[str, Any]:
    """The inputs without those that are None and that only other models have.

    Args:
        inputs: the keyword arguments of a tagger's `forward`.
        reads_words: whether it has no use for pieces either.

    Raises:
        ValueError: for one of them that is not None, with what to write instead.
    """
    refuse_foreign(inputs.get("inputs_embeds"), inputs.get("output_hidden_states"))
    foreign = (*_PASSED_ON, *(_OF_PIECES if reads_words else ()))
    return {name: value for name, value in inputs.items() if name not in foreign or value is not None}


def refuse_foreign(inputs_embeds: Any, output_hidden_states: Any) -> None:
    """Raise ValueError for arguments that no model of this project accepts.

    Prompt and prefix tuning put such embeddings before the pieces, so `word_positions` would point to the wrong ones.
    """
    if inputs_embeds is not None:
        raise ValueError(
            "`inputs_embeds` cannot be used, because `word_positions` counts the pieces of `input_ids`; pass `input_ids`, "
            "and adapt the model by LoRA or other methods that leave the input as it is."
        )
    if output_hidden_states:
        raise ValueError(
            "`output_hidden_states` cannot be used: the encoders have their own; leave it out, and take them from "
            "`model.model.text_model`."
        )


__all__ = ["drop_foreign", "refuse_foreign"]
