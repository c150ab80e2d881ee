"""A folder with pre-trained weights: loaded right, or refused in one line that names the file and the cure.

transformers keeps the type in which weights were saved, and only warns where some are missing: it goes on with random
ones. Here the type is torch's default, what the loading reports is read, and names that tools have changed are mended.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from pipeline.errors import InputError
from pipeline.models.decoder import add_dropout, dropout_rates

WEIGHTS, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model*.bin"
WRAPPERS = ("_orig_mod.", "module.")  # what torch.compile and DataParallel put before the names of weights
GET_IT_AGAIN = "get it again"
LFS = b"version https://git-lfs"
Model = TypeVar("Model", bound=PreTrainedModel)


def load(
    kind_of: Callable[[type[PretrainedConfig]], type[Model]],
    folder: Path,
    where: str | None = None,
    fresh: bool = False,
    dropout: float | None = None,
    changes: Mapping[str, object] | None = None,
) -> Model:
    """The model in `folder`, in evaluation mode and in torch's default type.

    Args:
        kind_of: gives the model's class by that of its config; a KeyError means that there is none.
        where: what messages call the folder.
        fresh: layers outside the base model may be without weights: new ones are drawn from torch's global generator,
            what is in no layer is 0.
        dropout: the rate everywhere, see pipeline/models/decoder.py; None leaves it as it was saved.
        changes: of the config.
    """
    where = where or str(folder)
    raw, files = _raw_config(folder, where), _weight_files(folder, where)
    with _quietly(), told(where):
        config = AutoConfig.from_pretrained(folder)
        config.update({**(changes or {}), **({} if dropout is None else dropout_rates(config, dropout))})
        try:
            kind = kind_of(type(config))
        except KeyError:
            raise InputError(f"{where}: a model of the type {raw.get('model_type')!r} cannot do this") from None
        renamed = _mended_names(files, kind.base_model_prefix, where)
        model, report = kind.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.get_default_dtype(),
            output_loading_info=True, ignore_mismatched_sizes=True, key_mapping=renamed or None,
        )  # fmt: skip
    _check(report, kind.base_model_prefix, fresh, where)
    for name in report["missing_keys"]:
        if "." not in name:  # `from_pretrained` leaves it as it finds it in memory
            torch.nn.init.zeros_(getattr(model, name))
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise InputError(f"{where}: {name} holds NaN or infinity; these weights are broken, get others")
    add_dropout(model, dropout or 0.0)
    return model.eval()


def _check(report: Mapping[str, Any], base: str, fresh: bool, where: str) -> None:
    """Refuse a model of which weights are missing, have other sizes or belong to layers that config.json has not."""
    if sizes := {name: shapes for name, *shapes in report["mismatched_keys"]}:
        name, (there, here) = min(sizes.items())
        raise InputError(f"{where}: {name} has the shape {list(there)}, by config.json {list(here)}; get both again")
    if missing := [name for name in report["missing_keys"] if not fresh or name.startswith(f"{base}.")]:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise InputError(f"{where}: no weights for {min(missing)}{more}; {GET_IT_AGAIN}")
    if left := [name for name in report["unexpected_keys"] if re.search(r"\.\d+\..*weight$", name)]:
        raise InputError(
            f"{where}: config.json has no place for {min(left)}; it belongs to another model, get both again"
        )


def _raw_config(folder: Path, where: str) -> dict[str, Any]:
    """The folder's config.json, of a model that needs no code of its own and has layers."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{where}: has no config.json; expected a model saved by `save_pretrained`") from None
    except ValueError as error:
        problem = "is a pointer of git-LFS; run `git lfs pull` there" if _is_pointer(path) else f"is not JSON ({error})"
        raise InputError(f"{where}: config.json {problem}") from None
    if not isinstance(config, dict):
        raise InputError(f"{where}: config.json holds no mapping; expected a model saved by `save_pretrained`")
    if "auto_map" in config:
        raise InputError(f"{where}: wants to run code of its own (auto_map in config.json), which is never done here")
    if "quantization_config" in config:
        raise InputError(f"{where}: its weights are quantised (quantization_config in config.json); get the full ones")
    if 0 in (config.get("n_layer"), config.get("num_hidden_layers")):
        raise InputError(f"{where}: config.json says that the model has no layers; {GET_IT_AGAIN}")
    return config


def _weight_files(folder: Path, where: str) -> list[Path]:
    """The folder's safetensors, all of them there."""
    names = [WEIGHTS]
    if (index := folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{where}: {INDEX} cannot be read ({error}); {GET_IT_AGAIN}") from None
    for name in names:
        if Path(name).name != name:
            raise InputError(f"{where}: {INDEX} names {name}, which is not in the folder; {GET_IT_AGAIN}")
        if not (file := folder / name).is_file():
            pickled = any(folder.glob(PICKLED))
            cure = "save it as safetensors (pickled weights are never loaded)" if pickled else GET_IT_AGAIN
            raise InputError(f"{where}: has no {name}; {cure}")
        if _is_pointer(file):
            raise InputError(f"{where}: {name} is a pointer of git-LFS, no weights; run `git lfs pull` there")
    return [folder / name for name in names]


def _is_pointer(file: Path) -> bool:
    with open(file, "rb") as content:
        return content.read(len(LFS)) == LFS


def _mended_names(files: list[Path], base: str, where: str) -> dict[str, str]:
    """Patterns of what tools have put before the names of weights, with what they become; empty if there is nothing."""
    names: set[str] = set()
    for file in files:
        try:
            with safe_open(file, "pt") as weights:
                names |= set(weights.keys())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{where}: {file.name} is cut off or broken ({error}); {GET_IT_AGAIN}") from None
    wrapped = [wrapper for wrapper in WRAPPERS if any(name.startswith(wrapper) for name in names)]
    patterns = {"^" + re.escape(wrapper): "" for wrapper in wrapped}
    doubled = f"{base}.{base}."
    if any(doubled in name for name in names):
        patterns["^" + re.escape(doubled)] = f"{base}."
        wrapped.append(doubled)
    if wrapped:
        print(f"{where}: the names of its weights begin with {', '.join(wrapped)}, which is mended", flush=True)
    return patterns


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' warnings about weights: `_check` reads its report."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn whatever transformers raises for a model that is not whole or not that kind into one line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, LookupError, TypeError, ValueError, RuntimeError, AssertionError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno:  # of the disk
            raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{where}: cannot be loaded ({reason}); {GET_IT_AGAIN}") from None
