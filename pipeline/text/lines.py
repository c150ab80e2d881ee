"""A poem as a system wrote it: what generation writes and evaluation reads."""

import re
from dataclasses import dataclass
from functools import cached_property

GIVEN_LINES = 3
SONNET_LINES = 14


@dataclass(frozen=True)
class Generated:
    """One poem of a system; `text` begins with `prompt`, the three given lines.

    nll: mean negative log-likelihood of the completion's tokens under the scoring model, in nats; None without any.
    """

    id: int
    draw: int
    prompt: str
    text: str
    nll: float | None = None

    @property
    def completion(self) -> str:
        """What the system wrote."""
        return self.text[len(self.prompt) :]

    @cached_property
    def lines(self) -> list[str]:
        """All lines that are not blank."""
        return lines_of(self.text)

    @cached_property
    def new_lines(self) -> list[str]:
        """The lines after the given ones."""
        return self.lines[GIVEN_LINES:]


def lines_of(text: str) -> list[str]:
    """The lines of a poem, without indentation and blank lines."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def words_of(text: str) -> list[str]:
    """Lower-cased words; an apostrophe inside or in front belongs to its word ('tis, feel'st)."""
    return [match.group().lower() for match in word_matches(text)]


def word_matches(text: str) -> list[re.Match[str]]:
    """The words of a text with their places."""
    return list(re.finditer(r"'?\w+(?:['-]\w+)*", text.replace("\u2019", "'")))
