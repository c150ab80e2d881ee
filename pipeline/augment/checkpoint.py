"""Where a judge's model comes from, and its revision; the model itself is loaded only when a score is missing."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.augment.revision import folder_digest, hub_commit

if TYPE_CHECKING:
    from pipeline.augment.pair_model import PairModel


class Checkpoint:
    """A model of the hub at a revision (a commit, branch or tag), or a local folder."""

    def __init__(self, source: str, revision: str) -> None:
        self._source, self._asked = source, revision

    @cached_property
    def revision(self) -> str:
        """Of a folder the digest of its files; of a hub model its name and commit."""
        return f"{self._source}@{self._commit}" if self._commit else folder_digest(Path(self._source))

    @cached_property
    def model(self) -> "PairModel":
        """The loaded model."""
        from pipeline.augment.pair_model import PairModel

        return PairModel(self._source, self._commit)

    @cached_property
    def _commit(self) -> str | None:
        """The commit behind a branch; None for a folder."""
        return None if Path(self._source).is_dir() else hub_commit(self._source, self._asked)
