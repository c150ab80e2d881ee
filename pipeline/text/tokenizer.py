"""The tokenizer of a model folder."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer

from pipeline.errors import InputError
from pipeline.files import read_json

END_OF_TEXT = "<|endoftext|>"


def load_tokenizer(folder: Path, max_length: int = 0) -> Tokenizer:
    """The fast tokenizer of a model folder, whose model must take `max_length` tokens; no truncation, no padding."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro backbone`")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises nothing narrower
        raise InputError(f"{path}: not a tokenizer that can be loaded: {error}") from None
    if tokenizer.token_to_id(END_OF_TEXT) is None:
        raise InputError(f"{path}: the vocabulary has no {END_OF_TEXT}; expected a GPT-2 tokenizer")
    if max_length:
        positions = read_json(folder / "config.json")["n_positions"]
        if max_length > positions:
            raise InputError(f"params.yaml: max_length {max_length}: the model in {folder} takes {positions} tokens")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def end_of_text(tokenizer: Tokenizer) -> int:
    """The id of the end-of-text token."""
    token = tokenizer.token_to_id(END_OF_TEXT)
    assert token is not None, "load_tokenizer and train_tokenizer see to it"
    return token


def copy_tokenizer(backbone: Path, folder: Path) -> None:
    """Give a fine-tuned model's folder its tokenizer, so that it can be loaded on its own."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(backbone / name, folder / name)
