"""The style of figures: sizes, axes, colours and line styles, and writing a figure to a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from metarl.experiments.report.output import check_output
from metarl.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
# The colours of Okabe and Ito, which colour-blind people can distinguish, without yellow, which is too light on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = (*COLOURS, "#8C564B")  # and brown; grey is used for random initialisations and published numbers
GREY = "#808080"
BEFORE, RANDOM = (0, (4, 1.5)), ":"  # line styles of scores before adaptation and of random initialisations
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with a width and a height in inches. Raises ValueError if matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError('pictures need matplotlib: pip install "metarl-torch[plot]"') from None
    picture = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(picture)
    return picture


def panels(picture: Figure, count: int, *, sharey: bool = False) -> list[Axes]:
    """Add `count` axes with horizontal grid lines to `picture`, next to each other; `sharey`: with the same y-axis."""
    axes = list(picture.subplots(1, count, squeeze=False, sharey=sharey)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.9")
        axis.set_axisbelow(True)
    return axes


def logarithmic(axis: Axes) -> None:
    """Make the y-axis logarithmic, with a number of labelled ticks that suits its limits."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    ratio = high / low
    subs = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio <= 10 else (1, 2, 3, 5) if ratio <= 1000 else (1,)
    axis.yaxis.set_major_locator(LogLocator(subs=subs))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())


def gradient_step_axis(axis: Axes) -> None:
    """Label the x-axis with numbers of gradient steps."""
    from matplotlib.ticker import MaxNLocator

    axis.set_xlabel("gradient steps")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def save(picture: Figure, out: Path) -> None:
    """Write `picture` to `out`, a .png, .pdf or .svg. Raises ValueError if it cannot be written."""
    out = check_output(out, SUFFIXES)
    drawn = io.BytesIO()  # because Matplotlib raises an unrelated error when a disk is full
    picture.savefig(drawn, format=out.suffix[1:].lower(), dpi=DPI)
    with atomic_write(out) as path:
        path.write_bytes(drawn.getvalue())
