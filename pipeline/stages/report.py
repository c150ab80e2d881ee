"""Put everything together: metrics/summary.md, plots/report.html, plots/tables/*.csv and plots/pictures/*.svg.

python -m pipeline.stages report
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.base import PARAMS, parse
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.evaluation.predictions import METRICS
from pipeline.files import write_text
from pipeline.report import answers, page, plot_tables
from pipeline.report.augmentation import load_augmentation
from pipeline.report.results import load_results

PLOTS = Path("plots")


def main(arguments: Sequence[str]) -> None:
    """Write the summary, the page, the tables of the plots and the README's pictures for the rows of params.yaml."""
    if arguments:
        raise InputError("usage: python -m pipeline.stages report")
    params, checked = parse(PARAMS), load_params()
    settings, results, augmented = checked.evaluation, load_results(params), load_augmentation(params)
    predictions = answers.dev_predictions(results)
    pairs = answers.paired_tests(predictions["paraphrase"], settings.bootstrap, settings.confidence, checked.seed)
    poems = answers.sonnet_tests(list(results.sonnets.rows["name"]), settings.bootstrap)
    tests = {"paraphrase": pairs, "sonnets": poems}
    write_text(METRICS / "summary.md", page.summary(results, tests, augmented))
    write_text(PLOTS / "report.html", page.page(results, predictions, tests, augmented))
    plot_tables.write(PLOTS / "tables", results, predictions, augmented)
    page.write_pictures(PLOTS / "pictures", results)
    print("see plots/report.html and metrics/summary.md, or run `python -m pipeline results`")
