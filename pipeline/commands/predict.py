"""Classes of the user's own texts, from the command line, a file or standard input.

    python -m pipeline predict paraphrase --row symmetric "How old is it?" "What is its age?"
    python -m pipeline predict paraphrase --row ensemble --file pairs.csv --json
    python -m pipeline predict sentiment --row sst_full < texts.jsonl

Texts are normalised as `prepare` does, so a dev pair gets the probabilities in predictions/. Files are CSV with a
header, or JSON lines: sentence1 and sentence2 for pairs, text for sentiment.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.records import read_records
from pipeline.commands.table import print_table
from pipeline.errors import InputError
from pipeline.text.prepared import Pair

if TYPE_CHECKING:
    from pipeline.evaluation.predictions import Floats

PAIR, SENTENCE = ("sentence1", "sentence2"), ("text",)
SHOWN = 60  # characters of a text in the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands paraphrase and sentiment."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    pairs = tasks.add_parser("paraphrase", help="do two questions ask the same?")
    pairs.add_argument(
        "texts", nargs="*", metavar="SENTENCE", help="two sentences; none: read --file or standard input"
    )
    pairs.set_defaults(run=run_paraphrase)
    sentiment = tasks.add_parser("sentiment", help="how good is it, in the opinion of the text? 0 is the worst class")
    sentiment.add_argument("texts", nargs="*", metavar="TEXT", help="texts; none: read --file or standard input")
    sentiment.set_defaults(run=run_sentiment)
    for task, table in ((pairs, "paraphrase.methods or paraphrase.ensembles"), (sentiment, "sentiment.methods")):
        task.add_argument("--row", required=True, help=f"a row of {table} in params.yaml")
        task.add_argument("--file", type=Path, help="CSV with a header, or JSON lines")
        task.add_argument("--json", action="store_true", help="JSON lines instead of a table")


def run_paraphrase(options: argparse.Namespace) -> None:
    """Print P(yes) and the answer for every pair."""
    if options.texts and (len(options.texts) != 2 or options.file):
        raise InputError(f"expected two sentences, or --file, or standard input; got {len(options.texts)} sentences")
    records = [options.texts] if options.texts else read_records(options.file, PAIR)
    texts = normalised(records, PAIR)
    from pipeline.commands.classifiers import pair_probabilities

    pairs = [Pair(str(number), first, second, None) for number, (first, second) in enumerate(texts)]
    probabilities = pair_probabilities(options.row, pairs)
    if options.json:
        print_json(PAIR, records, probabilities, positive=True)
        return
    rows = [
        [f"{found[1]:.4f}", "yes" if found[1] > found[0] else "no", *map(shortened, record)]
        for record, found in zip(texts, probabilities, strict=True)
    ]
    print_table(["P(yes)", "Same", "Sentence 1", "Sentence 2"], rows)


def run_sentiment(options: argparse.Namespace) -> None:
    """Print the class of every text, 0 is the worst, and the probability of every class."""
    if options.texts and options.file:
        raise InputError("expected texts, or --file, or standard input; got texts and --file")
    records = [[text] for text in options.texts] if options.texts else read_records(options.file, SENTENCE)
    texts = [text for (text,) in normalised(records, SENTENCE)]
    from pipeline.commands.classifiers import sentiment_probabilities

    probabilities = sentiment_probabilities(options.row, texts)
    if options.json:
        print_json(SENTENCE, records, probabilities)
        return
    rows = [
        [str(found.argmax()), *(f"{value:.4f}" for value in found), shortened(text)]
        for text, found in zip(texts, probabilities, strict=True)
    ]
    classes = [f"P({index})" for index in range(probabilities.shape[1])]
    print_table(["Class", *classes, "Text"], rows)


def normalised(records: Sequence[Sequence[str]], columns: Sequence[str]) -> list[list[str]]:
    """The texts as models saw texts in training; one without a single character is an InputError."""
    from pipeline.config.base import load_block
    from pipeline.config.data import Text
    from pipeline.text.normalise import style

    normalise = style(load_block("text", Text).style)
    texts = [[normalise(text) for text in record] for record in records]
    for number, record in enumerate(texts, 1):
        if not all(record):
            raise InputError(f"row {number}: {columns[record.index('')]} is empty; expected some text")
    return texts


def print_json(
    columns: Sequence[str], records: Sequence[Sequence[str]], probabilities: "Floats", positive: bool = False
) -> None:
    """One object a line: the texts as given, the class, and its probabilities or that of class 1 alone."""
    for record, found in zip(records, probabilities, strict=True):
        rounded = [round(float(value), 6) for value in found]
        result = {"probability": rounded[1]} if positive else {"probabilities": rounded}
        values = dict(zip(columns, record, strict=True)) | result | {"class": int(found.argmax())}
        print(json.dumps(values))  # in ASCII: the texts arrive unchanged through whatever reads them


def shortened(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
