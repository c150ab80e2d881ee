"""What is printed, on a terminal or into a pipe whose encoding lacks some characters: plain ones in their place."""

import codecs
import io
import sys
import unicodedata
from contextlib import suppress

PLAIN = {"–": "-", "—": "-", "−": "-", "±": "+/-", "‘": "'", "’": "'", "“": '"', "”": '"'}


def print_anywhere(encoding: str | None = None) -> None:
    """Let nothing that is printed end in a UnicodeEncodeError. Files are not concerned, they are always UTF-8.

    Args:
        encoding: None keeps the one that the terminal, or the environment, asks for.
    """
    codecs.register_error("plain", plain)
    for stream in (sys.__stdout__, sys.__stderr__):  # not what a library has put around them, such as colorama
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # one that was a file and is a pipe now, in a fork: it has been changed by then
                stream.reconfigure(encoding=encoding, errors="plain")


def plain(error: UnicodeError) -> tuple[str, int]:
    """ASCII in place of a character that cannot be encoded, such as e of an accented e, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    parts = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return PLAIN.get(character, parts or "?"), error.start + 1
