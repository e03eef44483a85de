"""Models that give the probability of every tag of a sentence without having seen it or others of its picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from dataset_scripts.label_errors.sentences import LabelledSentence, Parts
from dataset_scripts.splits import stable_hash

FEATURES = 1 << 18
SENTENCES_OF_A_STEP = 2_000  # each step costs as much as all features, so few of them
PASSES = 3
ALPHA = 3e-5  # regularisation
SENTENCES_OF_A_RUN = 32  # read at once


def fold_of(sentence: LabelledSentence, folds: int, seed: int) -> int:
    """Return the part, from 0, that holds all sentences of a picture."""
    return stable_hash(f"{seed}/{sentence.image_id or sentence.uid}") % folds


class Judge(Protocol):
    """Gives the probability of every tag, by a model that has not seen the sentence."""

    labels: Sequence[str]

    def __call__(self, sentences: Sequence[LabelledSentence]) -> list[np.ndarray]:
        """Return `(words, labels)` for each sentence."""


class RunJudge:
    """Runs of ours, with the picture of each sentence.

    Args:
        models: one run that has seen none of the sentences, or one for each fold, trained on the others.
        seed: of the folds.

    Raises:
        ValueError: if a run cannot be loaded, or their labels differ.
    """

    def __init__(self, models: Sequence[str], seed: int) -> None:
        self._runs, self._seed = [_load_run(model) for model in models], seed
        configs = [model.config for model, _ in self._runs]
        self.labels: Sequence[str] = configs[0].labels
        if not all(config.tags_words and list(config.labels) == list(self.labels) for config in configs):
            raise ValueError('`models` must all have the same labels, and `label_scheme="word"`; train them so.')

    def __call__(self, sentences: Sequence[LabelledSentence]) -> list[np.ndarray]:
        """Return the posteriors of the words; see `Judge`."""
        folds = [fold_of(sentence, len(self._runs), self._seed) for sentence in sentences]
        found: dict[int, np.ndarray] = {}
        for fold, run in enumerate(self._runs):
            numbers = iter([number for number, other in enumerate(folds) if other == fold])
            while batch := list(islice(numbers, SENTENCES_OF_A_RUN)):
                found |= zip(batch, _read(run, [sentences[number] for number in batch]), strict=True)
        return [found[number] for number in range(len(sentences))]


def _load_run(name: str) -> tuple[Any, Any]:
    """Return model and processor."""
    from transformers import AutoModelForTokenClassification, AutoProcessor

    import modeling_2mner  # noqa: F401  # makes our models known to the Auto classes
    from reports_2mner.loading import retell_loading_errors

    with retell_loading_errors(f"`models`: {name} cannot be loaded; name the folder of a run"):
        model = AutoModelForTokenClassification.from_pretrained(name).eval()
        return model, AutoProcessor.from_pretrained(name)


def _read(run: tuple[Any, Any], sentences: Sequence[LabelledSentence]) -> list[np.ndarray]:
    import torch

    from modeling_2mner.images import load_image
    from modeling_2mner.posteriors import sentence_posteriors

    model, processor = run
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = [load_image(sentence.picture).image for sentence in sentences]
    batch = processor([list(sentence.tokens) for sentence in sentences], pictures).to(device)
    with torch.no_grad():
        logits = model.to(device)(**batch).logits
    return [rows.cpu().numpy() for rows in sentence_posteriors(model, logits, batch["word_mask"])]


class LinearJudge:
    """Linear models on the words around each word, one for each fold, trained on the others; memory does not grow.

    Args:
        parts: the sentences.
        labels: all tags, sorted.
        folds: how many.
        seed: of the folds and of the training.

    Raises:
        ValueError: without scikit-learn, or if all sentences are in one fold.
    """

    def __init__(self, parts: Parts, labels: Sequence[str], folds: int, seed: int) -> None:
        linear_tool()
        from sklearn.feature_extraction import FeatureHasher

        self.labels, self._folds, self._seed = labels, folds, seed
        self._hasher = FeatureHasher(FEATURES, input_type="string", alternate_sign=False)
        self._models = self._train(parts)

    def __call__(self, sentences: Sequence[LabelledSentence]) -> list[np.ndarray]:
        """Return the probabilities of the words; see `Judge`."""
        features, folds = self._features(sentences), self._folds_of_words(sentences)
        found = np.zeros((len(folds), len(self.labels)))
        for fold, model in enumerate(self._models):
            if len(mine := np.flatnonzero(folds == fold)):
                found[mine] = model.predict_proba(features[mine])
        return np.split(found, np.cumsum([len(sentence.tokens) for sentence in sentences])[:-1])

    def _train(self, parts: Parts) -> list[Any]:
        from sklearn.linear_model import SGDClassifier

        keywords = {"loss": "log_loss", "alpha": ALPHA, "average": True, "random_state": self._seed}
        models = [SGDClassifier(**keywords) for _ in range(self._folds)]
        for batch in self._batches(parts):
            features, folds = self._features(batch), self._folds_of_words(batch)
            tags = np.array([tag for sentence in batch for tag in sentence.tags])
            for fold, model in enumerate(models):
                if len(theirs := np.flatnonzero(folds != fold)):
                    model.partial_fit(features[theirs], tags[theirs], classes=self.labels)
        if not all(hasattr(model, "coef_") for model in models):
            raise ValueError(
                f"`folds` {self._folds} are too many: all sentences are in one; take fewer, or more of them."
            )
        return models

    def _batches(self, parts: Parts) -> Iterator[list[LabelledSentence]]:
        """Yield the sentences several times, shuffled within their part."""
        chance = np.random.default_rng(self._seed)
        for _ in range(PASSES):
            for number in chance.permutation(len(parts)):
                sentences = list(parts[number]())
                order = iter(chance.permutation(len(sentences)))
                while batch := [sentences[place] for place in islice(order, SENTENCES_OF_A_STEP)]:
                    yield batch

    def _features(self, sentences: Sequence[LabelledSentence]) -> Any:
        return self._hasher.transform(names for sentence in sentences for names in word_features(sentence))

    def _folds_of_words(self, sentences: Sequence[LabelledSentence]) -> np.ndarray:
        folds = [fold_of(sentence, self._folds, self._seed) for sentence in sentences]
        return np.repeat(folds, [len(sentence.tokens) for sentence in sentences])


def word_features(sentence: LabelledSentence) -> Iterator[list[str]]:
    """Yield the names of what holds of each word and of those beside it."""
    words = ["<", *sentence.tokens, ">"]
    lower, shapes = [word.lower() for word in words], [_shape(word) for word in words]
    for n in range(1, len(words) - 1):
        yield [
            "bias",
            f"lang={sentence.lang} {sentence.source}",
            f"word={lower[n]}",
            f"before={lower[n - 1]}",
            f"behind={lower[n + 1]}",
            f"pair={lower[n - 1]} {lower[n]}",
            f"pair'={lower[n]} {lower[n + 1]}",
            f"begin={lower[n][:3]}",
            f"end={lower[n][-3:]}",
            f"shapes={shapes[n - 1]} {shapes[n]} {shapes[n + 1]}",
            f"shape={shapes[n]} {sentence.source}",
            f"second={lower[max(0, n - 2)]}",
        ]


def linear_tool() -> str:
    """Return the name and version of the linear model; `ValueError` without scikit-learn."""
    try:
        import sklearn
    except ImportError as error:
        raise ValueError("Without `models`, scikit-learn is needed: pip install '2m-ner[construct]'.") from error
    return f"linear model, scikit-learn {sklearn.__version__}"


def _shape(word: str) -> str:
    """Return the kinds of a word's characters, each once in a row: Xx for Anna."""
    kinds = ["X" if c.isupper() else "x" if c.islower() else "0" if c.isdigit() else c for c in word]
    return "".join(kind for n, kind in enumerate(kinds) if n == 0 or kind != kinds[n - 1])
