"""Figures as inline SVG that follow the page's colours, light or dark.

Matplotlib draws with stand-in colours that are then replaced by CSS variables, keeps text as text in the page's own
font, and is told to leave out dates and random ids: equal input gives equal bytes.
"""

import io
import re
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, LINE, ACCENT, PAPER = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", PAPER: "paper"}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 5,
    "axes.unicode_minus": True,
}
CLEANING = (
    (r"<metadata>.*?</metadata>", ""),
    (r"<style.*?</style>", ""),  # would apply to the whole page
    (r'<g id="[A-Za-z0-9_.]+"/>', ""),
    (r'<g id="[A-Za-z0-9_.]+">', "<g>"),  # names such as figure_1 repeat from figure to figure
    (r" font-family: [^;]*;", ""),
    (r" transform=\"rotate\(-0 [^)]*\)\"", ""),
    (r"xlink:href", "href"),
    (r"(\d\.\d\d)\d+(?=[^<>]*>)", r"\1"),  # coordinates; figures shown as text lie between tags
    (r"\s+", " "),
)


def new_figure(width: float, height: float) -> "Figure":
    """A figure of a size in inches; 72 units each in the SVG's viewBox."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def style(salt: str) -> Any:  # noqa: ANN401 - a context manager of matplotlib
    """The look of the page's figures, as a context; `salt` is different for each figure of the page."""
    import matplotlib

    # From the defaults, not from a matplotlibrc of the machine; the salt makes ids unique within the page.
    return matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "svg", **STYLE, "svg.hashsalt": salt})


def to_svg(figure: "Figure", description: str) -> str:
    """The figure as an <svg> element with a description for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    frame = re.search(r'viewBox="[^"]*"', svg)
    assert frame is not None  # matplotlib always writes one
    body = svg[svg.index(">", frame.end()) + 1 :]
    for pattern, replacement in CLEANING:
        body = re.sub(pattern, replacement, body, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    return f'<svg role="img" aria-label="{escape(description)}" {frame.group()}>{body.strip()}'
