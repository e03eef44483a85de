"""Determine the language of each sentence where a file holds several.

This is done in three ways, in this order: from a file of one language; from such a file that holds the same sentence,
which is then not taken twice; from the words, by py3langid, where the sentences of one picture get different
languages, since no picture has two sentences in one language. Languages inferred from the words are marked.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import permutations

from dataset_scripts.build.sources import SourceFile
from dataset_scripts.conll import ConllSentence
from dataset_scripts.schema import LANGUAGES, sort_languages

SentenceReader = Callable[[SourceFile], Iterator[ConllSentence]]
LEAST_SHARE = 0.1
UNDETERMINED = "und"
RANKS_KEPT = 5  # of the languages of a text
KNOWN_ALREADY = -1  # in place of a language: another file holds this sentence


@dataclass
class Languages:
    """For the sentences of all files: a position in `order` or `KNOWN_ALREADY`; `inferred` holds the guesses."""

    order: tuple[str, ...]
    codes: array[int] = field(default_factory=lambda: array("b"))
    inferred: set[int] = field(default_factory=set)


def assign_languages(files: Sequence[SourceFile], read: SentenceReader) -> Languages:
    """Read all files once, which finds their errors, and determine each sentence's language.

    Raises ValueError if a language must be inferred from the words and py3langid is not installed, and for a file
    without sentences.
    """
    result = Languages(sort_languages({*LANGUAGES, *(lang for file in files for lang in file.languages)}))
    known = _KnownSentences(files)
    undecided: dict[str, list[tuple[int, dict[str, float]]]] = defaultdict(list)
    for file in files:
        before = len(result.codes)
        choices = known.start(file)
        for place, sentence in enumerate(read(file), start=before):
            if known.take(file.split, sentence):
                result.codes.append(KNOWN_ALREADY)
                continue
            result.codes.append(result.order.index(choices[0]))
            if len(choices) > 1:
                undecided[sentence.image_id].append((place, _scores(sentence.tokens, choices, result.order)))
        if len(result.codes) == before:
            raise ValueError(f"{file.path} holds no sentence; get a complete copy of the file.")
    for group in undecided.values():
        for (place, _), language in zip(group, _best_languages([scores for _, scores in group]), strict=True):
            result.codes[place] = result.order.index(language)
            result.inferred.add(place)
    return result


class _KnownSentences:
    """Remembers the sentences of the files so far, as digests, if any file holds several languages."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._needed = any(len(file.languages) > 1 for file in files)
        self._complete = {(*file.languages, file.split) for file in files if len(file.languages) == 1}
        self._sentences: defaultdict[tuple[str, ...], Counter[bytes]] = defaultdict(Counter)  # by languages
        self._left: Counter[bytes] = Counter()
        self._new: Counter[bytes] = Counter()

    def start(self, file: SourceFile) -> tuple[str, ...]:
        """Begin a file; return the languages that its new sentences can have."""
        known = [sentences for group, sentences in self._sentences.items() if set(group) & set(file.languages)]
        self._left = sum(known, Counter())
        # A language with a folder of its own has all its sentences there.
        others = tuple(lang for lang in file.languages if (lang, file.split) not in self._complete)
        choices = others or file.languages
        self._new = self._sentences[choices]
        return choices

    def take(self, split: str, sentence: ConllSentence) -> bool:
        """Return whether an earlier file holds the sentence in a language of this one; remember it if none does."""
        if not self._needed:
            return False
        text = "\n".join((split, sentence.image_id, *sentence.tokens, *sentence.tags))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if self._left[digest] > 0:
            self._left[digest] -= 1
            return True
        self._new[digest] += 1
        return False


def _scores(tokens: Sequence[str], languages: Sequence[str], known: tuple[str, ...]) -> dict[str, float]:
    """Return log probabilities, up to a constant, of the languages."""
    return {language: score for language, score in _identifier(known)(" ".join(tokens)) if language in languages}


@lru_cache(1)  # the languages are a global setting of py3langid
def _identifier(known: tuple[str, ...] | None) -> Callable[[str], list[tuple[str, float]]]:
    try:
        import py3langid
    except ImportError as error:
        raise ValueError(
            "A file holds several languages and no folder of a single language shows which sentence has which; add "
            "those folders, or install py3langid, which infers them from the words: pip install py3langid."
            if known
            else "The files do not state their language; name it with `--language`, or install py3langid, which tells it "
            "from the words: pip install '2m-ner[data]'."
        ) from error
    py3langid.set_languages(None if known is None else list(known))
    return py3langid.rank


def _best_languages(group: Sequence[dict[str, float]]) -> tuple[str, ...]:
    """Choose a language for each sentence of one picture: the likeliest combination without repetition, if any."""
    languages = sorted({language for scores in group for language in scores})
    choices = [
        chosen
        for chosen in permutations(languages, len(group))
        if all(lang in scores for lang, scores in zip(chosen, group, strict=True))
    ]
    if not choices:
        return tuple(max(scores, key=scores.__getitem__) for scores in group)
    return max(choices, key=lambda chosen: sum(scores[lang] for lang, scores in zip(chosen, group, strict=True)))


def guess_languages(texts: Iterable[str]) -> list[str]:
    """Guess the language of each text of one data set, by py3langid.

    A single text is too short to be sure: a language that fewer than a tenth of the texts seem to have is not among those
    of the data set, so its texts get the likeliest of the others. Texts without letters get the commonest one, or `und`
    (ISO 639-2: undetermined) if there is no other text.
    """
    rank = _identifier(None)
    order = [*sorted(code for code, _ in rank("")), UNDETERMINED]
    ranks = array("B")  # the likeliest languages of all texts, as positions in `order`
    for text in texts:
        codes = (
            [code for code, _ in rank(text)[:RANKS_KEPT]]
            if any(map(str.isalpha, text))
            else [UNDETERMINED] * RANKS_KEPT
        )
        ranks.extend(map(order.index, codes))
    groups = [ranks[start : start + RANKS_KEPT] for start in range(0, len(ranks), RANKS_KEPT)]
    votes = Counter(group[0] for group in groups)
    votes[order.index(UNDETERMINED)] = 0
    common = votes.most_common(1)[0][0]
    kept = {place for place, number in votes.items() if number >= LEAST_SHARE * votes.total() and number} | {common}
    return [order[next((place for place in group if place in kept), common)] for group in groups]
