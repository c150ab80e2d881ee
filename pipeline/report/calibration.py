"""A figure of a row's probabilities: the precision-recall curve, and whether answers are as right as they are sure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.evaluation.calibration import Bin, expected_calibration_error, reliability
from pipeline.evaluation.precision_recall import average_precision, curve, thinned
from pipeline.evaluation.predictions import Predictions
from pipeline.report.svg import ACCENT, MUTED, new_figure, style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = tuple[list[float], list[float]]  # recall, precision
FLOOR = 0.5  # of two classes, the more probable one has at least this


def panel(name: str, dev: Predictions, base: Predictions | None, confidence: float) -> str:
    """Left: precision over recall (bold), that of `base` behind it (thin). Right: accuracy over confidence."""
    with style(f"calibration {name}"):
        figure = new_figure(3.5, 1.6)
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.1, right=0.98, top=0.96, bottom=0.16, wspace=0.24)
        _draw_curves(left, precision_recall(dev), precision_recall(base) if base else None)
        _draw_reliability(right, reliability(dev, confidence))
        area = average_precision(dev.labels, dev.probabilities[:, 1])
        error = expected_calibration_error(dev)
        text = f"Precision and recall of {name}, average precision {area:.4f}; calibration error {error:.4f}"
        return to_svg(figure, text)


def precision_recall(predictions: Predictions) -> Curve:
    """The curve thinned for display."""
    _, precision, recall = curve(predictions.labels, predictions.probabilities[:, 1])
    kept = thinned(recall)
    return recall[kept].tolist(), precision[kept].tolist()


def _draw_curves(axes: "Axes", own: Curve, base: Curve | None) -> None:
    if base:
        axes.plot(*base, color=MUTED, linewidth=1.1)
    axes.plot(*own, color=ACCENT, linewidth=1.8, solid_joinstyle="round")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.03)
    _finish(axes, [0.0, 0.5, 1.0], "recall")


def _draw_reliability(axes: "Axes", bins: Sequence[Bin]) -> None:
    axes.plot([FLOOR, 1], [FLOOR, 1], color=MUTED, linewidth=1.1)
    for part in bins:
        ends = [part.accuracy_low, part.accuracy_high]
        axes.plot([part.confidence] * 2, ends, color=ACCENT, linewidth=2.2, solid_capstyle="round", alpha=0.45)
    axes.plot([part.confidence for part in bins], [part.accuracy for part in bins], "o", markersize=4, color=ACCENT)
    axes.set_xlim(FLOOR - 0.02, 1.02)
    axes.set_ylim(0, 1.03)
    _finish(axes, [0.5, 0.75, 1.0], "confidence")


def _finish(axes: "Axes", ticks: Sequence[float], label: str) -> None:
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.grid(axis="y")
    axes.tick_params(labelsize=10)
    axes.text(0.98, 0.04, label, transform=axes.transAxes, ha="right", va="bottom")
