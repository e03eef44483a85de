from __future__ import annotations

from pickle import UnpicklingError

import pytest
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from reports_2mner.loading import retell_loading_errors


@pytest.mark.parametrize("kind", [OSError, ValueError, RuntimeError, ImportError, StrictDataclassError])
def test_errors_of_loading_begin_with_the_argument(kind):
    error = kind("why")
    with (
        pytest.raises(ValueError, match=r"^`model` 'x' does not load: why$") as told,
        retell_loading_errors("`model` 'x' does not load"),
    ):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize("kind", [SafetensorError, UnpicklingError, EOFError])
def test_damaged_weights_are_called_so(kind):
    with (
        pytest.raises(ValueError, match="damaged or incomplete; copy or download it again"),
        retell_loading_errors(""),
    ):
        raise kind("incomplete metadata")


def test_a_check_of_settings_stays_as_it_is():
    with pytest.raises(ValueError, match=r"^`dropout` is 2$"), retell_loading_errors("`model`", values=False):
        raise ValueError("`dropout` is 2")


def test_other_errors_are_faults_of_the_program():
    with pytest.raises(KeyError), retell_loading_errors("`model`"):
        raise KeyError("x")
