"""Models by other people, from the hub or a local folder: which version one is, how it is loaded, and what it says."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, quoted

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm")  # weights, configuration, any vocabulary


def hub_commit(name: str, revision: str) -> str:
    """The commit behind a revision of a hub model: from the hub or, without a network, from the hub's cache."""
    if re.fullmatch(r"[0-9a-f]{40}", revision):  # a commit, which never moves, and no branch or tag
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionResolutionError

    try:
        return str(HfApi().resolve_revision(name, revision=revision).resolved)
    except (RevisionResolutionError, OSError, ValueError) as error:
        problem = f"is neither a folder nor a model the hub gives out ({quoted(str(error))})"
        raise InputError(f"{name} at {revision}: {problem}; check the name, the revision and the network") from None


def folder_digest(folder: Path, patterns: Iterable[str] = MODEL_FILES) -> str:
    """The first 16 hexadecimal digits of the SHA-256 over the names and contents of a model's files."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with open(path, "rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def load_model(classes: Any, name: str, revision: str, label: str, dtype: Any) -> Any:  # noqa: ANN401
    """A tokenizer and a model of these classes of transformers, in evaluation mode on the GPU if there is one.

    `name` is on the hub, at `revision`, or a local folder. Only safetensors are read. `label` begins the error message.
    """
    import torch

    from pipeline.models.checkpoint import told

    options = {"use_safetensors": True, "dtype": dtype, "output_loading_info": True}
    expected = f"safetensors and a tokenizer of a {classes[1].__name__}"
    with told(label, f"expected {expected}, in a folder or on the hub"):
        tokenizer = classes[0].from_pretrained(name, revision=revision)
        model, report = classes[1].from_pretrained(name, revision=revision, **options)
    if missing := sorted(report["missing_keys"])[:3]:  # transformers would go on with random weights
        raise InputError(f"{label}: has no weights for {', '.join(missing)}; get it again, or choose another model")
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def read_outputs(
    loaded: tuple[Any, Any], columns: Sequence[Sequence[str]], longest: int, read: Callable[[Any, Any], Any]
) -> NDArray[np.float64]:
    """(texts, values) that `read` makes of a batch's output and attention mask, by a `loaded` tokenizer and model.

    `columns` are the texts, or the first and the second texts of pairs; they are cut at `longest` tokens.
    """
    import torch

    from pipeline.text.batches import batches_by_length

    tokenizer, model = loaded
    options = {"truncation": True, "max_length": longest}
    found: dict[int, Any] = {}
    with torch.inference_mode():
        for batch in batches_by_length(tokenizer(*columns, **options)["input_ids"]):
            texts = [[column[index] for index in batch] for column in columns]
            inputs = tokenizer(*texts, padding=True, return_tensors="pt", **options).to(model.device)
            values = read(model(**inputs), inputs["attention_mask"])
            found |= dict(zip(batch, values.double().cpu().numpy(), strict=True))
    return np.array([found[index] for index in range(len(found))])
