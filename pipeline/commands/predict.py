"""Classes of the user's own texts, from the command line, a file or standard input.

    python -m pipeline predict paraphrase --row symmetric "How old is it?" "What is its age?"
    python -m pipeline predict paraphrase --row ensemble --file pairs.csv --json
    python -m pipeline predict sentiment --row sst_full < texts.jsonl

Texts are normalised as in `prepare`, so a pair of dev gets the probabilities that predictions/ holds. Files are CSV
with a header, or JSON lines: sentence1 and sentence2 for pairs, text for sentiment.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from pipeline.commands.terminal import print_table
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import Paraphrase, Sentiment
from pipeline.errors import InputError
from pipeline.evaluation.ensemble import mixed
from pipeline.evaluation.predictions import ENSEMBLES, Floats
from pipeline.files import read_json
from pipeline.models.backbone import load_weights
from pipeline.models.classifier import GPT2Classifier
from pipeline.models.mtan import MtanClassifier
from pipeline.text.normalise import STYLES
from pipeline.text.prepared import Pair
from pipeline.text.prompts import encode_pairs, encode_texts, load_tokenizer, swap
from pipeline.training.fine_tune import Split, probabilities
from pipeline.training.pair_rows import new_classifier

MODELS = Path("models")
COLUMNS = {"paraphrase": ("sentence1", "sentence2"), "sentiment": ("text",)}
SHOWN = 60  # characters of a text in the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands paraphrase and sentiment."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    pairs = tasks.add_parser("paraphrase", help="do two questions ask the same?")
    reviews = tasks.add_parser("sentiment", help="how good is it, in the opinion of the text? 0 is the worst class")
    pair_rows, rows = "paraphrase.methods or paraphrase.ensembles", "sentiment.methods"
    for task, tables, texts in ((pairs, pair_rows, "two sentences"), (reviews, rows, "texts")):
        task.add_argument("--row", required=True, help=f"a row of {tables}")
        task.add_argument("texts", nargs="*", metavar="TEXT", help=f"{texts}; none: read --file or standard input")
        task.add_argument("--file", type=Path, help="CSV with a header, or JSON lines")
        task.add_argument("--json", action="store_true", help="JSON lines instead of a table")


def run(options: argparse.Namespace) -> None:
    """Print the class of every text or pair, and its probabilities: as a table, or as JSON lines."""
    records = given(options)
    normalise = STYLES[load_params().text.style]
    texts = [[normalise(text) for text in record] for record in records]
    columns = COLUMNS[options.task]
    for number, record in enumerate(texts, 1):
        if not all(record):
            raise InputError(f"row {number}: {columns[record.index('')]} is empty; expected some text")
    if options.task == "paraphrase":
        pairs = [Pair(str(number), first, second, None) for number, (first, second) in enumerate(texts)]
        found = pair_probabilities(options.row, pairs)
    else:
        found = sentiment_probabilities(options.row, [text for (text,) in texts])
    classes = found.argmax(1).tolist()
    if options.json:
        for record, label, row in zip(records, classes, found.round(6).tolist(), strict=True):
            result = {"probability": row[1]} if options.task == "paraphrase" else {"probabilities": row}
            # In ASCII: the texts arrive unchanged through whatever reads them.
            print(json.dumps(dict(zip(columns, record, strict=True)) | result | {"class": label}))
        return
    shown = [[text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..." for text in record] for record in texts]
    if options.task == "paraphrase":
        cells = [[f"{row[1]:.4f}", ("no", "yes")[label]] for label, row in zip(classes, found, strict=True)]
        header = ["P(yes)", "Same", "Sentence 1", "Sentence 2"]
    else:
        cells = [[str(label), *(f"{value:.4f}" for value in row)] for label, row in zip(classes, found, strict=True)]
        header = ["Class", *(f"P({label})" for label in range(found.shape[1])), "Text"]
    print_table(header, [row + text for row, text in zip(cells, shown, strict=True)])


def given(options: argparse.Namespace) -> list[list[str]]:
    """The texts of the command line, or else those of the file."""
    if options.texts and options.file:
        raise InputError("expected texts, or --file, or standard input; got texts and --file")
    if not options.texts:
        return read_records(options.file, COLUMNS[options.task])
    if options.task == "sentiment":
        return [[text] for text in options.texts]
    if len(options.texts) != 2:
        raise InputError(f"expected two sentences, or --file, or standard input; got {len(options.texts)} sentences")
    return [options.texts]


def read_records(path: Path | None, columns: Sequence[str]) -> list[list[str]]:
    """The texts of `columns`, row by row; None reads standard input. Other columns are ignored.

    JSON lines begin with a brace, anything else is CSV. Unlike in training data, a bad row is an InputError: nothing is
    left out of what the user asked for.
    """
    name = str(path or "standard input")
    wanted = f"expected CSV with the header {','.join(columns)}, or JSON lines with these texts"
    if path and not path.is_file():
        raise InputError(f"{path}: no such file; {wanted}")
    if path is None and sys.stdin.isatty():
        raise InputError("nothing to predict; give texts, --file FILE, or a file on standard input")
    data = path.read_bytes() if path else sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8; save it as UTF-8 text") from None
    records = []
    for line, row in (json_lines if text.lstrip().startswith("{") else csv_rows)(name, text):
        if missing := [column for column in columns if not isinstance(row.get(column), str)]:
            raise InputError(f"{name}:{line}: {', '.join(missing)} is missing; {wanted}")
        records.append([row[column] for column in columns])
    if not records:
        raise InputError(f"{name}: no rows; {wanted}")
    return records


def json_lines(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, dict(json.loads(line))
            except (ValueError, TypeError):
                raise InputError(f"{name}:{number}: not a JSON object") from None


def csv_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        for row in filter(None, reader):  # without blank lines
            if len(row) != len(header):
                where = f"{name}:{reader.line_num}"
                raise InputError(f"{where}: {len(row)} fields, expected {len(header)}; quote texts that have commas")
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: not valid CSV: {error}") from None


def pair_probabilities(row: str, pairs: Sequence[Pair]) -> Floats:
    """(pairs, 2) probabilities of no and yes by a row of paraphrase.methods or paraphrase.ensembles.

    Those of an ensemble are the mean over its members, with the weights that its stage has written.
    """
    paraphrase = load_params().paraphrase
    if row in paraphrase.ensembles:
        members, path = paraphrase.ensembles[row].members, ENSEMBLES / row / "weights.json"
        found = np.stack([pair_probabilities(member, pairs) for member in members])
        weights = read_json(path)
        if set(weights) != set(members):
            raise InputError(f"{path}: its members are not those of params.yaml; run `dvc repro ensemble@{row}`")
        return mixed(np.array([weights[member] for member in members]), found)
    if row not in paraphrase.methods:
        known = ", ".join([*paraphrase.methods, *paraphrase.ensembles])
        raise InputError(f"params.yaml: paraphrase has no row {row!r}; it has {known}")
    settings = paraphrase.methods[row]
    model, tokenizer = load_classifier(MODELS / "paraphrase" / row, settings)
    orders = (pairs, swap(pairs)) if settings.orders == "both" else (pairs,)
    return predicted(model, *(encode_pairs(tokenizer, order, settings.max_length) for order in orders))


def sentiment_probabilities(row: str, texts: Sequence[str]) -> Floats:
    """(texts, classes) probabilities by a row of sentiment.methods; class 0 is the worst."""
    settings = entry(load_params().sentiment.methods, row, "sentiment.methods")
    model, tokenizer = load_classifier(MODELS / "sentiment" / row, settings)
    return predicted(model, encode_texts(tokenizer, texts, settings.max_length))


def load_classifier(folder: Path, settings: Sentiment | Paraphrase) -> tuple[PreTrainedModel, Tokenizer]:
    """The trained row in `folder` with its tokenizer; an adapter goes on the backbone that the row started from."""
    adapted = isinstance(settings, Paraphrase) and settings.adapter is not None
    names = ("adapter_config.json", "adapter_model.safetensors") if adapted else ("config.json", "model.safetensors")
    again = f"run `dvc repro train_{folder.parent.name}@{folder.name}`"
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise InputError(f"{folder}: no {', '.join(missing)}; {again}")
    make_deterministic(load_params().seed, load_params().compute)  # as the training stage computes
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else a warning that the backbone under an adapter has no head
    try:
        tokenizer = load_tokenizer(folder)
        if isinstance(settings, Paraphrase) and adapted:
            model = cast(PreTrainedModel, new_classifier(MODELS / settings.start, tokenizer, settings))
            load_weights(model, folder)
            return model, tokenizer
        kind = MtanClassifier if isinstance(settings, Paraphrase) and settings.tasks else GPT2Classifier
        dtype = torch.get_default_dtype()
        model, report = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
        if report["missing_keys"]:  # transformers would go on with random weights
            raise ValueError(f"no weights for {min(report['missing_keys'])}")
        return model, tokenizer
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{folder}: cannot be loaded ({reason}); {again}") from None


def predicted(model: PreTrainedModel, prompts: list[list[int]], swapped: list[list[int]] | None = None) -> Floats:
    """(rows, classes) probabilities, computed as in training stages; the mean over both orders if there are two."""
    model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    split = Split([""] * len(prompts), prompts, [None] * len(prompts), swapped)
    return probabilities(model, split, load_params().compute.precision, swapped is not None)[0]
