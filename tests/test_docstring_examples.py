"""The examples in the docstrings of the public classes run as they stand, offline, and give what they say."""

from __future__ import annotations

import doctest
import inspect
import re

import pytest

import modeling_2mner
import training_2mner

CLASSES = {
    name: getattr(package, name)
    for package in (modeling_2mner, training_2mner)
    for name in package.__all__
    if inspect.isclass(getattr(package, name))
}
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(public_class: type) -> list[str]:
    """The fenced blocks of a class's own docstring that show a session (`>>>`)."""
    docstring = inspect.cleandoc(public_class.__doc__ or "")
    return [block for block in FENCE.findall(docstring) if ">>>" in block]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_example_of(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = examples(CLASSES[name])
    assert blocks, f"the docstring of `{name}` has no example; write one in a ```python fence, with `>>>`"
    for block in blocks:
        output: list[str] = []
        session = doctest.DocTestParser().get_doctest(block, {}, name, None, 0)
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session, out=output.append)
        assert not result.failed, "".join(output)
