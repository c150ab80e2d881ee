"""Accidents that files and settings have, drawn at random: `broken(data, rng)`."""

import random
from typing import Any

ODD_CELLS = [
    b"",
    b"nan",
    b"NaN",
    b"inf",
    b"-1",
    b"1e999",
    b"0x10",
    b"2",
    b"0.5",
    b"9" * 5000,
    b'"',
    b"'",
    b"\\",
    b"=1+1",
]
ODD_CELLS += [
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\t\t\t",
    b",,,",
    b"\r",
    b"\n\n",
    b"<a>&b;</a>",
    b"../../etc/passwd",
]
ODD_CELLS += [text.encode() for text in ("\u2028", "\u202eabc", "e\u0301", "\U0001f600")]
ODD_VALUES: list[Any] = [None, True, -1, 0, 1, 10**30, -(10**30), 1e308, float("nan"), float("inf")]
ODD_VALUES += [
    "",
    "a b",
    "../x",
    "/",
    "nan",
    "1e-5",
    "prepared/../../x",
    "\x00",
    "ü" * 500,
    [],
    [[]],
    ["x", "x"],
    {},
    {"a": 1},
]
ODD_YAML = [
    "&a ",
    "*a",
    "!!python/object/apply:os.system [ls]",
    "!!binary aGk=",
    "!!set {a}",
    "<<: *x",
    "- ",
    ": ",
    "\t",
]
ODD_YAML += [
    "? ",
    "[" * 3000,
    "{a: " * 500,
    "'",
    '"',
    "%YAML 9.9\n",
    "---\n",
    "...\n",
    "#",
    "|",
    ">",
    "0o17",
    "1:30",
    "\x07",
]
ODD_YAML += ["2020-01-01", "\ufeff", "&x [*x]", "&y {<<: *y}"]


class Seeded(random.Random):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.begun = seed

    def __repr__(self) -> str:
        return f"Seeded({self.begun})"


def broken(data: bytes, rng: Seeded) -> bytes:
    """A file after one to three accidents."""
    for _ in range(rng.randint(1, 3)):
        start, end = sorted(rng.randint(0, len(data)) for _ in range(2))
        lines = data.split(b"\n")
        line = rng.randrange(len(lines))
        match rng.randrange(12):
            case 0:  # cut off
                data = data[:start]
            case 1:  # a piece is lost
                data = data[:start] + data[min(end, start + 200) :]
            case 2:  # a piece stands there twice
                data = data[:end] + data[start:]
            case 3:
                data = data[:start] + rng.randbytes(rng.randint(1, 8)) + data[start:]
            case 4 | 5 | 6:
                cells = lines[line].split(b"\t" if b"\t" in lines[line] else b",")
                cells[rng.randrange(len(cells))] = rng.choice(ODD_CELLS)
                lines[line] = (b"\t" if b"\t" in lines[line] else b",").join(cells)
                data = b"\n".join(lines)
            case 7:  # columns change places
                separator = b"\t" if b"\t" in lines[0] else b","
                data = b"\n".join(separator.join(each.split(separator)[::-1]) for each in lines)
            case 8:  # another program saved it
                encoding, marks = (
                    rng.choice(["utf-16", "utf-8-sig", "utf-32", "cp1252", "cp037"]),
                    data.decode("utf-8", "replace"),
                )
                data = marks.encode(encoding, "replace")
            case 9:
                data = data.replace(b"\n", rng.choice([b"\r\n", b"\r", b"", b"\n\n", b"\t\n"]))
            case 10:  # lines in another order, a header in the middle
                rng.shuffle(lines)
                data = b"\n".join(lines)
            case 11:
                data = (
                    data[:start] + rng.choice([b"a", b"\x00", b'"', b"\xe9"]) * rng.choice([1, 100_000]) + data[start:]
                )
    return data
