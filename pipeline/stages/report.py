"""Put everything together: metrics/summary.md, plots/report.html, plots/tables/*.csv and plots/pictures/*.svg."""

from pathlib import Path

from pipeline.config.base import PARAMS, parse
from pipeline.config.params import load_params
from pipeline.evaluation.predictions import METRICS
from pipeline.files import write_text
from pipeline.report import answers, page, plot_tables
from pipeline.report.augmentation import load_augmentation
from pipeline.report.results import load_results


def main() -> None:
    params, checked, plots = parse(PARAMS), load_params(), Path("plots")
    settings, results, augmented = checked.evaluation, load_results(params), load_augmentation(params)
    predictions = answers.dev_predictions(results)
    pairs = answers.paired_tests(predictions["paraphrase"], settings.bootstrap, settings.confidence, checked.seed)
    poems = answers.sonnet_tests(results, settings.bootstrap)
    tests = {"paraphrase": pairs, "sonnets": poems}
    write_text(METRICS / "summary.md", page.summary(results, tests, augmented))
    write_text(plots / "report.html", page.page(results, predictions, tests, augmented))
    plot_tables.write(plots / "tables", results, predictions, augmented)
    page.write_pictures(plots / "pictures", results)
    print("see plots/report.html and metrics/summary.md, or run `python -m pipeline results`")
