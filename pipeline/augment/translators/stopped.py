"""How a translator gives up in the middle of a batch."""

from collections.abc import Sequence

from pipeline.errors import InputError


class Stopped(InputError):
    """The translator cannot go on; `translations` are those of the batch's first sentences, for the memory to keep."""

    def __init__(self, message: str, translations: Sequence[str | None]) -> None:
        super().__init__(message)
        self.translations = list(translations)
