"""The linear-chain CRF decoder of 2M-NER (paper, section 4.5, Eq. 15-17).

The parameters and their names are those of pytorch-crf. The likelihood uses an explicit forward-backward pass, the
Viterbi search only tensor operations. The recursions run in float64 whatever the type of the emissions (autocast does
not affect float64), with the batch as the innermost dimension: (words, labels, batch).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx
from torch.nn.functional import pad

try:
    from torchcrf import CRF
except ImportError as error:
    raise ImportError(
        "The CRF decoder needs the module `torchcrf`, which comes with the distribution `pytorch-crf`: run "
        "`pip install pytorch-crf`. The distribution called `torchcrf` is a different project and does not provide it."
    ) from error

from .lattice import Lattice, Parameters, forward_backward, list_viterbi, log_partition, mirror_of, sweep

IGNORED_LABEL = -100
LIST_CELLS = 2**24  # of words, labels, sequences and sentences whose list Viterbi runs together: 64 MB
LARGE = 1e30  # far above any score, and a long sentence of them is still finite in float32


def iob2_transitions(labels: Sequence[str]) -> tuple[list[bool], list[list[bool]]]:
    """Return which labels may open a sentence and which may follow which under IOB2.

    Returns `may_start` (K) and `may_follow` (K, K), the latter indexed by previous and next label: `I-X` may
    only follow `B-X` or `I-X`; everything else is allowed. Raises `ValueError` on a label that is not `O`, `B-x` or
    `I-x`.
    """
    for label in labels:
        if label != "O" and (label[:2] not in ("B-", "I-") or len(label) < 3):
            raise ValueError(f"`labels` must be IOB2 labels: `O`, `B-type` or `I-type`; got {label!r}.")
    may_start = [not label.startswith("I-") for label in labels]
    may_follow = [
        [not after.startswith("I-") or (before != "O" and before[2:] == after[2:]) for after in labels]
        for before in labels
    ]
    return may_start, may_follow


class LinearChainCRF(CRF):
    """Likelihood, Viterbi search and marginals of a linear-chain CRF, optionally restricted to IOB2 sequences.

    `start_transitions` (K), `end_transitions` (K) and `transitions` (K, K: from, to) are the only state. With
    `labels`, the K label names in order, every method takes `constrained=True`, which excludes the transitions that
    IOB2 forbids; without `labels` there are none. Raises `ValueError` if `labels` does not name `num_tags` IOB2 labels
    of which at least one may open a sentence.

    All methods take `emissions` (batch, words, K) of any float type and a bool `mask` (batch, words), and raise
    `ValueError` on other shapes. The mask must be True from the first word of each sentence on, without holes: holes
    raise `ValueError` on the CPU; on other devices and in a compiled graph they are not detected and give wrong
    results. Emissions of masked words are never read, and a sentence without words is allowed. Probabilities take a
    `temperature`, which divides all scores, those of the transitions, too: above 1 they come closer to each other, the
    order of the sequences stays. The inherited `forward` and `decode` are pytorch-crf's, without constraints.
    """

    def __init__(self, num_tags: int, labels: Sequence[str] | None = None) -> None:
        super().__init__(num_tags, batch_first=True)
        names = ["O"] * num_tags if labels is None else labels
        if len(names) != num_tags:
            raise ValueError(f"`labels` must have `num_tags` = {num_tags} names, got {len(names)}.")
        # Plain lists: `from_pretrained` builds on the meta device, where a tensor that is not saved would be lost.
        self.may_start, self.may_follow = iob2_transitions(names)
        if not any(self.may_start):
            raise ValueError(f"`labels` must contain `O` or a `B-type` label, got {list(names)}.")

    def neg_log_likelihood(
        self,
        emissions: Tensor,
        tags: Tensor,
        mask: Tensor,
        constrained: bool = False,
        temperature: float | Tensor = 1.0,
    ) -> Tensor:
        """Return the negative log-likelihood of the gold labels of each sentence (Eq. 15-17), not reduced.

        `tags` (batch, words) holds label ids; those of masked words are ignored and may be -100. Returns (batch,) in
        float32, or float64 for float64 emissions; a sentence without words has 0. With `constrained`, gold labels
        that break IOB2 have probability 0: their loss is infinite, its gradients finite. A `temperature` given as a
        tensor with one value gets its gradient, too. Raises `ValueError` on the CPU if a word's label is outside
        0..K-1, and `NotImplementedError` in a backward pass with `create_graph=True`.
        """
        if tags.shape != mask.shape:
            raise ValueError(f"`tags` {tuple(tags.shape)} and `mask` {tuple(mask.shape)} must have the same shape.")
        scores, mask = self._word_major(emissions, mask)
        tags = pad(tags, (0, len(mask) - tags.shape[1])).T.masked_fill(~mask, 0)  # (words, batch)
        if _may_inspect(tags) and ((tags < 0) | (tags >= self.num_tags)).any():
            raise ValueError(
                f"`tags` must lie in 0..{self.num_tags - 1} wherever `mask` is True, got {tags.min()}..{tags.max()}; "
                f"words without a label must be masked."
            )
        scores, parameters = scores / temperature, self._parameters_for(scores, constrained, temperature=temperature)
        loss = _LogPartition.apply(scores, *parameters, mask) - _path_score(scores, *parameters, tags, mask)  # Eq. 17
        return loss.to(_result_dtype(emissions))

    def log_partition(
        self, emissions: Tensor, mask: Tensor, constrained: bool = False, temperature: float = 1.0
    ) -> Tensor:
        """Return the logarithm of the denominator of Eq. 16 for each sentence, (batch,), differentiable once."""
        scores, mask = self._word_major(emissions, mask)
        parameters = self._parameters_for(scores, constrained, temperature=temperature)
        log_z = _LogPartition.apply(scores / temperature, *parameters, mask)
        return log_z.to(_result_dtype(emissions))

    @torch.no_grad()
    def marginals(
        self, emissions: Tensor, mask: Tensor, constrained: bool = False, temperature: float = 1.0
    ) -> Tensor:
        """Return the posterior of every label of every word, (batch, words, K), 0 where masked, without gradient."""
        found = self.lattice(emissions, mask, constrained, temperature).marginals()
        return found[:, : emissions.shape[1]].to(_result_dtype(emissions)).contiguous()

    @torch.no_grad()
    def lattice(self, emissions: Tensor, mask: Tensor, constrained: bool = False, temperature: float = 1.0) -> Lattice:
        """Run forward-backward once, to ask for marginals and for spans of single sentences, in float64.

        An input without words counts as one masked word.
        """
        scores, mask = self._word_major(emissions, mask)
        parameters = self._parameters_for(scores, constrained, temperature=temperature)
        return Lattice(scores / temperature, mask, parameters)

    @torch.no_grad()
    def viterbi(self, emissions: Tensor, mask: Tensor, constrained: bool = True) -> Tensor:
        """Return the label ids of the highest-scoring sequence (Eq. 15), (batch, words) int64, -100 where masked.

        With `constrained` it is valid IOB2 whatever the scores are: NaN counts 0, infinite ones as very large.
        """
        scores, mask = self._word_major(emissions, mask)
        scores = _bounded(scores)
        start, transitions, end = self._parameters_for(scores, constrained, bounded=True)
        mirror = mirror_of(mask).unsqueeze(1).expand_as(scores)
        ends = end.unsqueeze(1).expand(scores.shape[1:])
        best = sweep(scores.gather(0, mirror), ends, transitions.T.unsqueeze(2), torch.amax)  # backwards in time
        rest = (scores + best.gather(0, mirror)).transpose(1, 2).contiguous()  # (words, batch, labels)
        path = _trace(rest, start, transitions).masked_fill(~mask, IGNORED_LABEL)
        return path.T[:, : emissions.shape[1]].contiguous()

    @torch.no_grad()
    def span_posteriors(
        self,
        emissions: Tensor,
        mask: Tensor,
        spans: Sequence[tuple[int, int, int, int]],
        constrained: bool = False,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return the posterior of exactly these entities, (batch, spans), whatever the rest of the sentence.

        A span is `(start, end, begin, inside)`, the last two being the ids of `B-type` and `I-type`: an entity that
        covers exactly the words `start` to `end` - 1. An `I-type` that continues nothing also opens an entity, unless
        `constrained` forbids it. Sums the posterior (Eq. 16) of all sequences that have the span.
        """
        rows = [row for row in range(len(mask)) for _ in spans]
        lattice = self.lattice(emissions, mask, constrained, temperature)
        found = lattice.span_posteriors(rows, [*spans] * len(mask))
        return found.view(len(mask), len(spans)).to(_result_dtype(emissions))

    @torch.no_grad()
    def best_paths(
        self, emissions: Tensor, count: int, constrained: bool = True, temperature: float = 1.0
    ) -> list[tuple[list[int], float]]:
        """Return the `count` highest-scoring label sequences of one sentence with their posteriors, best first.

        `emissions` is (words, K). A short sentence may have fewer; a sentence without words has one, of probability
        1. If scores are not finite, the search is as in `viterbi` and the posteriors are NaN. `constrained` restricts
        both the search and the sum in Eq. 16.
        """
        mask = torch.ones(1, len(emissions), dtype=torch.bool, device=emissions.device)
        return self.best_paths_of(emissions.unsqueeze(0), mask, count, constrained, temperature)[0]

    @torch.no_grad()
    def best_paths_of(
        self, emissions: Tensor, mask: Tensor, count: int, constrained: bool = True, temperature: float = 1.0
    ) -> list[list[tuple[list[int], float]]]:
        """Return what [`~LinearChainCRF.best_paths`] does for each sentence of a batch, (batch, words, K), at once."""
        log_z = self.log_partition(emissions.double(), mask, constrained, temperature)
        scores, by_word = self._word_major(emissions, mask)
        parameters = self._parameters_for(scores, constrained, bounded=True)
        # The search knows no temperature, so that rounding cannot change the order of the paths.
        size = max(1, LIST_CELLS // (len(scores) * self.num_tags * count))
        groups = zip(_bounded(scores).split(size, 2), by_word.split(size, 1), strict=True)
        parts = [list_viterbi(*group, parameters, count) for group in groups]
        totals, paths = (torch.cat(part) for part in zip(*parts, strict=True))
        shares: list[list[float]] = (totals / temperature - log_z.unsqueeze(1)).exp().tolist()
        found: list[list[list[int]]] = paths.tolist()
        counts: list[int] = (totals > -torch.inf).sum(1).tolist()
        return [
            [(path[:length], share) for path, share in zip(found[row][: counts[row]], shares[row], strict=False)]
            if length
            else [([], 1.0)]
            for row, length in enumerate(mask.sum(1).tolist())
        ]

    def _word_major(self, emissions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Check the inputs; return emissions (words, labels, batch), 0 where masked, and the mask (words, batch)."""
        if emissions.dim() != 3 or emissions.shape[2] != self.num_tags or mask.shape != emissions.shape[:2]:
            raise ValueError(
                f"`emissions` must be (batch, words, {self.num_tags}) and `mask` (batch, words), "
                f"got {tuple(emissions.shape)} and {tuple(mask.shape)}."
            )
        mask = mask.bool()
        if _may_inspect(mask) and (mask[:, 1:] > mask[:, :-1]).any():
            raise ValueError("`mask` must be True from the first word on, without holes; move the words together.")
        if emissions.shape[1] == 0:  # only empty sentences; one masked word spares the functions below a special case
            emissions, mask = pad(emissions, (0, 0, 0, 1)), pad(mask, (0, 1))
        emissions = emissions.masked_fill(~mask.unsqueeze(2), 0)
        dtype = torch.float32 if emissions.device.type == "mps" else torch.float64  # Apple GPUs have no float64
        return emissions.permute(1, 2, 0).to(dtype), mask.T

    def _parameters_for(
        self, scores: Tensor, constrained: bool, bounded: bool = False, temperature: float | Tensor = 1.0
    ) -> Parameters:
        """Return start, transition and end scores with type and device of `scores`, -inf where IOB2 forbids."""
        start, transitions, end = (
            parameter.to(scores) / temperature  # before the -inf, which would make a temperature's gradient NaN
            for parameter in (self.start_transitions, self.transitions, self.end_transitions)
        )
        if bounded:
            start, transitions, end = _bounded(start), _bounded(transitions), _bounded(end)
        if constrained:
            start = start.masked_fill(~torch.tensor(self.may_start, device=start.device), -torch.inf)
            transitions = transitions.masked_fill(~torch.tensor(self.may_follow, device=start.device), -torch.inf)
        return start, transitions, end


def _bounded(scores: Tensor) -> Tensor:
    """Replace what is not finite, so that sums are, and only what IOB2 forbids is -inf."""
    return torch.nan_to_num(scores, nan=0.0, posinf=LARGE, neginf=-LARGE)


class _LogPartition(torch.autograd.Function):
    """log Z of each sentence; its gradient is the expected count of every score: marginals of labels and of pairs."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, scores: Tensor, start: Tensor, transitions: Tensor, end: Tensor, mask: Tensor
    ) -> Tensor:
        before, after = forward_backward(scores, start, transitions, end, mask)
        log_z = log_partition(scores, start, after)
        ctx.save_for_backward(scores, transitions, mask, before, after, log_z)
        return log_z.masked_fill(~mask[0], 0)

    @staticmethod
    def backward(ctx: BackwardCFunction, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # `once_differentiable` would silently accept a constant upstream gradient
            raise NotImplementedError(
                "The CRF has no second derivative: differentiate it without `create_graph=True`."
            )
        # torch declares a tuple with one tensor.
        scores, transitions, mask, before, after, log_z = ctx.saved_tensors  # type: ignore[misc]
        right = (scores + after - log_z).masked_fill(~mask.unsqueeze(1), -torch.inf)
        labels = (before + right).exp_() * grad  # (words, labels, batch)
        last = mirror_of(mask)[:1].unsqueeze(1).expand_as(labels[:1])
        pairs = (_pair_marginals(before + scores, transitions, right) * grad).sum(2)  # (from, to)
        return labels, labels[0].sum(1), pairs, labels.gather(0, last)[0].sum(1), None


def _pair_marginals(left: Tensor, transitions: Tensor, right: Tensor) -> Tensor:
    """Expected number of times that each label follows each other label in a sentence, (from, to, batch)."""
    counts = transitions.new_zeros(*transitions.shape, left.shape[2])
    # A few words at a time fit into the processor's cache: four times as fast as all words at once.
    for here, there in zip(left[:-1].split(16), right[1:].split(16), strict=True):
        counts += (here.unsqueeze(2) + transitions.unsqueeze(2) + there.unsqueeze(1)).exp_().sum(0)
    return counts


def _trace(rest: Tensor, start: Tensor, transitions: Tensor) -> Tensor:
    """Follow the best labels, (words, batch), given the best score from each word to the end, (words, batch, K)."""
    path = [(start + rest[0]).argmax(1)]
    for scores in rest[1:].unbind(0):
        path.append((transitions.index_select(0, path[-1]) + scores).argmax(1))
    return torch.stack(path)


def _path_score(scores: Tensor, start: Tensor, transitions: Tensor, end: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """Score of the given labels (Eq. 15), with start and end transitions, (batch,); 0 for an empty sentence."""
    emitted = scores.gather(1, tags.unsqueeze(1)).squeeze(1)  # (words, batch)
    moved = torch.cat([start[tags[:1]], transitions[tags[:-1], tags[1:]]])
    ended = end[tags.gather(0, mirror_of(mask)[:1])].squeeze(0)
    return (emitted + moved).masked_fill(~mask, 0).sum(0) + ended.masked_fill(~mask[0], 0)


def _result_dtype(emissions: Tensor) -> torch.dtype:
    return torch.promote_types(emissions.dtype, torch.float32)


def _may_inspect(tensor: Tensor) -> bool:
    """Whether reading values is cheap: a GPU would have to be waited for, a graph would break."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
