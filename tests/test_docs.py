"""Every Python block of README.md and docs/ runs, page by page, in a folder with one small dataset in it.

A block fenced as ```` ```python no-run <reason> ```` is only compiled. So is one fenced as
```` ```python needs torch ````, where there is no torch.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """(line, what stands behind ```python, code) of each block."""
    text = page.read_text()
    return [(text[: m.start()].count("\n") + 2, m[1].strip(), m[2]) for m in FENCE.finditer(text)]


@pytest.fixture
def example_folder(tmp_path, monkeypatch):
    """A folder with ``example.nc``: t2m (4 times) without gaps and sst with land, on 96 x 144 points."""
    import xarray as xr

    time, lat, lon = np.arange(4), np.linspace(89, -89, 96), np.arange(0, 360, 2.5)
    t, j, i = np.meshgrid(time, lat, lon, indexing="ij")
    t2m = (288 - 0.4 * abs(j) + 5 * np.sin(np.radians(3 * i + 20 * t)) * np.cos(np.radians(2 * j))).astype(
        "f4"
    )
    sst = np.where(np.sin(np.radians(i)) + np.cos(np.radians(3 * j)) > 1.2, np.nan, t2m - 2).astype("f4")
    dims = ("time", "lat", "lon")
    ds = xr.Dataset(
        {"t2m": (dims, t2m, {"units": "K"}), "sst": (dims, sst, {"units": "K"})},
        {"time": time.astype("f8"), "lat": lat, "lon": lon},
    )
    ds.to_netcdf(tmp_path / "example.nc", engine="netcdf4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_run(page, example_folder):
    namespace = {"__name__": "__page__"}
    for line, wanted, code in blocks(page):
        mark = wanted
        if wanted == "needs torch":
            mark = "" if find_spec("torch") else "no-run torch is not installed"
        assert not mark or re.fullmatch(r"no-run \w.{9,}", mark), f"{page.name}:{line}: no-run needs a reason"
        compiled = compile("\n" * (line - 1) + code, str(page), "exec")
        if not mark:
            exec(compiled, namespace)  # noqa: S102 - running our own pages is the test


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_navigation_names_every_page():
    import yaml

    class Loader(yaml.SafeLoader):
        """mkdocs.yml may hold tags of its own."""

    Loader.add_multi_constructor("", lambda *_: None)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]  # noqa: S506 - a subclass of SafeLoader

    def leaves(node):
        if isinstance(node, str):
            return [node]
        return [leaf for part in (node.values() if isinstance(node, dict) else node) for leaf in leaves(part)]

    pages = {str(p.relative_to(ROOT / "docs")) for p in PAGES[1:]}
    assert sorted(leaves(nav)) == sorted(pages)


def test_readme_tells_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
