"""Use the trained rows, and see how the project stands: `python -m pipeline COMMAND`, one file of commands/ each.

python -m pipeline predict paraphrase --row baseline "How old is it?" "What is its age?"
python -m pipeline sonnet --system top_p_tuned "first line / second line / third line"
python -m pipeline results
"""

import argparse
import gc
from collections.abc import Sequence
from importlib import import_module

from pipeline.errors import stage_main

COMMANDS = {
    "predict": "classes of your own texts",
    "sonnet": "a poem from its first three lines",
    "demo": "what `make demo` has trained",
    "rows": "the rows of all tables, and which are up to date",
    "results": "the results of all rows, as of the last run",
    "compare": "what changed in metrics/ against a commit",
    "search": "tune a row of any task, each trial a DVC experiment",
    "estimate": "time, memory and disk that a run would take here",
    "tidy": "delete what removed rows left behind",
    "memory": "fill and share the memory of translations",
    "docs": "put the current results into README.md and docs/",
}


def main(arguments: Sequence[str]) -> None:
    """Import the module of one sub-command, let it add its arguments if it has some, and run it."""
    gc.set_threshold(50_000)  # what large libraries make while they are imported stays: do not search it all the time
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="Use the trained rows of params.yaml.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=text) for name, text in COMMANDS.items()}
    name = next(iter(arguments), "")
    if name not in COMMANDS:
        parser.parse_args(arguments)  # help, or an error
    module = import_module(f"pipeline.commands.{name}")
    if hasattr(module, "add_arguments"):
        module.add_arguments(parsers[name])
    try:
        module.run(parser.parse_args(arguments))
    finally:
        gc.freeze()  # nor at the end of the process


if __name__ == "__main__":
    stage_main(main)
