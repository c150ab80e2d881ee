"""Classes of the user's own texts, from the command line, a file or standard input.

    python -m pipeline predict paraphrase --row symmetric "How old is it?" "What is its age?"
    python -m pipeline predict paraphrase --row ensemble --file pairs.csv --json
    python -m pipeline predict sentiment --row sst_full < texts.jsonl
    python -m pipeline predict paraphrase --row symmetric --file quora-test-student.csv --course > submission.csv

Texts are normalised as in `prepare`, so a pair of dev gets the probabilities that predictions/ holds. Files are CSV
with a header (separated by commas or, as the course's, by tabs), or JSON lines: sentence1 and sentence2 for pairs, text
or sentence for sentiment.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from pipeline.commands.terminal import print_table
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import Ensemble, Paraphrase, Sentiment
from pipeline.errors import InputError, listed
from pipeline.evaluation.ensemble import mixed
from pipeline.evaluation.predictions import HEADERS, Floats, folder_of, submission
from pipeline.files import read_json
from pipeline.text.normalise import STYLES
from pipeline.text.prepared import Pair
from pipeline.text.prompts import context_of, encode_pairs, encode_texts, load_tokenizer, swap

if TYPE_CHECKING:  # with torch, which takes seconds to import
    from tokenizers import Tokenizer
    from transformers.modeling_utils import PreTrainedModel

COLUMNS = {"paraphrase": ("sentence1", "sentence2"), "sentiment": ("text",)}
SHOWN = 60  # characters of a text in the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    pairs = tasks.add_parser("paraphrase", help="do two questions ask the same?")
    reviews = tasks.add_parser("sentiment", help="how good is it, in the opinion of the text? 0 is the worst class")
    for task, name, texts in ((pairs, "paraphrase", "two sentences"), (reviews, "sentiment", "texts")):
        task.add_argument("--row", required=True, help=f"a row of {name}.methods or {name}.ensembles")
        task.add_argument("texts", nargs="*", metavar="TEXT", help=f"{texts}; none: read --file or standard input")
        task.add_argument("--file", type=Path, help="CSV with a header, or JSON lines")
        task.add_argument("--json", action="store_true", help="JSON lines instead of a table")
        task.add_argument("--course", action="store_true", help="the course's submission format, by the column id")


def run(options: argparse.Namespace) -> None:
    """Print the class of every text or pair, and its probabilities: as a table, or as JSON lines."""
    pairs, columns, records = options.task == "paraphrase", COLUMNS[options.task], given(options)
    ids = [record.pop() for record in records] if options.course else []
    normalise = STYLES[load_params().text.style]
    texts = [[normalise(text) for text in record] for record in records]
    for number, record in enumerate(texts, 1):
        if not all(record):
            raise InputError(f"row {number}: {columns[record.index('')]} is empty; expected some text")
    found = probabilities(options.task, options.row, texts)
    if options.course:
        print(submission(ids, found.argmax(1).tolist(), HEADERS[options.task]), end="")
        return
    if options.json:
        for record, row in zip(records, found, strict=True):
            result = {"probability": round(row[1], 6)} if pairs else {"probabilities": row.round(6).tolist()}
            result |= {"class": int(row.argmax())}
            print(json.dumps(dict(zip(columns, record, strict=True)) | result))  # ASCII: nothing changes the texts
        return
    rows, header = [], ["Class", *(f"P({label})" for label in range(found.shape[1])), "Text"]
    for record, row in zip(texts, found, strict=True):
        figures = [f"{value:.4f}" for value in row]
        cells = [figures[1], ("no", "yes")[row.argmax()]] if pairs else [str(row.argmax()), *figures]
        rows.append(cells + [text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..." for text in record])
    print_table(["P(yes)", "Same", "Sentence 1", "Sentence 2"] if pairs else header, rows)


def given(options: argparse.Namespace) -> list[list[str]]:
    """The texts of the command line, or else those of the file."""
    texts, pairs = options.texts, options.task == "paraphrase"
    if options.course and (texts or options.json):
        raise InputError("--course wants ids, and is a format of its own: give a file, and neither texts nor --json")
    if texts and (options.file or (pairs and len(texts) != 2)):
        got = "texts and --file" if options.file else f"{len(texts)} sentences"
        raise InputError(f"expected {'two sentences' if pairs else 'texts'}, or --file, or standard input; got {got}")
    if not texts:
        return read_records(options.file, [*COLUMNS[options.task], *(["id"] if options.course else [])])
    return [texts] if pairs else [[text] for text in texts]


def read_records(path: Path | None, columns: Sequence[str]) -> list[list[str]]:
    """The texts of `columns`, row by row; None reads standard input. Other columns are ignored.

    JSON lines begin with a brace, anything else is CSV. Unlike in training data, a bad row is an InputError: nothing is
    left out of what the user asked for.
    """
    name, wanted = path or "standard input", f"expected CSV with the header {','.join(columns)}, or JSON lines of these"
    if path and not path.is_file():
        raise InputError(f"{path}: no such file; {wanted}")
    if path is None and sys.stdin.isatty():
        raise InputError("nothing to predict; give texts, --file FILE, or a file on standard input")
    data = path.read_bytes() if path else sys.stdin.buffer.read()
    records, line = [], 0
    try:
        text = data.decode("utf-8-sig")
        rows = ((number, dict(json.loads(each))) for number, each in enumerate(text.split("\n"), 1) if each.strip())
        if not text.lstrip().startswith("{"):
            separator = "\t" if "\t" in text.lstrip("\r\n").partition("\n")[0] else ","
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
            reader.fieldnames = [column.strip() for column in reader.fieldnames or []]
            if "text" not in reader.fieldnames:
                reader.fieldnames = ["text" if column == "sentence" else column for column in reader.fieldnames]
            rows = ((reader.line_num, row) for row in reader)
        for line, row in rows:
            if None in row:
                raise InputError(f"{name}:{line}: more fields than the header has; quote texts that have commas")
            if missing := [column for column in columns if not isinstance(row.get(column), str)]:
                raise InputError(f"{name}:{line}: {', '.join(missing)} is missing; {wanted}")
            records.append([row[column] for column in columns])
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8; save it as UTF-8 text") from None
    except (csv.Error, ValueError, TypeError) as error:
        raise InputError(f"{name}: not valid after line {line} ({error}); {wanted}") from None
    if not records:
        raise InputError(f"{name}: no rows; {wanted}")
    return records


def probabilities(task: str, row: str, texts: Sequence[Sequence[str]]) -> Floats:
    """(texts, classes) float64 by a row of a task, computed as in training stages.

    Those of an ensemble are the mean over its members, with the weights that its stage has written.
    """
    import torch

    from pipeline.training.predict import predict

    params = load_params()
    tables = params.sentiment if task == "sentiment" else params.paraphrase
    rows: dict[str, Sentiment | Paraphrase | Ensemble] = {**tables.methods, **tables.ensembles}
    settings = entry(rows, row, task)
    if isinstance(settings, Ensemble):
        if seeds := [member for member in settings.members if "@" in member]:
            raise InputError(f"{task}.ensembles.{row}: no model of {listed(seeds)} is kept; name an ensemble of rows")
        path = folder_of(task, row, tables.ensembles) / "weights.json"
        found = np.stack([probabilities(task, member, texts) for member in settings.members])
        weights = read_json(path)
        if set(weights) != set(settings.members):
            raise InputError(f"{path}: its members are not those of params.yaml; run `dvc repro ensemble_{task}@{row}`")
        return mixed(np.array([weights[member] for member in settings.members]), found)
    model, tokenizer = load_row(task, row, settings)
    if settings.max_length > (tokens := context_of(model.config.to_dict())):
        raise InputError(
            f"params.yaml: max_length {settings.max_length} of {row}: the trained model takes {tokens} tokens"
        )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    if isinstance(settings, Sentiment):
        prompts = [encode_texts(tokenizer, [text for (text,) in texts], settings.max_length)]
    else:
        pairs = [Pair("", first, second, None) for first, second in texts]
        orders = [pairs, swap(pairs)] if settings.orders == "both" else [pairs]
        prompts = [encode_pairs(tokenizer, order, settings.max_length, settings.prompt) for order in orders]
    return np.mean([predict(model, order, params.compute.precision) for order in prompts], axis=0)


def load_row(task: str, row: str, settings: "Sentiment | Paraphrase") -> "tuple[PreTrainedModel, Tokenizer]":
    """A trained row with its tokenizer; an adapter goes on the backbone that the row started from."""
    from transformers.utils import logging

    from pipeline.compute.reproducible import make_deterministic
    from pipeline.models.backbone import load_weights
    from pipeline.models.checkpoint import GET_IT_AGAIN, told
    from pipeline.models.classifier import load_classifier
    from pipeline.models.mtan import load_mtan
    from pipeline.stages.train_sentiment import new_model
    from pipeline.training.pair_rows import new_classifier

    params, folder = load_params(), Path("models", task, row)
    again = f"run `dvc repro train_{task}@{row}`"
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder}: no model; {again}")
    make_deterministic(params.seed, params.compute)  # as the training stage computes
    logging.disable_progress_bar()
    try:
        tokenizer = load_tokenizer(folder)
        if not (folder / "adapter_config.json").exists():
            mtan = isinstance(settings, Paraphrase) and settings.tasks
            return (load_mtan(folder) if mtan else load_classifier(folder)), tokenizer
        if isinstance(settings, Sentiment):
            model = new_model(tokenizer, settings)
        else:
            model = cast("PreTrainedModel", new_classifier(Path("models", settings.start), tokenizer, settings))
        with told(str(folder)):
            load_weights(model, folder)
        return model, tokenizer
    except InputError as error:
        raise InputError(f"{str(error).removesuffix(f'; {GET_IT_AGAIN}')}; {again}") from None
