"""Put everything together: metrics/summary.md, plots/report.html and plots/tables/*.csv.

python -m pipeline.stages report
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.base import check, load_seed, read_params
from pipeline.config.tasks import Evaluation
from pipeline.errors import InputError
from pipeline.files import write_text
from pipeline.report import augmentation, evidence, page, plot_tables, slices, tables
from pipeline.report.results import METRICS, load_results, rows_of

PLOTS = Path("plots")


def main(arguments: Sequence[str]) -> None:
    """Write the summary, the page and the tables of the plots for the rows of params.yaml."""
    if arguments:
        raise InputError("usage: python -m pipeline.stages report")
    params = read_params()
    results = load_results(params)
    predictions = {task: evidence.dev_predictions(task, rows_of(params, task)) for task in ("sentiment", "paraphrase")}
    predictions["paraphrase"] |= evidence.ensemble_predictions(rows_of(params, "paraphrase", "ensembles"))
    resamples = check(params["evaluation"], Evaluation, "evaluation").bootstrap
    tests = evidence.paired_tests(predictions["paraphrase"], resamples, results.confidence, load_seed())
    sonnet_tests = evidence.sonnet_tests([row.name for row in results.sonnets.rows], resamples)
    augmented = augmentation.load_augmentation(params)
    more = slices.ensemble_table(params["paraphrase"]["ensembles"])
    more += augmentation.robustness_tables(results.paraphrase.rows, results.confidence)
    more += augmentation.augmentation_tables(augmented)
    write_text(METRICS / "summary.md", tables.summary(results, tests, more, sonnet_tests))
    write_text(PLOTS / "report.html", page.render(results, predictions, tests, augmented, sonnet_tests))
    plot_tables.write(PLOTS / "tables", results, predictions, augmented)
    print("see plots/report.html and metrics/summary.md, or run `python -m pipeline.report.show`")
