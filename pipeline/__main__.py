"""Use the trained rows, and see how the project stands.

python -m pipeline predict paraphrase --row baseline "How old is it?" "What is its age?"
python -m pipeline predict sentiment --row sst_full "A lovely film."
python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
python -m pipeline rows
python -m pipeline estimate --profile gpt2
python -m pipeline doctor
python -m pipeline tidy
"""

import argparse
from collections.abc import Sequence
from importlib import import_module

from pipeline.errors import stage_main

COMMANDS = {
    "predict": "classes of your own texts",
    "sonnet": "a poem from its first three lines",
    "rows": "the rows of all tables, and which are up to date",
    "estimate": "time, memory and disk that a run would take here",
    "doctor": "what is wrong with this installation or its results",
    "tidy": "delete what removed rows left behind",
    "docs": "put the measured figures into README.md and docs/",
}


def main(arguments: Sequence[str]) -> None:
    """Run one sub-command; only that one is imported."""
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="Use the trained rows of params.yaml.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name in arguments[:1]:
            import_module(f"pipeline.commands.{name}").add_arguments(command)
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    stage_main(main)
