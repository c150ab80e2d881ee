"""The results on the terminal: our figure, its interval, the reported one and the difference.

    python -m pipeline results

They are read from metrics/; nothing is computed.
"""

import argparse
from textwrap import fill

from pipeline.commands.terminal import print_table
from pipeline.config.base import PARAMS, parse
from pipeline.report.page import comparability
from pipeline.report.results import load_results
from pipeline.report.tables import main_table


def run(options: argparse.Namespace) -> None:
    """Print one table per task."""
    results = load_results(parse(PARAMS))
    for task in (results.sentiment, results.paraphrase, results.sonnets):
        table = main_table(task, results.confidence, further=False)
        print(f"{task.title} (dev)")
        print_table(table.header, table.rows)
        print()
    print(fill(comparability(results.params), 80))
