"""The processor of the comparison models on word vectors."""

import reprlib
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from .processing_2mner import pad_rows
from .processing_one_image import OneImageProcessor, picture_processor

LONGEST_WORD = 100  # characters


class WordProcessor(OneImageProcessor):
    """Turn words and pictures into the inputs of a model on word vectors.

    Sentences have no maximum length. Of a word of more than 100 characters, the model sees the first and the last 50
    characters, and a warning says so: all words of a batch are padded to the longest.

    Args:
        tokenizer ([`WordTokenizer`]): numbers words and characters.
        image_processor, labels, on_bad_image, use_image, jpeg_draft: as for [`OneImageProcessor`].

    Raises:
        ValueError: without a tokenizer, for one of another kind, or for an unknown `on_bad_image`.

    Example:

    ```python
    >>> from modeling_2mner import WordProcessor, WordTokenizer

    >>> tokenizer = WordTokenizer(words=["Anna", "in", "Paris"])
    >>> processor = WordProcessor(tokenizer=tokenizer, use_image=False)
    >>> processor([["Anna", "in", "Paris"], ["Paris"]])["word_ids"].tolist()
    [[2, 3, 4], [4, 0, 0]]
    ```
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        labels: list[str] | None = None,
        on_bad_image: str = "none",
        use_image: bool = True,
        chat_template: str | None = None,
        jpeg_draft: bool = False,
    ):
        super().__init__(
            image_processor,
            tokenizer,
            labels=labels,
            on_bad_image=on_bad_image,
            use_image=use_image,
            jpeg_draft=jpeg_draft,
            chat_template=chat_template,
        )

    @classmethod
    def for_model(
        cls, model: PreTrainedModel, tokenizer: Any, max_length: int = 512, resnet_image_size: int = 224
    ) -> Any:
        """The processor that fits a model on words; for AdaCAN over BERT, which reads sub-words, an
        [`OneImageProcessor`].

        Args:
            model, tokenizer, max_length, resnet_image_size: as for [`TwoMNERProcessor.for_model`]; words have no
                windows.
        """
        config = model.config
        if not config.reads_words:
            return OneImageProcessor.for_model(model, tokenizer, max_length, resnet_image_size)
        pictures = picture_processor(config, resnet_image_size)
        return cls(pictures, tokenizer, labels=config.labels, use_image=config.uses_image)

    @staticmethod
    def _check_parts(tokenizer: Any, on_bad_image: str) -> None:
        OneImageProcessor._check_parts(tokenizer, on_bad_image)
        # By name: from the code of a checkpoint, `AutoTokenizer` creates a separate class.
        if "WordTokenizer" not in [base.__name__ for base in type(tokenizer).__mro__]:
            raise ValueError(
                f"`tokenizer` is a {type(tokenizer).__name__}; pass a `WordTokenizer`, which numbers words."
            )

    def piece_lengths(self, sentences: Sequence[list[str] | str]) -> list[int]:
        """How many words each sentence has."""
        return [len(words) for words in self._split(sentences)[0]]

    @property
    def model_input_names(self) -> list[str]:
        """The names of the tensors, beginning with a `(batch, ...)` tensor."""
        names = ["word_ids", "char_ids", "char_lengths", "word_mask", "image_index"]
        return [*names, "pixel_values"] if self.use_image else names

    def _encode_text(self, words: list[list[str]]) -> dict[str, torch.Tensor]:
        """Make `word_ids, char_lengths, word_mask (B,W)` and `char_ids (B,W,C)`."""
        num_words = max(map(len, words), default=0)
        characters = [
            [self.tokenizer.character_ids(_cut(word)) for word in sentence] + [[]] * (num_words - len(sentence))
            for sentence in words
        ]
        _warn_of_cut([word for sentence in words for word in sentence if len(word) > LONGEST_WORD])
        flat = [ids for sentence in characters for ids in sentence]
        width = max(map(len, flat), default=0)
        lengths = torch.tensor([len(sentence) for sentence in words], dtype=torch.long)
        word_ids = [[self.tokenizer.word_id(word) for word in sentence] for sentence in words]
        return {
            "word_ids": pad_rows(word_ids, num_words, 0),
            "char_ids": pad_rows(flat, width, 0).reshape(len(words), num_words, width),
            "char_lengths": pad_rows([[len(ids) for ids in sentence] for sentence in characters], num_words, 0),
            "word_mask": torch.arange(num_words)[None, :] < lengths[:, None],
        }


def _cut(word: str) -> str:
    """A word without its middle, if it is longer than any real one."""
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD // 2] + word[-(LONGEST_WORD // 2) :]


def _warn_of_cut(words: list[str]) -> None:
    if words:
        warnings.warn(
            f"{len(words)} words have more than {LONGEST_WORD} characters, such as {reprlib.repr(words[0])}; of each "
            f"the model sees the first and the last {LONGEST_WORD // 2}. Check that the text is split into words.",
            stacklevel=4,
        )


__all__ = ["WordProcessor"]
