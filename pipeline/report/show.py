"""Print the results table again from metrics/, without computing anything.

python -m pipeline.report.show
"""

from collections.abc import Sequence

from pipeline.config.base import read_params
from pipeline.errors import InputError, stage_main
from pipeline.report.results import load_results
from pipeline.report.tables import print_results


def main(arguments: Sequence[str]) -> None:
    """Print one table per task."""
    if arguments:
        raise InputError("usage: python -m pipeline.report.show")
    print_results(load_results(read_params()))


if __name__ == "__main__":
    stage_main(main)
