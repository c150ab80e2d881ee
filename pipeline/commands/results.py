"""The results on the terminal: our figure, its interval, the reported one and the difference.

    python -m pipeline results

They are read from metrics/; nothing is computed.
"""

import argparse

from pipeline.config.base import PARAMS, parse
from pipeline.report.results import load_results
from pipeline.report.summary import comparability
from pipeline.report.tables import main_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print one table per task."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console, results = Console(), load_results(parse(PARAMS))
    for task in results.tasks:
        table = main_table(task, results.confidence, further=False)
        view = Table(
            title=f"{task.title} (dev)", box=box.SIMPLE_HEAD, title_justify="left", show_edge=False, pad_edge=False
        )
        for place, heading in enumerate(table.header):
            view.add_column(heading, justify="right" if place else "left", no_wrap=True)
        for row in table.rows:
            view.add_row(*row)
        console.print(view)
    console.print(comparability(results.params), style="dim")
