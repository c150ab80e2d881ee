"""Gate `nli`: the probability of entailment by a natural language inference model.

Nighojkar & Licato 2021 (https://aclanthology.org/2021.acl-long.552) use
`ynie/roberta-large-snli_mnli_fever_anli_R1_R2_R3-nli` and call two sentences mutually implicative when each entails the
other. Any classification checkpoint with a label that begins with "entail" will do.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from pipeline.augment.checkpoint import Checkpoint
from pipeline.errors import InputError


class NLI:
    """P(first entails second); `source` is a hub name or a local folder."""

    name = "nli"

    def __init__(self, source: str, revision: str = "main") -> None:
        self._checkpoint = Checkpoint(source, revision)
        self._source = source

    @property
    def revision(self) -> str:
        """The digest of the folder, or the hub's name and commit."""
        return self._checkpoint.revision

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Softmax over all labels, 0 to 1."""
        logits = self._checkpoint.model.logits(pairs)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (exponentials[:, self._entailment] / exponentials.sum(axis=1)).tolist()

    @cached_property
    def _entailment(self) -> int:
        return entailment_label(self._checkpoint.model.labels, self._source)


def entailment_label(labels: Mapping[int, str], source: str) -> int:
    """The index of the label that begins with "entail" in any case (`not_entailment` does not)."""
    found = [index for index, label in labels.items() if label.lower().startswith("entail")]
    if len(found) != 1:
        names = ", ".join(labels.values())
        raise InputError(
            f"{source}: expected one label that begins with 'entail', its labels are {names}; choose an NLI model or "
            "name the labels in its config.json (id2label)"
        )
    return found[0]
