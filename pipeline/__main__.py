"""Use the trained rows, and see how the project stands.

python -m pipeline predict paraphrase --row baseline "How old is it?" "What is its age?"
python -m pipeline predict sentiment --row sst_full "A lovely film."
python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
python -m pipeline rows
python -m pipeline results
python -m pipeline compare main
python -m pipeline estimate --profile gpt2
python -m pipeline doctor
python -m pipeline tidy
"""

import argparse
from collections.abc import Sequence

from pipeline.commands import compare, doctor, estimate, predict, results, rows, sonnet, tidy
from pipeline.errors import stage_main


def main(arguments: Sequence[str]) -> None:
    """Run one sub-command."""
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="Use the trained rows of params.yaml.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict.add_arguments(commands.add_parser("predict", help="classes of your own texts"))
    sonnet.add_arguments(commands.add_parser("sonnet", help="a poem from its first three lines"))
    rows.add_arguments(commands.add_parser("rows", help="the rows of all tables, and which are up to date"))
    results.add_arguments(commands.add_parser("results", help="the results of all rows"))
    compare.add_arguments(commands.add_parser("compare", help="what changed in the results since a commit"))
    estimate.add_arguments(commands.add_parser("estimate", help="time, memory and disk that a run would take here"))
    doctor.add_arguments(commands.add_parser("doctor", help="what is wrong with this installation or its results"))
    tidy.add_arguments(commands.add_parser("tidy", help="delete what removed rows left behind"))
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    stage_main(main)
