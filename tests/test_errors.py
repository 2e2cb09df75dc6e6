"""One tree, drawn once; what it says about built-in classes is a promise."""

from __future__ import annotations

import inspect
import re

import pytest

from frazil import errors

CLASSES = {name: c for name, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, Exception)}


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("FormatError", ValueError),
        ("TruncatedError", ValueError),
        ("ChecksumError", ValueError),
        ("ChunkMismatchError", ValueError),
        ("ConfigurationError", ValueError),
        ("UnsupportedArrayError", TypeError),
        ("EngineError", RuntimeError),
        ("MissingEngineError", RuntimeError),
        ("StoreError", OSError),
        ("LossyRewriteWarning", UserWarning),
    ],
)
def test_ordinary_callers_need_not_know_us(name, builtin):
    assert issubclass(CLASSES[name], builtin)


def test_everything_hangs_on_one_of_two_roots():
    assert all(issubclass(c, errors.FrazilError | errors.FrazilWarning) for c in CLASSES.values())


def test_the_drawing_is_the_tree():
    drawn: dict[str, str | None] = {}
    branch: list[tuple[int, str]] = []  # column and name of each ancestor
    for line in inspect.getdoc(errors).splitlines():
        found = re.match(r"[ │├└─]*(\w+(?:Error|Warning))\b", line)
        if found:
            branch = [(column, name) for column, name in branch if column < found.start(1)]
            drawn[found[1]] = branch[-1][1] if branch else None
            branch.append((found.start(1), found[1]))
    assert drawn.keys() == CLASSES.keys()
    for name, parent in drawn.items():
        base = CLASSES[name].__bases__[0]
        assert base.__name__ == parent or (parent is None and base not in CLASSES.values())


def test_each_has_a_sentence():
    for c in CLASSES.values():
        assert c.__doc__
