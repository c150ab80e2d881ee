"""Words of a sentence, the same for cased text and for lower-cased text with its punctuation split off."""

import re

FUNCTION_WORDS = set(
    "who what when where why how which whose whom is are was were am be been do does did can could will would shall "
    "should may might must has have had if in on at to of for from by with and or but not my your his her its our "
    "their this that these those it he she we they you i me him them us as than there so more most less any "
    "some".split()
)
_APOSTROPHE = re.compile(r"(?<=\w) ?' ?(?=(?:t|s|re|ve|ll|d|m)\b)", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<![\d.])(\d{1,3})((?: ?, ?\d{3})+)(?!\d)")
_DECIMAL = re.compile(r"(?<=\d) ?\. ?(?=\d)")
_DOTTED = re.compile(r"\b(?:[A-Za-z]\.){2,}")
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?|[.,;:?!/&]")


def plain(text: str) -> str:
    """Undo what tokenisation split: don ' t, 1 , 000, 2 . 5; drop the dots of U.S. and the commas of 1,000."""
    text = _APOSTROPHE.sub("'", text.replace("\u2019", "'"))
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match.group()), text)
    return _DOTTED.sub(lambda match: match.group().replace(".", "") + " ", _DECIMAL.sub(".", text))


def tokens(text: str) -> list[str]:
    """Words, numbers and punctuation marks, in their case; "5kg" is two tokens and a hyphen is a space."""
    return _WORD.findall(plain(text))
