"""The page's figures: Vega-Lite specifications drawn as inline SVG that follows the page's colours, light or dark.

Each is as wide as a phone, so that its text is readable on every screen. Stand-in colours become CSS variables, and
text stays text in the page's own font. All sizes and places are given, so no machine's fonts change a byte.
"""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.base import parse
from pipeline.evaluation.classification import average_precision, expected_calibration_error, reliability
from pipeline.evaluation.predictions import Predictions
from pipeline.report.results import LOSSES, SCORES, Curves

Spec = dict[str, Any]
LOOK = parse(Path(__file__).with_suffix(".yaml"))
COLOURS, MARKS = LOOK["colours"], LOOK["marks"]
CLEANING = (
    (r"^.*?<g ", "<g "),  # the frame, for which `to_svg` has its own
    (r'<path (?:class="(?:back|fore)ground" )?aria-hidden="true"[^>]*/>', ""),
    (r' (?:class|role|aria-[a-z]+|pointer-events|font-family|stroke-miterlimit)="[^"]*"', ""),
    (r' (?:opacity="1"|transform="translate\(0,0\)")', ""),
    (r"(\d\.\d\d)\d+(?=[^<>]*>)", r"\1"),  # coordinates; figures shown as text lie between tags
)
HALVES = {"values": [0, 0.5, 1], "labelExpr": "toString(datum.value)"}


def to_svg(spec: Spec, box: tuple[float, float, float, float], description: str) -> str:
    """A specification as an <svg> element with a description for screen readers; `box` is its view box."""
    import vl_convert

    look = {"autosize": "none", "padding": 0, "config": LOOK["config"]}
    body: str = vl_convert.vegalite_to_svg(look | spec, "5.21")  # DVC's own templates are for major version 5, too
    for pattern, replacement in CLEANING:
        body = re.sub(pattern, replacement, body, flags=re.DOTALL)
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    view = " ".join(f"{part:g}" for part in box)
    return f'<svg role="img" aria-label="{escape(description)}" viewBox="{view}">{body}'


def forest(rows: pd.DataFrame, measure: str, digits: int, floors: Sequence[Any] = (), width: float = 178) -> str:
    """Best to worst: a dot with its interval, a diamond for the reported figure, bars for floors (name, value)."""
    figures = ["value", "low", "high", "reported"]
    own = pd.DataFrame(floors, columns=["name", "value"]).astype({"value": float})
    marks = pd.concat([rows[["name", *figures]].assign(floor=False), own.assign(floor=True)])
    marks = marks.dropna(subset="value").sort_values("value", ascending=False, kind="stable")
    marks = marks.assign(place=range(len(marks)), figure=[f"{value:.{digits}f}" for value in marks["value"]])
    height, ends = 5.76 + 22.32 * len(marks), marks[figures].stack()
    across = _axis(_padded(ends, 0.06), grid=True, tickCount=3, labelFontSize=9.5, labelPadding=5)
    down = _axis([len(marks) - 0.4, -0.6], "place") | {"axis": None}
    text = {"type": "text", "color": {"expr": f"datum.floor ? '{COLOURS['muted']}' : '{COLOURS['ink']}'"}}
    name = {**text, "fontStyle": {"expr": "datum.floor ? 'italic' : 'normal'"}, "align": "left", "x": -144}
    layers = [
        _layer(MARKS["interval"], {"x": {**across, "field": "low"}, "x2": {"field": "high"}}, "isValid(datum.low)"),
        _layer(MARKS["diamond"], {"x": {**across, "field": "reported"}}, "isValid(datum.reported)"),
        _layer(MARKS["dot"], {"x": {**across, "field": "value"}}, "!datum.floor"),
        _layer(MARKS["tick"], {"x": {**across, "field": "value"}}, "datum.floor"),
        _layer(name, {"text": {"field": "name"}}),
        _layer({**text, "align": "right", "x": width + 52.4}, {"text": {"field": "figure"}}),
        _note(measure, width / 2, height + 25.7, align="center", fontSize=9.5, color=COLOURS["muted"]),
    ]
    summary = "; ".join(f"{name} {figure}" for name, figure in zip(marks["name"], marks["figure"], strict=True))
    spec = {**_view(width, height, layers, marks), "encoding": {"y": down}}
    return to_svg(spec, (-144, -7.2, width + 196.4, height + 38.9), f"{measure} with intervals. {summary}")


def funnel(title: str, steps: pd.DataFrame) -> str:
    """How many are left after each step, from all of them at the top to the accepted ones at the bottom."""
    height, limits = 7.2 + 21.6 * len(steps), [0, max(int(steps["left"].max()), 1)]
    across = _axis(limits, "left") | {"axis": None}
    down = {"field": "step", "type": "ordinal", "sort": None, "axis": None, "scale": LOOK["bands"]}
    layers = [
        _layer(MARKS["bar"], {"x": across}),
        _layer({"type": "text", "align": "left", "dx": 4}, {"x": across, "text": {"field": "left", "format": ","}}),
        _layer({"type": "text", "align": "right", "x": -4}, {"text": {"field": "step"}}),
    ]
    summary = "; ".join(f"{step} {left:,}" for step, left in zip(steps["step"], steps["left"], strict=True))
    spec = {**_view(115.9, height, layers, steps), "encoding": {"y": down}}
    return to_svg(spec, (-100.8, 0, 252, height), f"{title}: {summary}")


def curve_panel(name: str, curves: Curves, limits: Mapping[str, list[float]]) -> str:
    """Loss of one row over its steps (train thin, select bold) and, below, its score on select (thin: reported)."""
    panels = [shown for names in (LOSSES, SCORES) if (shown := [key for key in names if len(curves.get(key, []))])]
    steps = _padded(pd.concat([curves[key]["step"] for shown in panels for key in shown]), 0.05)
    width, height, views = 211.7, 69, []
    for shown in panels:
        across = _axis(steps, "step", tickCount=3, tickMinStep=1, format="d", labels=shown is panels[-1])
        down = _axis(limits[shown[0]], "value", grid=True, tickCount=3, domain=False)
        layers = []
        for key in shown:
            few = {"point": {"size": 12, "color": COLOURS["accent"]}} if len(curves[key]) <= 12 else {}
            mark = MARKS["bold"] | few if key.startswith("select") else MARKS["thin"]
            layers.append(_layer(mark, {"x": across, "y": down}, data=curves[key]))
        label = shown[0].split("_")[1].replace("chrf", "chrF")
        place, baseline = (3, "top") if label == "loss" else (height - 3, "bottom")  # losses fall, scores rise
        layers.append(_note(label, width - 2, place, align="right", baseline=baseline))
        views.append(_view(width, height, layers))
    text = f"Training curves of {name}: {', '.join(key for shown in panels for key in sorted(shown))}"
    spec = {"vconcat": views, "bounds": "flush", "spacing": 12.5}
    return to_svg(spec, (-32.8, -5.3, 252, 25.5 + 75.4 * len(panels)), text)


def curve_limits(rows: Sequence[Curves]) -> dict[str, list[float]]:
    """The value range of each curve's panel over several rows, so that panels side by side can be compared."""
    limits: dict[str, list[float]] = {}
    for names in (LOSSES, SCORES):
        if values := [row[name]["value"] for row in rows for name in names if name in row]:
            limits |= dict.fromkeys(names, _padded(pd.concat(values), 0.06))
    return limits


def calibration_panel(name: str, dev: Predictions, base: Predictions | None, confidence: float) -> str:
    """Left: precision over recall (bold), that of `base` behind it (thin). Right: accuracy over confidence."""
    width, height = 99, 92.2
    sure = _axis([0.48, 1.02], "confidence", **HALVES | {"values": [0.5, 0.75, 1]})
    precision, right, low = (_axis([0, 1.03], field, grid=True, domain=False, **HALVES)
                             for field in ("precision", "accuracy", "accuracy_low"))  # fmt: skip
    order = {"field": "threshold", "sort": "descending"}
    recall = {"x": _axis([0, 1], "recall", **HALVES), "y": precision, "order": order}
    rows = [(base, MARKS["thin"]), (dev, MARKS["bold"])]
    diagonal = pd.DataFrame({"confidence": [0.5, 1], "accuracy": [0.5, 1]})  # of two classes, the top one has half
    panels = {
        "recall": [_layer(mark, recall, data=precision_recall(row)) for row, mark in rows if row],
        "confidence": [
            _layer(MARKS["thin"], {"x": sure, "y": right}, data=diagonal),
            _layer(MARKS["interval"], {"x": sure, "y": low, "y2": {"field": "accuracy_high"}}),
            _layer(MARKS["small"], {"x": sure, "y": right}),
        ],
    }
    views = [_view(width, height, [*layers, _note(label, width - 2, height - 4, align="right")])
             for label, layers in panels.items()]  # fmt: skip
    spec = _data(reliability(dev, confidence)) | {"hconcat": views, "bounds": "flush", "spacing": 23.8}
    area, error = average_precision(dev.labels, dev.probabilities[:, 1]), expected_calibration_error(dev)
    text = f"Precision and recall of {name}, average precision {area:.4f}; calibration error {error:.4f}"
    return to_svg(spec, (-25.2, -4.6, 252, 115.2), text)


def precision_recall(dev: Predictions, points: int = 200) -> pd.DataFrame:
    """At most `points` of the curve, about even in recall, from the highest threshold to that of full recall."""
    from sklearn.metrics import precision_recall_curve

    if not dev.labels.any():
        return pd.DataFrame(columns=["recall", "precision", "threshold"])
    precision, recall, threshold = precision_recall_curve(dev.labels, dev.probabilities[:, 1])
    curve = pd.DataFrame({"recall": recall[-2::-1], "precision": precision[-2::-1], "threshold": threshold[::-1]})
    curve = curve[: curve["recall"].searchsorted(1.0) + 1]
    even = np.linspace(curve["recall"].iloc[0], 1.0, points)
    return curve if len(curve) <= points else curve.iloc[np.unique(curve["recall"].searchsorted(even))]


def _data(frame: pd.DataFrame | None) -> Spec:
    return {} if frame is None else {"data": {"values": json.loads(frame.to_json(orient="records"))}}


def _padded(values: pd.Series, share: float) -> list[float]:
    margin = share * (values.max() - values.min()) or 0.05
    return [float(values.min() - margin), float(values.max() + margin)]


def _axis(ends: Sequence[float], field: str = "", **axis: Any) -> Spec:  # noqa: ANN401 - Vega-Lite's
    """A quantitative position on a fixed scale, and the look of its axis."""
    scale = {"domain": list(ends), "zero": False, "nice": False}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def _view(width: float, height: float, layers: list[Spec], data: pd.DataFrame | None = None) -> Spec:
    return {"width": width, "height": height, "layer": layers} | _data(data)


def _layer(mark: Spec, encoding: Spec, only: str = "", data: pd.DataFrame | None = None) -> Spec:
    """Marks of all rows of the data, the view's or own ones, or of those for which the expression `only` is true."""
    chosen: Spec = {"transform": [{"filter": only}]} if only else {}
    return {"mark": mark, "encoding": encoding} | chosen | _data(data)


def _note(text: str, x: float, y: float, **mark: Any) -> Spec:  # noqa: ANN401 - Vega-Lite's
    look = {"type": "text", "text": text, "x": x, "y": y, "baseline": "alphabetic", **mark}
    return {"data": {"values": [{}]}, "mark": look, "encoding": {"x": None, "y": None}}
