import errno
import os

import pytest

from reports_2mner.command_line import exit_on_error
from reports_2mner.disk import disk_problem


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("kinds", [(), (OSError,)])
def test_programs_end_with_cause_place_and_remedy(code, kinds):
    with (
        pytest.raises(SystemExit, match=rf"^error: {os.strerror(code)}: /full/model; .*(choose|ask)"),
        exit_on_error(*kinds),
    ):
        raise OSError(code, os.strerror(code), "/full/model")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
        RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/3"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 2913088 vs 2912976"),
        RuntimeError("basic_ios::clear: iostream error"),
    ],
)
def test_other_libraries_words_count(error):
    assert "free some space" in disk_problem(error)
    with pytest.raises(SystemExit, match=r"error: .*free some space"), exit_on_error():
        raise error


@pytest.mark.parametrize("error", [OSError("no such thing"), FileNotFoundError(2, "No such file", "a"), KeyError("a")])
def test_other_errors_stay_what_they_are(error):
    assert disk_problem(error) is None
    with pytest.raises(type(error)), exit_on_error():
        raise error


def test_the_cause_of_a_librarys_own_error_counts_but_an_argument_of_ours_speaks_for_itself():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/cache")
    for kind, remedy in ((RuntimeError, "free some space"), (ValueError, "choose a smaller model")):
        with pytest.raises(SystemExit, match=f"error: .*{remedy}"), exit_on_error():
            raise kind("choose a smaller model") from full
