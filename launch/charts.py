"""Stacked bars: where the time of each system goes, normalised, one panel for each program.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which people with any kind
of colour blindness tell apart; the order of the stack is that of the legend.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from launch.breakdown import NAMES

if TYPE_CHECKING:  # commands that draw nothing start without it
    from matplotlib.figure import Figure

COLOURS = dict(
    zip(NAMES, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#999999"), strict=True)
)
LEGEND = {
    "instructions": "instructions",
    "caches": "L1, L2, L3",
    "local": "local memory",
    "remote": "remote memory",
    "coherence": "coherence",
    "waiting": "messages, waiting",
}
LABEL_COLUMNS = 12
THIN = 0.004  # a part too thin for an edge of its own
COLUMNS = 2  # of panels
LEGEND_INCHES = 9.5  # of the legend in one line
BAR_INCHES, PANEL_INCHES, MARGIN_INCHES = 0.95, 3.4, 1.2
DOTS_PER_INCH = 120


class Bar(NamedTuple):
    """One system.  parts: group -> time by that of the base; None: there is no result."""

    label: str
    parts: Mapping[str, float] | None


class Panel(NamedTuple):
    """The bars of one program."""

    title: str
    bars: Sequence[Bar]


def stacked(panels: Sequence[Panel], title: str) -> "Figure":
    """A figure with a panel for each program; time normalised to the base, which is 1."""
    from matplotlib.figure import Figure

    across = min(COLUMNS, len(panels))
    down = -(-len(panels) // across)
    bars = max(len(panel.bars) for panel in panels)
    width = max(5.0, across * (bars * BAR_INCHES + 0.6) * (0.85 if across > 1 else 1))
    figure = Figure(figsize=(width, down * PANEL_INCHES + MARGIN_INCHES), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, panel)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles, labels = grid[0].get_legend_handles_labels()
    across_legend = len(NAMES) if width >= LEGEND_INCHES else len(NAMES) // 2
    figure.legend(
        handles, labels, loc="outside lower center", ncols=across_legend, frameon=False, fontsize=9
    )
    figure.suptitle(title, fontsize=11)
    return figure


class Pair(NamedTuple):
    """A count: ours, None without one, and the paper's."""

    label: str
    ours: float | None
    paper: float


def counts(pairs: Sequence[Pair], title: str) -> "Figure":
    """A figure with a pair of bars for each count, on a logarithmic axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 0.42 * len(pairs) + MARGIN_INCHES), layout="constrained")
    axes = figure.subplots()
    places = [-number for number in range(len(pairs))]
    for shift, name, colour in ((0.2, "ours", "#0072B2"), (-0.2, "paper", "#E69F00")):
        values = [getattr(pair, name) for pair in pairs]
        heights = [value or 0.0 for value in values]
        axes.barh([place + shift for place in places], heights, 0.38, color=colour, label=name)
        for place, value in zip(places, values, strict=True):
            text = "no result" if value is None else f"{value:,}"
            axes.text(max(value or 0, 1) * 1.1, place + shift, text, va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(1, 5 * max(max(pair.paper, pair.ours or 0) for pair in pairs))
    axes.set_yticks(places, [pair.label for pair in pairs], fontsize=8)
    axes.set_xlabel("count")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _panel(axes: Any, panel: Panel) -> None:
    places = range(len(panel.bars))
    heights = [0.0] * len(panel.bars)
    for name in NAMES:
        values = [(bar.parts or {}).get(name, 0.0) for bar in panel.bars]
        axes.bar(
            places, values, 0.68, bottom=heights, color=COLOURS[name], label=LEGEND[name],
            edgecolor="white", linewidth=[0.4 if value > THIN else 0.0 for value in values],
        )  # fmt: skip
        heights = [below + value for below, value in zip(heights, values, strict=True)]
    top = max([1.0, *heights])
    for place, bar, height in zip(places, panel.bars, heights, strict=True):
        text = "no result" if bar.parts is None else f"{height:.2f}"
        axes.text(place, height + top * 0.015, text, ha="center", va="bottom", fontsize=9)
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xticks(places, [_wrapped(bar.label) for bar in panel.bars], fontsize=8)
    axes.set_ylim(0, top * 1.12)
    axes.set_ylabel("time / vanilla")
    axes.set_title(panel.title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _wrapped(label: str) -> str:
    design, _, model = label.partition(" ")
    return "\n".join([design, *textwrap.wrap(model, LABEL_COLUMNS)])


def png(figure: "Figure") -> bytes:
    """The picture; equal figures give equal bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return content.getvalue()
