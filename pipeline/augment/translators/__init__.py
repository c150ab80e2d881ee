"""What can translate, and how it gives up.

A new backend is a file in this folder with a class like `Backend`, a branch in `open_backend` (translate.py)
and its name in config/augmentation.py.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from pipeline.errors import InputError


class Backend(Protocol):
    """Something that translates."""

    name: str  # as in the parameters and in the memory
    batch_size: int  # sentences between two commits

    def revision(self, source: str, target: str) -> str:
        """What a translation in this direction depends on besides its text; cheap, as it is asked for in every run."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Translate; None for what cannot be translated. `Stopped` carries what was done before a failure."""


class Stopped(InputError):
    """The backend cannot go on; `translations` are those of the batch's first sentences, for the memory to keep."""

    def __init__(self, message: str, translations: Sequence[str | None]) -> None:
        super().__init__(message)
        self.translations = list(translations)


class Replay:
    """Backend `memory`: repeat what was translated before, by whatever backend, and translate nothing."""

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
            "file with `python -m pipeline memory import FILE`"
        )
