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
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from pipeline.errors import InputError, quoted
from pipeline.models.decoder import add_dropout, dropout_rates

WEIGHTS, INDEX, PICKLED = "model.safetensors", "model.safetensors.index.json", "pytorch_model*.bin"
WRAPPERS = r"_orig_mod\.|module\."  # what torch.compile and DataParallel put before the names of weights
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
    with told(where):
        config = AutoConfig.from_pretrained(folder)
        config.update({**(changes or {}), **({} if dropout is None else dropout_rates(config, dropout))})
        try:
            kind = kind_of(type(config))
        except KeyError:
            problem = f"a model of the type {raw.get('model_type')!r} cannot do this; choose another"
            raise InputError(f"{where}: {problem}") from None
        weights = _weights(files, kind.base_model_prefix, where)  # `save_pretrained` would undo a `key_mapping`
        model, report = kind.from_pretrained(
            None, config=config, state_dict=weights, dtype=torch.get_default_dtype(),
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
        model.name_or_path = str(folder)  # which peft writes into an adapter
    check(report, kind.base_model_prefix, fresh, where)
    head = model.get_output_embeddings()
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        model.config.tie_word_embeddings = False  # else `resize_token_embeddings` would tie them
    for name in report["missing_keys"]:
        if "." not in name:  # `from_pretrained` leaves it as it finds it in memory
            torch.nn.init.zeros_(getattr(model, name))
    if broken := [name for name, weight in model.named_parameters() if not weight.isfinite().all()]:
        raise InputError(f"{where}: {broken[0]} holds NaN or infinity; these weights are broken, get others")
    add_dropout(model, dropout or 0.0)
    return model.eval()


def check(report: Mapping[str, Any], base: str, fresh: bool, where: str) -> None:
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
        pointer, broken = "is a pointer of git-LFS; run `git lfs pull` there", f"is not JSON ({error}); {GET_IT_AGAIN}"
        raise InputError(f"{where}: config.json {pointer if _is_pointer(path) else broken}") from None
    if not isinstance(config, dict):
        raise InputError(f"{where}: config.json holds no mapping; expected a model saved by `save_pretrained`")
    if "auto_map" in config:
        problem = "wants to run code of its own (auto_map in config.json), which is never done; choose another"
        raise InputError(f"{where}: {problem}")
    if "quantization_config" in config:
        raise InputError(f"{where}: its weights are quantised (quantization_config in config.json); get the full ones")
    if 0 in (config.get("n_layer"), config.get("num_hidden_layers")):
        raise InputError(f"{where}: config.json says that the model has no layers; {GET_IT_AGAIN}")
    return config


def _weight_files(folder: Path, where: str) -> list[Path]:
    """The folder's safetensors, all of them there: one, or those that the index names."""
    names = [WEIGHTS]
    if (index := folder / INDEX).is_file() and not (folder / WEIGHTS).is_file():
        try:
            names = sorted(set(map(str, json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())))
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


def _weights(files: list[Path], base: str, where: str) -> dict[str, Tensor]:
    """The weights in all files, without what tools have put before their names."""
    found: dict[str, Tensor] = {}
    for file in files:
        try:
            found |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{where}: {file.name} is cut off or broken ({error}); {GET_IT_AGAIN}") from None
    mended = {re.sub(rf"^({WRAPPERS})*({base}\.(?={base}\.))*", "", name): weight for name, weight in found.items()}
    if changed := sorted(found.keys() - mended.keys()):
        print(f"{where}: what tools have put before the names of its weights is taken off: {changed[0]}", flush=True)
    return mended


@contextmanager
def told(where: str, cure: str = GET_IT_AGAIN) -> Iterator[None]:
    """Without transformers' warnings; whatever it raises for a model that is not whole or not that kind is one line."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # `check` reads its report
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the libraries raise nothing narrower
        if isinstance(error, OSError) and error.errno:  # of the disk
            raise
        reason = quoted(" ".join(str(error).split("\n")[:2])) or type(error).__name__
        raise InputError(f"{where}: cannot be loaded ({reason}); {cure}") from None
    finally:
        logging.set_verbosity(verbosity)
