"""The demo's picture: original, decoded and error, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

INK, LAND = "#1b2a33", "#c9ccd1"
# Inches. The first two maps share a colour bar, at the right of the second.
MAP, GAP, HEAD, FOOT, MARGIN = (4.3, 2.15), 0.22, 0.42, 0.18, 0.2
LEFTS = (2.55, 6.97, 12.05)
WIDTH = 17.3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One field: its two versions, of shape (..., y, x), and what to write beside them."""

    sample: str
    units: str
    caption: str
    pair: tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a sample is shown: a window of twice as many columns as rows, its colours, its name."""

    title: str
    window: tuple[slice, slice]
    colours: str = "viridis"
    bands: tuple[int, int, int] | None = None
    logarithmic: bool = False


EVERYTHING = slice(None)
LOOKS = {
    "era5_t850": Look(
        title="Temperature at 850 hPa\nERA5, 0.25°", window=(EVERYTHING, EVERYTHING), colours="RdYlBu_r"
    ),
    "ostia_sst": Look(
        title="Sea surface temperature\nOSTIA, 0.25°",
        window=(slice(None, None, -1), EVERYTHING),
        colours="plasma",
    ),
    "mrms_rain": Look(
        title="Rain rate\nMRMS radar, 0.01°",
        window=(slice(192, 576), EVERYTHING),
        colours="YlGnBu",
        logarithmic=True,
    ),
    "sentinel2": Look(
        title="Reflectance, 12 bands\nSentinel-2, 10 m", window=(slice(32, 96), EVERYTHING), bands=(3, 2, 1)
    ),
}


def draw(rows: list[Row], path: Path) -> None:
    """Write the picture to ``path``, a PNG; a row for each field."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = HEAD + len(rows) * (MAP[1] + GAP) + FOOT
    with mpl.rc_context(
        {"font.size": 9, "font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK}
    ):
        figure = Figure(figsize=(WIDTH, height), dpi=130, facecolor="white")
        FigureCanvasAgg(figure)
        for i, row in enumerate(rows):
            bottom = height - HEAD - (i + 1) * MAP[1] - i * GAP
            axes = [
                figure.add_axes((left / WIDTH, bottom / height, MAP[0] / WIDTH, MAP[1] / height))
                for left in LEFTS
            ]
            top = (bottom + MAP[1]) / height
            _write_label(figure, row, top, height)
            _draw_row(axes, row)
            if i == 0:
                for ax, heading in zip(
                    axes, ("original", "decoded", "decoded \N{MINUS SIGN} original"), strict=True
                ):
                    ax.set_title(heading, fontsize=12, fontweight="bold", color=INK)
        figure.savefig(path)


def _look(row: Row) -> Look:
    return LOOKS.get(row.sample, Look(title=row.sample, window=(EVERYTHING, EVERYTHING)))


def _write_label(figure: Figure, row: Row, top: float, height: float) -> None:
    at = MARGIN / WIDTH
    figure.text(at, top, _look(row).title, fontsize=11, fontweight="bold", va="top", linespacing=1.35)
    figure.text(at, top - 0.52 / height, row.caption, fontsize=10, va="top", linespacing=1.6)


def _draw_row(axes: list[Axes], row: Row) -> None:
    look = _look(row)
    for ax in axes:
        ax.set(xticks=[], yticks=[], facecolor=LAND)
        for side in ax.spines.values():
            side.set(color=INK, linewidth=0.6)
    planes = [_plane(array, look.window) for array in row.pair]
    error = planes[1].astype("f8") - planes[0]
    if look.bands is None:
        _scalar(axes[:2], [np.ma.masked_invalid(plane[0]) for plane in planes], look, row.units)
        difference = np.ma.masked_invalid(error[0])
    else:
        _colour(axes[:2], planes, look.bands)
        difference = np.ma.masked_invalid(error[look.bands[0]])
    limit = float(np.percentile(np.abs(difference.compressed()), 99.8)) or 1.0
    image = axes[2].imshow(
        difference, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto"
    )
    _bar(axes[2], image, row.units, "both")


def _bar(ax: Axes, image: AxesImage, units: str, extend: str) -> None:
    place = ax.inset_axes((1.02, 0.0, 0.022, 1.0))
    bar = ax.figure.colorbar(image, cax=place, extend=extend, extendfrac=0.04)
    bar.set_label(units)
    bar.outline.set_linewidth(0.5)


def _plane(array: npt.NDArray[Any], window: tuple[slice, slice]) -> npt.NDArray[Any]:
    """First of the leading axes, all of the last of them (bands), the window in y and x."""
    bands: npt.NDArray[Any] = array.reshape(-1, *array.shape[-3:])[0]
    return bands[:, window[0], window[1]]


def _scalar(axes: list[Axes], shown: list[Any], look: Look, units: str) -> None:
    from matplotlib.colors import LogNorm, Normalize

    if look.logarithmic:
        norm: Normalize = LogNorm(0.1, max(float(shown[0].max()), 1.0))
        shown = [np.ma.maximum(plane, 0.1) for plane in shown]
    else:
        norm = Normalize(*np.percentile(shown[0].compressed(), (0.5, 99.5)))
    for ax, plane in zip(axes, shown, strict=True):
        image = ax.imshow(plane, cmap=look.colours, norm=norm, interpolation="antialiased", aspect="auto")
    _bar(axes[-1], image, units, "min" if look.logarithmic else "both")


def _colour(axes: list[Axes], planes: list[npt.NDArray[Any]], bands: tuple[int, int, int]) -> None:
    """Show true colour, stretched from the 1st to the 99th percentile of the original."""
    low, high = np.percentile(planes[0][list(bands)], (1, 99))
    for ax, plane in zip(axes, planes, strict=True):
        rgb = np.clip((plane[list(bands)].astype("f8") - low) / (high - low), 0, 1) ** 0.8
        ax.imshow(np.moveaxis(rgb, 0, -1), interpolation="nearest", aspect="auto")
