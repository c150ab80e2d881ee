"""Backend `memory`: repeat what was translated before, by whatever backend, and translate nothing."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.errors import InputError


class Replay:
    """Is only asked to translate what the memory does not have, all of it at once, and says so."""

    name = "memory"
    batch_size = sys.maxsize

    def revision(self, source: str, target: str) -> str:
        """None of its own: every revision of every backend will do."""
        return ""

    def translate(self, texts: Sequence[str], source: str, target: str) -> NoReturn:
        """Say what is missing and how to get it."""
        raise InputError(
            f"data/memory: {len(texts)} translations from {source} to {target} are missing, the first of {texts[0]!r}: "
            "set back_translation.translator.backend to one that translates and run `dvc repro`, or add an exported "
            "file with `python -m pipeline.augment.memory import FILE`"
        )
