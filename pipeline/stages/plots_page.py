"""The page that `dvc plots` puts its figures on, with the Vega libraries inside, so that it works offline.

plots.html_template of .dvc/config names it. The libraries come out of vl-convert-python and are not in git.
"""

from pathlib import Path

from pipeline.files import write_text

PAGE = Path("plots/page.html")
VEGA_LITE = "5.21"  # major version 5 is what DVC's own templates are written for


def main() -> None:
    """Write PAGE, with DVC's placeholders where figures go."""
    import vl_convert

    # In a function, so that the bundle's own names do not meet the `spec` that DVC declares for each figure.
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
    page = (Path(__file__).parents[1] / "report/plots_page.html").read_text(encoding="utf-8")
    write_text(PAGE, page.replace("{vega}", f"(() => {{{bundle}}})();"))
