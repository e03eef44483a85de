from __future__ import annotations

import pytest
from safetensors import SafetensorError

from reports_2mner.loading import retell_loading_errors


@pytest.mark.parametrize("error", [OSError("why"), ValueError("why"), RuntimeError("why"), ImportError("why")])
def test_errors_of_loading_begin_with_the_argument(error):
    with (
        pytest.raises(ValueError, match=r"^`model` 'x' does not load: why$") as told,
        retell_loading_errors("`model` 'x' does not load"),
    ):
        raise error
    assert told.value.__cause__ is error


def test_damaged_weights_are_called_so():
    with (
        pytest.raises(ValueError, match="damaged or incomplete; copy or download it again"),
        retell_loading_errors(""),
    ):
        raise SafetensorError("incomplete metadata")


def test_other_errors_are_faults_of_the_program():
    with pytest.raises(KeyError), retell_loading_errors("`model`"):
        raise KeyError("x")
