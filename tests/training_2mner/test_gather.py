from __future__ import annotations

import torch

from training_2mner.gather import gather_with_gradient


def test_one_process_gets_its_input_back():
    rows = torch.ones(2, 3, requires_grad=True)

    assert gather_with_gradient(rows) is rows
    assert gather_with_gradient(None) is None


def test_rows_of_all_processes_in_the_order_of_their_ranks(two_processes):
    gathered = two_processes["results"]["gather"]["gathered"]

    assert gathered == [[1.0, 2.0], [3.0, 0.0], [2.0, 2.0], [3.0, 4.0]]


def test_gradient_is_the_sum_over_processes(two_processes):
    """Both processes compute sum(x ** 2), so that averaging over processes gives back the gradient 2 x."""
    gradient = two_processes["results"]["gather"]["gradient"]  # of the first process

    assert gradient == [[2 * 2 * 1.0, 2 * 2 * 2.0], [2 * 2 * 3.0, 0.0]]
