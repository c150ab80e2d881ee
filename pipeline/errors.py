"""One clear line for every failure a user can cause or repair; any other exception is a bug and keeps its traceback."""

import codecs
import errno
import io
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress


class InputError(Exception):
    """Input that cannot be used: the message names the file, key or row, what was expected and what to do."""


LONGEST = 300  # characters of a message
SHOWN, QUOTED = 5, 130  # names of a list, characters of what a library says
_HINTS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "the disk is full: free some space and run again to go on"),
    errno.EROFS: "the file system is read-only: choose a writable folder",
    errno.EISDIR: "a folder stands where a file belongs: move it away",
    errno.ENOENT: "no such file: run `dvc repro` so that the earlier stages write it",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file stands where a folder belongs: move it away"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "permission denied: make it readable or its folder writable"),
}


def listed(names: Iterable[str]) -> str:
    """The first of them, and how many more there are: what is too long is not read."""
    first = [*names]
    return ", ".join([*first[:SHOWN], *([f"and {len(first) - SHOWN} more"] if len(first) > SHOWN else [])]) or "none"


def quoted(text: str) -> str:
    """What a library says, short enough to stand inside a message: addresses and paths cut, then its end."""
    text = re.sub(r"\S{40,}", lambda word: f"{word[0][:30]}...", " ".join(text.split()))
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 3]}..."


def one_line(error: Exception) -> str:
    """The message of an expected failure, on one line; of one longer than LONGEST, its beginning and its end."""
    if isinstance(error, OSError) and error.errno in _HINTS:  # of a copy or a rename, the destination counts
        return f"{error.filename2 or error.filename or 'output'}: {_HINTS[error.errno]}"
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[: 2 * LONGEST // 3]} ... {text[5 - LONGEST // 3 :]}"


def stage_main(main: Callable[[Sequence[str]], None]) -> None:
    """Run `main(arguments)`; expected failures end with one line on stderr and exit code 1."""
    print_anywhere()
    try:
        main(sys.argv[1:])
    except (InputError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None


def print_anywhere(encoding: str | None = None) -> None:
    """Print plain characters for those that the encoding (None: the terminal's) lacks. Files are always UTF-8."""
    codecs.register_error("plain", plain)
    for stream in (sys.__stdout__, sys.__stderr__):  # not what a library has put around them, such as colorama
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # a file that became a pipe in a fork: it was changed before
                stream.reconfigure(encoding=encoding, errors="plain")


def plain(error: UnicodeError) -> tuple[str, int]:
    """ASCII for a character that cannot be encoded, such as e for an accented e, and where to go on."""
    assert isinstance(error, UnicodeEncodeError)
    known = {"–": "-", "—": "-", "−": "-", "±": "+/-", "‘": "'", "’": "'", "“": '"', "”": '"'}
    parts = unicodedata.normalize("NFKD", character := error.object[error.start]).encode("ascii", "ignore").decode()
    return known.get(character, parts or "?"), error.start + 1
