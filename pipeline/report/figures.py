"""The page's figures.

Each is drawn at the width of a phone and laid out in a grid by the page, so that its text is readable on every screen.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.report.results import Row
from pipeline.report.svg import ACCENT, INK, MUTED, PAPER, new_figure, style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.2  # inches

LOSSES = ("train_loss", "select_loss")
SCORES = ("select_accuracy", "select_chrf")
Points = Sequence[tuple[float, float]]
Mark = tuple[str, float, Row | None]  # a row, or a floor that has a value only


def forest(rows: Sequence[Row], measure: str, digits: int, floors: Mapping[str, float] | None = None) -> str:
    """Best to worst: a dot with its interval, a hollow diamond for the reported figure, bars for the floors."""
    marks: list[Mark] = [(row.name, row.value, row) for row in rows]
    marks += [(name, value, None) for name, value in (floors or {}).items()]
    marks.sort(key=lambda mark: -mark[1])
    salt = f"forest {measure} {' '.join(mark[0] for mark in marks)}"
    with style(salt):
        figure = new_figure(WIDTH, 0.62 + 0.31 * len(marks))
        axes = figure.add_axes((0, 0, 1, 1))
        for place, (_, value, row) in enumerate(marks):
            _forest_mark(axes, place, value, row)
        _forest_axes(axes, marks, measure, digits)
        summary = "; ".join(f"{name} {value:.{digits}f}" for name, value, _ in marks)
        return to_svg(figure, f"{measure} with intervals. {summary}")


def funnel(title: str, steps: Sequence[tuple[str, int]]) -> str:
    """How many are left after each step, from all of them at the top to the accepted ones at the bottom."""
    with style(f"funnel {title}"):
        figure = new_figure(3.5, 0.1 + 0.3 * len(steps))
        axes = figure.add_axes((0.4, 0, 0.46, 1))
        counts = [count for _, count in steps]
        axes.barh(range(len(steps)), counts, height=0.62, color=ACCENT)
        for place, count in enumerate(counts):
            axes.annotate(f"{count:,}", (count, place), (4, 0), textcoords="offset points", va="center", color=INK)
        axes.set_yticks(range(len(steps)), [name for name, _ in steps], color=INK)
        axes.set_xticks([])
        axes.set_xlim(0, max(*counts, 1))
        axes.spines["bottom"].set_visible(False)
        axes.invert_yaxis()
        return to_svg(figure, f"{title}: " + "; ".join(f"{name} {count:,}" for name, count in steps))


def curve_panel(name: str, curves: Mapping[str, Points], limits: Mapping[str, tuple[float, float]]) -> str:
    """Loss of one row over its steps (train thin, select bold) and, below, its score on select where there is one."""
    loss = {key: points for key, points in curves.items() if key in LOSSES and points}
    score = {key: points for key, points in curves.items() if key in SCORES and points}
    panels = [panel for panel in (loss, score) if panel]
    height = 0.35 + 1.05 * len(panels)
    with style(f"curves {name}"):
        figure = new_figure(3.5, height)
        all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.13, right=0.97, top=0.97, bottom=0.28 / height, hspace=0.18)
        for axes, panel in zip(all_axes, panels, strict=True):
            _draw_curves(axes, panel, limits)
        return to_svg(figure, f"Training curves of {name}: {', '.join([*loss, *score])}")


def curve_limits(rows: Sequence[Mapping[str, Points]]) -> dict[str, tuple[float, float]]:
    """The value range of each curve's panel over several rows, so that panels side by side can be compared."""
    limits = {}
    for names in (LOSSES, SCORES):
        values = [value for row in rows for name in names for _, value in row.get(name, [])]
        if values:
            margin = 0.06 * (max(values) - min(values)) or 0.05
            limits.update(dict.fromkeys(names, (min(values) - margin, max(values) + margin)))
    return limits


def _forest_mark(axes: "Axes", place: int, value: float, row: Row | None) -> None:
    if row is None:
        axes.plot([value], [place], marker="|", markersize=9, markeredgewidth=1.6, color=MUTED)
        return
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=ACCENT, linewidth=2.2, solid_capstyle="round", alpha=0.45)
    if row.reported is not None:
        axes.plot([row.reported], [place], "D", markersize=6, markerfacecolor=PAPER, markeredgecolor=MUTED)
    axes.plot([value], [place], "o", markersize=6.5, color=ACCENT, markeredgewidth=0)


def _forest_axes(axes: "Axes", marks: Sequence[Mark], measure: str, digits: int) -> None:
    height = 0.62 + 0.31 * len(marks)
    axes.set_position((0.385, 0.44 / height, 0.475, 1 - 0.54 / height))
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.set_yticks([])
    axes.margins(x=0.06)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(measure, fontsize=9.5, labelpad=4)
    axes.tick_params(axis="x", labelsize=9.5)
    for place, (name, value, row) in enumerate(marks):
        colour = INK if row else MUTED
        across = axes.get_yaxis_transform()
        axes.text(
            -0.81, place, name, transform=across, va="center", color=colour, fontstyle="normal" if row else "italic"
        )
        text = f"{value:.{digits}f}"
        axes.text(1.295, place, text, transform=across, va="center", ha="right", color=colour)


def _draw_curves(axes: "Axes", panel: Mapping[str, Points], limits: Mapping[str, tuple[float, float]]) -> None:
    for name, points in sorted(panel.items(), reverse=True):  # train under select
        steps, values = zip(*points, strict=True)
        bold = name != "train_loss"
        marker = "o" if len(points) <= 12 else "None"
        look: dict[str, Any] = {"color": ACCENT, "linewidth": 1.8} if bold else {"color": MUTED, "linewidth": 1.1}
        axes.plot(steps, values, marker=marker, markersize=3, solid_joinstyle="round", **look)
        axes.set_ylim(*limits[name])
    label = next(iter(panel)).split("_")[1].replace("chrf", "chrF")
    height = 0.96 if label == "loss" else 0.04  # losses fall and scores rise: the other corner is free
    axes.text(0.99, height, label, transform=axes.transAxes, ha="right", va="top" if label == "loss" else "bottom")
    axes.grid(axis="y")
    axes.locator_params(axis="y", nbins=3)
    axes.locator_params(axis="x", nbins=4, integer=True)
    axes.tick_params(labelsize=10)
