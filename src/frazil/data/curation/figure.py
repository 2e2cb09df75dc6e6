"""Draw what a selection kept beside what it dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from frazil.data.curation.contrast import Contrast, Portrait
    from frazil.data.samples import Samples

INK = "#1b2a33"
COLOURS = {"all": "#9aa5ab", "kept": "#1f77b4", "dropped": "#d9622b"}
ROW, WIDTH = 2.6, 14.0  # inches
BINS = 80
_MOST = 60_000  # points along a side that the drawing program can make


def draw(contrasts: Sequence[Contrast], samples: Samples, path: str | Path, *, title: str = "") -> None:
    """Write a figure, a row for each channel: histograms, the difference of the mean fields, and the numbers.

    Parameters
    ----------
    contrasts : sequence of Contrast
    samples : Samples
        Whose axes the maps have.
    path : path
        What stands behind its last dot says what is written: png, pdf, svg.
    title : str

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = ROW * len(contrasts) + 0.6
    with mpl.rc_context({"font.size": 8, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK}):
        figure = Figure(
            figsize=(WIDTH, height), dpi=min(110, _MOST / height), facecolor="white", layout="constrained"
        )
        FigureCanvasAgg(figure)
        figure.suptitle(title or "kept and dropped", fontsize=10)
        axes = figure.subplots(len(contrasts), 3, squeeze=False, width_ratios=(1.1, 1.1, 0.8))
        for number, (row, contrast) in enumerate(zip(axes, contrasts, strict=True)):
            _histograms(row[0], contrast, legend=number == 0)
            _difference(row[1], contrast, samples)
            _write_numbers(row[2], contrast)
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:  # no such folder; no such format
            raise StoreError(f"cannot write the figure to {path}: {error}") from error


def _histograms(ax: Axes, contrast: Contrast, *, legend: bool) -> None:
    portraits = contrast.portraits
    whole = portraits["all"].histogram
    for name in ("all", "kept", "dropped"):
        edges, counts = portraits[name].histogram.binned(BINS, like=whole)
        if not counts.size:
            ax.text(0.5, 0.5, "no values", ha="center", va="center", transform=ax.transAxes)
            continue
        share = counts / max(1, counts.sum())
        ax.stairs(share, edges, color=COLOURS[name], fill=name == "all", label=name, linewidth=1.2)
    ax.set(xlabel=_label(contrast), ylabel="share of values", yscale="log")
    if legend and whole.power is not None:
        ax.legend(frameon=False)


def _difference(ax: Axes, contrast: Contrast, samples: Samples) -> None:
    """Map of kept mean - all mean; a line for fields along one axis, a sentence for others."""
    difference = np.ma.masked_invalid(contrast.difference)
    ax.set_title("mean of kept \N{MINUS SIGN} mean of all", fontsize=8)
    if difference.ndim == 1:
        ax.plot(np.arange(difference.size), difference, color=INK, linewidth=0.8)
        ax.set(xlabel=samples.reader.spatial[0], ylabel=contrast.units)
        return
    if difference.ndim != 2 or difference.count() == 0:
        ax.text(0.5, 0.5, _mean_difference(contrast), ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    limit = float(np.abs(difference).max()) or 1.0
    upward = _ascends(samples, samples.reader.spatial[0])
    image = ax.imshow(
        difference,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
        origin="lower" if upward else "upper",
    )
    ax.set(xticks=[], yticks=[], facecolor="#c9ccd1")
    ax.set(xlabel=samples.reader.spatial[1], ylabel=samples.reader.spatial[0])
    bar = ax.figure.colorbar(image, ax=ax)
    bar.set_label(contrast.units)


def _write_numbers(ax: Axes, contrast: Contrast) -> None:
    ax.set_axis_off()
    rows: list[tuple[str, ...]] = [("", "samples", "mean", "sd", "min", "max")]
    rows += [(name, str(p.samples), *_figures(p)) for name, p in contrast.portraits.items()]
    text = "\n".join("".join(cell.rjust(10) for cell in row) for row in rows)
    ax.text(0, 0.6, text, family="monospace", fontsize=7.5, va="center", transform=ax.transAxes)
    ax.set_title(_label(contrast), fontsize=9, loc="left")


def _figures(portrait: Portrait) -> list[str]:
    if not portrait.moments.count:
        return ["-"] * 4
    moments = portrait.moments
    return [f"{value:.4g}" for value in (moments.mean, moments.sd, portrait.low, portrait.high)]


def _label(contrast: Contrast) -> str:
    return f"{contrast.channel} ({contrast.units})" if contrast.units else contrast.channel


def _mean_difference(contrast: Contrast) -> str:
    kept, whole = contrast.kept.moments, contrast.all.moments
    return f"{kept.mean - whole.mean:.4g}" if kept.count else "no values"


def _ascends(samples: Samples, dim: str) -> bool:
    """Whether a coordinate rises, so that its first point belongs at the bottom."""
    values: Any = samples.reader.coordinate(dim)
    return values is not None and len(values) > 1 and bool(values[-1] > values[0])
