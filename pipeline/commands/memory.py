"""Export the translation memory to a TSV file, or add the translations of such a file to it.

python -m pipeline memory export translations.tsv
python -m pipeline memory import translations.tsv
"""

import argparse
from pathlib import Path

from pipeline.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["export", "import"])
    parser.add_argument("file", type=Path, help="a TSV file")


def run(options: argparse.Namespace) -> None:
    """Copy between the memory and the file, and say how many translations that were."""
    from pipeline.augment.memory import MEMORY, TranslationMemory

    if options.action == "export" and not MEMORY.exists():
        raise InputError(f"{MEMORY}: no such file: nothing was translated yet")
    with TranslationMemory() as memory:
        if options.action == "export":
            print(f"{options.file}: {memory.export_tsv(options.file)} translations written")
        else:
            print(f"{options.file}: {memory.import_tsv(options.file)} translations added to {MEMORY}")
