"""The public names are a sorted list, each of them is there, and each has its place in the reference."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import frazil
import frazil.codecs
import frazil.testing

DOCS = Path(__file__).parents[1] / "docs"
NEED_TORCH = {
    name for name, home in frazil._HOMES.items() if home in {"frazil.data.dataset", "frazil.data.loader"}
}


@pytest.mark.parametrize("module", [frazil, frazil.codecs, frazil.testing])
def test_all_is_sorted_and_true(module):
    order = sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert list(module.__all__) == order  # as ruff sorts them: constants, classes, functions
    absent = NEED_TORCH if find_spec("torch") is None else set()
    for name in set(module.__all__) - absent:
        assert getattr(module, name).__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("name", sorted(NEED_TORCH))
def test_without_torch_a_sentence_says_what_to_install(name):
    code = f"import sys; sys.modules['torch'] = None; import frazil; frazil.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "FrazilError: training needs torch: pip install 'frazil[torch]'" in done.stderr


def test_lazy_names_are_the_public_names():
    assert sorted(frazil._HOMES) == sorted(frazil.__all__)
    assert set(frazil.__all__) <= set(dir(frazil))


def test_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'JPEG2000'; it has .*JP2K"):
        frazil.JPEG2000  # noqa: B018 - looking it up is the test


def test_every_public_name_is_on_a_reference_page():
    pages = "".join(p.read_text() for p in (DOCS / "reference").glob("*.md"))
    documented = {m.rsplit(".", 1)[-1] for m in re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE)}
    assert not set(frazil.__all__) - documented, "name them in docs/reference: '::: frazil.module.Name'"


def test_version_is_one_string():
    from importlib.metadata import version

    assert version("frazil") == frazil.__version__
