"""Whole words and their characters to numbers; the vocabulary is saved with the checkpoint."""

import json
import os
import re
from collections.abc import Iterable
from typing import Any, cast

from transformers import BatchEncoding, PreTrainedTokenizer

from .windows import split_text

_DIGIT = re.compile(r"\d")


class WordTokenizer(PreTrainedTokenizer):
    """Map words to numbers, with 0 for padding and 1 for the unknown word, and characters, with 0 for padding.

    A word is looked up in its [`~WordTokenizer.forms`]. A word that looks like the padding or the unknown
    token is an ordinary word. Called like other tokenizers, with raw text or with `is_split_into_words=True`, it gives
    one `input_id` per word.

    Args:
        vocab_file (`str`, *optional*): JSON with the `words` and `characters` below, as `save_vocabulary` writes it.
        words (`Iterable[str]`, *optional*): the words, numbered from 2.
        characters (`Iterable[str]`, *optional*): the characters, numbered from 1.
        pad_token, unk_token (`str`): how words 0 and 1 are shown.

    Raises:
        ValueError: with both or neither of a file and words, for a file that is not such a vocabulary, for a word or
            character that occurs twice, and for one of the special tokens among the words.

    Example:

    ```python
    >>> from modeling_2mner import WordTokenizer

    >>> tokenizer = WordTokenizer(words=["in", "paris", "00"], characters="inpars")
    >>> tokenizer(["in", "Paris", "24", "Hugo"], is_split_into_words=True)["input_ids"]
    [2, 3, 4, 1]
    >>> tokenizer.character_ids("in")
    [1, 2]
    ```
    """

    vocab_files_names = {"vocab_file": "vocab.json"}  # noqa: RUF012  (transformers reads these class attributes)
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(
        self,
        vocab_file: str | None = None,
        words: Iterable[str] | None = None,
        characters: Iterable[str] | None = None,
        pad_token: str = "[PAD]",
        unk_token: str = "[UNK]",
        **kwargs: Any,
    ) -> None:
        if (vocab_file is None) == (words is None):
            raise ValueError("pass either `vocab_file` or `words`, with their `characters`; not both or neither.")
        if vocab_file is not None:
            words, characters = _read_vocabulary(vocab_file)
        self._words = [str(pad_token), str(unk_token), *(words or ())]
        self._word_ids = _number("words", self._words, 0)
        # Otherwise a word of a sentence could be mistaken for a special token.
        self._vocabulary = dict(self._word_ids)
        for token in self._words[:2]:
            del self._word_ids[token]
        self._character_ids = _number("characters", characters or (), 1)
        super().__init__(pad_token=pad_token, unk_token=unk_token, **kwargs)

    @property
    def words(self) -> list[str]:
        """The words in the order of their numbers, beginning with padding and the unknown word."""
        return list(self._words)

    @property
    def vocab_size(self) -> int:
        """How many words have a number, including padding and the unknown word."""
        return len(self._words)

    @property
    def num_characters(self) -> int:
        """How many characters have a number, including padding."""
        return len(self._character_ids) + 1

    def get_vocab(self) -> dict[str, int]:
        return self._vocabulary | self.added_tokens_encoder

    @staticmethod
    def forms(word: str) -> tuple[str, str, str]:
        """The forms that a word is looked up in, in order: unchanged, in lower case, also with 0 for each digit."""
        lower = word.lower()
        return word, lower, _DIGIT.sub("0", lower)

    def word_id(self, word: str) -> int:
        """The number of the first of a word's forms that has one, or the unknown word's."""
        for form in self.forms(word):
            if form in self._word_ids:
                return self._word_ids[form]
        return self.unk_token_id

    def character_ids(self, word: str) -> list[int]:
        """The numbers of a word's characters, in their given case; characters without a number are skipped."""
        return [self._character_ids[character] for character in word if character in self._character_ids]

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        """Write the vocabulary to a JSON file, and return its path."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = os.path.join(save_directory, prefix + self.vocab_files_names["vocab_file"])
        vocabulary = {"words": self._words[2:], "characters": list(self._character_ids)}
        with open(f"{path}.tmp", "w", encoding="utf-8") as file:
            # As ASCII, since a word may hold half a surrogate pair, which is not valid UTF-8.
            json.dump(vocabulary, file, indent=0)
        os.replace(f"{path}.tmp", path)
        return (path,)

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return split_text(text)[0]

    def _convert_token_to_id(self, token: str) -> int:
        return self.word_id(token)

    def _convert_id_to_token(self, index: int) -> str:
        return self._words[index]

    def _encode_plus(  # type: ignore[override]  # all other options are in `kwargs`
        self,
        text: str | list[str] | list[int],
        text_pair: str | list[str] | list[int] | None = None,
        is_split_into_words: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        # `PreTrainedTokenizer` would split these words again.
        if is_split_into_words and isinstance(text, str):  # what it turns a sentence of one word into
            text = [text]
        if is_split_into_words and text and isinstance(text[0], str):
            text = [self.word_id(word) for word in cast(list[str], text)]
        return super()._encode_plus(text, text_pair, is_split_into_words=is_split_into_words, **kwargs)


def _read_vocabulary(path: str) -> tuple[list[str], list[str]]:
    try:
        with open(path, encoding="utf-8") as file:
            vocabulary = json.load(file)
        words, characters = vocabulary["words"], vocabulary["characters"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"`vocab_file` {path} is not a vocabulary of words and characters: {error!r}.") from error
    return words, characters


def _number(name: str, entries: Iterable[str], start: int) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for number, entry in enumerate(entries, start):
        if numbers.setdefault(entry, number) != number:
            raise ValueError(f"`{name}` holds {entry!r} twice, or as a special token; each needs one number.")
    return numbers


__all__ = ["WordTokenizer"]
