"""Gate `bleurt`: a learnt regression of how well a candidate renders a reference (Sellam et al. 2020).

https://aclanthology.org/2020.acl-main.704. Any checkpoint with a single output will do, such as the conversions of the
original weights under `Elron/bleurt-*`. Most scores lie between 0 and 1, but nothing bounds them.
"""

from collections.abc import Sequence

from pipeline.augment.checkpoint import Checkpoint
from pipeline.errors import InputError


class BLEURT:
    """The regression of (reference, candidate); `source` is a hub name or a local folder."""

    name = "bleurt"

    def __init__(self, source: str, revision: str = "main") -> None:
        self._checkpoint = Checkpoint(source, revision)
        self._source = source

    @property
    def revision(self) -> str:
        """The digest of the folder, or the hub's name and commit."""
        return self._checkpoint.revision

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The single output for each pair."""
        labels = self._checkpoint.model.labels
        if len(labels) != 1:
            names = ", ".join(labels.values())
            raise InputError(
                f"{self._source}: expected a regression with one output, it has {len(labels)} ({names}); "
                "choose a BLEURT checkpoint"
            )
        return self._checkpoint.model.logits(pairs)[:, 0].tolist()
