"""Forward-backward over a batch of sentences (paper, Eq. 16), run once and asked for marginals and spans.

The layout is that of the CRF's recursions, with the batch as the innermost dimension: (words, labels, batch).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

Parameters = tuple[Tensor, Tensor, Tensor]  # start (K), transitions (K, K: from, to) and end scores (K)


class Lattice:
    """The log-sums over everything before and after each word of a batch.

    Its answers stay on the device, and nothing here waits for it.

    Args:
        scores (`torch.Tensor` of shape `(words, labels, batch)`): emissions, 0 where masked.
        mask (`torch.Tensor` of shape `(words, batch)`): true from the first word of each sentence on.
        parameters: start, transition and end scores of the type of `scores`, `-inf` where a label is forbidden.
    """

    def __init__(self, scores: Tensor, mask: Tensor, parameters: Parameters) -> None:
        self._scores, self._mask, self._parameters = scores, mask, parameters
        self._before, self._after = forward_backward(scores, *parameters, mask)
        self.log_z = log_partition(scores, parameters[0], self._after)

    def is_sound(self) -> Tensor:
        """Return whether the sum of Eq. 16 is a finite number, (batch,) bool; true for a sentence without words."""
        return self.log_z.isfinite() | ~self._mask[0]

    def marginals(self) -> Tensor:
        """Return the posterior of every label of every word, (batch, words, labels), 0 where masked."""
        posterior = torch.softmax(self._before + self._scores + self._after, dim=1)
        return posterior.masked_fill(~self._mask.unsqueeze(1), 0).permute(2, 0, 1)

    def span_posteriors(self, rows: Sequence[int], spans: Sequence[tuple[int, int, int, int]]) -> Tensor:
        """Return the posterior of each span in the sentence that `rows` names for it, (spans,).

        A span is `(start, end, begin, inside)`, as in [`LinearChainCRF.span_posteriors`]. All of them take as many
        steps as the longest has words.
        """
        if not spans:
            return self._scores.new_zeros(0)
        numbers = torch.tensor([(row, *span) for row, span in zip(rows, spans, strict=True)])
        row, first, end, begin, inside = numbers.to(self._scores.device, non_blocking=True).unbind(1)
        longest = max(span[1] - span[0] for span in spans)
        mass = self._open(row, first, begin, inside)
        mass = self._extend(mass, row, first, end, begin, inside, longest)
        mass = torch.logsumexp(mass + self._close(row, end, begin, inside), 0)
        return (mass - self.log_z[row]).exp().clamp(max=1.0)

    def spans_above(self, least: float, begins: Tensor, insides: Tensor) -> Tensor:
        """Return all spans with a posterior of at least `least`, (spans, 4): row, first word, word after the last, and type.

        A span is left as soon as all that begin like it have less together, so that there are at most `1 / least` of them
        a word, however long a sentence is. Waits for the device in each step.

        Args:
            least: above 0.
            begins, insides: the labels of each type, (types).
        """
        marginals = self.marginals()
        first_marginals = marginals[..., begins] + marginals[..., insides]
        row, first, kind = (first_marginals >= least).nonzero().unbind(1)
        end, found = first + 1, [row.new_zeros(0, 4)]
        mass = self._open(row, first, begins[kind], insides[kind])
        moves = self._parameters[1]
        while len(row):
            begin, inside = begins[kind], insides[kind]
            ends_here = torch.logsumexp(mass + self._close(row, end, begin, inside), 0) - self.log_z[row]
            found.append(torch.stack([row, first, end, kind], 1)[ends_here.exp() >= least])
            word = end.clamp(max=len(self._scores) - 1)
            further = torch.logsumexp(mass + torch.stack([moves[begin, inside], moves[inside, inside]]), 0)
            further = further + self._scores[word, inside, row]
            goes_on = (further + self._after[word, inside, row] - self.log_z[row]).exp() >= least
            goes_on &= (end < len(self._scores)) & self._mask[word, row]
            mass = torch.stack([torch.full_like(further, -torch.inf), further])[:, goes_on]
            row, first, end, kind = row[goes_on], first[goes_on], end[goes_on] + 1, kind[goes_on]
        return torch.cat(found)

    def _open(self, row: Tensor, first: Tensor, begin: Tensor, inside: Tensor) -> Tensor:
        """Log-sums up to the first word, (2, spans): it has `begin`, or an `inside` that continues nothing."""
        start, transitions, _ = self._parameters
        earlier = (first - 1).clamp(min=0)
        arriving = self._before[earlier, :, row] + self._scores[earlier, :, row] + transitions.T[inside]
        label = torch.arange(len(start), device=row.device)
        continued = (label == begin.unsqueeze(1)) | (label == inside.unsqueeze(1))
        opening = torch.logsumexp(arriving.masked_fill(continued, -torch.inf), 1)
        opening = torch.where(first > 0, opening, start[inside]) + self._scores[first, inside, row]
        return torch.stack([self._before[first, begin, row] + self._scores[first, begin, row], opening])

    def _extend(
        self, mass: Tensor, row: Tensor, first: Tensor, end: Tensor, begin: Tensor, inside: Tensor, longest: int
    ) -> Tensor:
        """Log-sums up to the last word, (2, spans): it has `begin`, only if it is also the first, or `inside`."""
        transitions = self._parameters[1]
        moves = torch.stack([transitions[begin, inside], transitions[inside, inside]])
        for step in range(1, longest):
            word = first + step
            further = (
                torch.logsumexp(mass + moves, 0) + self._scores[word.clamp(max=len(self._scores) - 1), inside, row]
            )
            further = torch.stack([torch.full_like(further, -torch.inf), further])
            mass = torch.where(word < end, further, mass)
        return mass

    def _close(self, row: Tensor, end: Tensor, begin: Tensor, inside: Tensor) -> Tensor:
        """Log-sums over what follows a last word with `begin` or `inside`, (2, spans): not another `inside`."""
        transitions = self._parameters[1]
        last = torch.stack([begin, inside])  # (2, spans)
        next_word = end.clamp(max=len(self._scores) - 1)
        onward = transitions[last] + self._scores[next_word, :, row] + self._after[next_word, :, row]
        label = torch.arange(len(transitions), device=row.device)
        onward = onward.masked_fill(label == inside.unsqueeze(1), -torch.inf)  # (2, spans, labels)
        follows = (end < len(self._scores)) & self._mask[next_word, row]
        return torch.where(follows, torch.logsumexp(onward, 2), self._after[end - 1, last, row])


def forward_backward(
    scores: Tensor, start: Tensor, transitions: Tensor, end: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the log-sums over everything before and after each word, both (words, labels, batch), from one sweep."""
    mirror = mirror_of(mask).unsqueeze(1).expand_as(scores)
    both = torch.stack([scores, scores.gather(0, mirror)], 2)  # (words, labels, 2, batch)
    ends = torch.stack([start, end], 1).unsqueeze(2).expand(both.shape[1:])
    moves = torch.stack([transitions, transitions.T], 2).unsqueeze(3)  # (from, to, 2, 1)
    before, after = sweep(both, ends, moves, torch.logsumexp).unbind(2)
    return before, after.gather(0, mirror)


def log_partition(scores: Tensor, start: Tensor, after: Tensor) -> Tensor:
    """Return the logarithm of the sum over all sequences, (batch,), from the log-sums `after` each word."""
    return torch.logsumexp(start.unsqueeze(1) + scores[0] + after[0], 0)


def sweep(scores: Tensor, initial: Tensor, moves: Tensor, reduce: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Propagate `initial` (labels, ...) over the words; return what arrives at each word, without its own score."""
    states = [initial]
    for score in scores[:-1].unbind(0):
        states.append(reduce((states[-1] + score).unsqueeze(1) + moves, 0))
    return torch.stack(states)


def list_viterbi(scores: Tensor, mask: Tensor, parameters: Parameters, count: int) -> tuple[Tensor, Tensor]:
    """The best sequences of each sentence: their scores, (batch, count), and labels, (batch, count, words).

    A sentence that has fewer has -inf in the place of the others. Labels after its last word mean nothing.

    Args:
        scores: `(words, labels, batch)`, finite.
        mask: `(words, batch)`.
        parameters: start, transition and end scores, finite or, where a label is forbidden, -inf.
        count: of sequences.
    """
    start, transitions, end = parameters
    score = scores.permute(2, 0, 1).contiguous()  # (batch, words, labels)
    last = (mask.sum(0) - 1).clamp(min=0)
    best = (start + score[:, 0]).unsqueeze(2)  # (batch, labels, ranks): the best sequences that end in each label
    widths, steps = [1], []
    ends = {1: best}  # those of whole sentences by their ranks, which grow with the first words
    for word in range(1, len(scores)):
        ways = (best.unsqueeze(1) + transitions.T.unsqueeze(2)).flatten(2)  # (batch, to, from * ranks)
        values, origins = ways.topk(min(count, ways.shape[2]), dim=2)
        best = values + score[:, word].unsqueeze(2)
        widths.append(best.shape[2])
        steps.append(origins.int())
        ends[widths[-1]] = torch.where((last == word)[:, None, None], best, ends.get(widths[-1], best))
    totals = end.new_full((len(last), count), -torch.inf)
    places = last.new_zeros(len(last), count)
    for width, states in ends.items():
        values, found = (states + end.unsqueeze(1)).flatten(1).topk(min(count, states.shape[1] * width), dim=1)
        room = (0, count - values.shape[1])
        own = (torch.tensor(widths, device=last.device)[last] == width).unsqueeze(1)
        totals = torch.where(own, pad(values, room, value=-torch.inf), totals)
        places = torch.where(own, pad(found, room), places)
    return totals, _follow(steps, widths, last, places)


def _follow(steps: list[Tensor], widths: list[int], last: Tensor, places: Tensor) -> Tensor:
    """Follow sequences back from the places of their last labels: labels, (batch, count, words)."""
    row = torch.arange(len(last), device=last.device).unsqueeze(1)
    path = [places // widths[-1]]
    for word in range(len(widths) - 1, 0, -1):
        origins = steps[word - 1]  # (batch, labels, ranks)
        label = path[-1].clamp(max=origins.shape[1] - 1)  # of a sentence that has ended before, anything
        before = origins[row, label, places % widths[word]].long()
        places = torch.where((last >= word).unsqueeze(1), before, places)
        path.append(places // widths[word - 1])
    return torch.stack(path[::-1], 2)


def mirror_of(mask: Tensor) -> Tensor:
    """Index (words, batch) that reverses each sentence in place: the first row holds the last words' positions."""
    positions = torch.arange(len(mask), device=mask.device).unsqueeze(1)
    return (mask.sum(0) - 1 - positions).clamp(min=0)


__all__ = ["Lattice", "Parameters", "forward_backward", "list_viterbi", "log_partition", "mirror_of", "sweep"]
