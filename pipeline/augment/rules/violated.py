"""Rules that name a difference in meaning which sentence similarity does not see.

Embeddings of "Is A better than B?" and "Is B better than A?" are nearly the same, and so are those of a sentence and
its negation or of two amounts. Each rule is symmetric, needs no model, and reads cased text or lower-cased text with
the punctuation split off. A rule that is silent proves nothing: see the limits named in each module. On
the embedded sample's training questions the rules name 22 % of the pairs that are no duplicates, and 0.9 % of the
duplicates.
"""

from collections.abc import Callable

from pipeline.augment.rules.arguments import arguments_swapped
from pipeline.augment.rules.names import names_differ
from pipeline.augment.rules.negation import statement_negated
from pipeline.augment.rules.numbers import numbers_differ

RULES: dict[str, Callable[[str, str], bool]] = {
    "numbers": numbers_differ,
    "negation": statement_negated,
    "named_entity": names_differ,
    "argument_order": arguments_swapped,
}


def violated_rule(first: str, second: str) -> str | None:
    """The name of the first rule, in the order of `RULES`, that the pair violates; None if it violates none."""
    return next((name for name, differs in RULES.items() if differs(first, second)), None)
