"""SST (5 classes) and CFIMDB (2): index, id, sentence, sentiment; the test files have a second index and no labels."""

from pathlib import Path

from pipeline.text.cells import Ids, check_usable, read_label
from pipeline.text.normalise import Normalise
from pipeline.text.prepared import Sentence
from pipeline.text.table import Counts, read_table

CLASSES = {"sst": 5, "cfimdb": 2}


def read_sentiment(path: Path, classes: int, labelled: bool, normalise: Normalise) -> tuple[list[Sentence], Counts]:
    """The sentences of one file."""
    label = "sentiment" if labelled else None
    table, counts = read_table(path, ["sentence"] + ([label] if label else []), numeric=label)
    ids, sentences = Ids(counts), []
    for line, row in table:
        text = normalise(row["sentence"])
        value = read_label(row[label], classes) if label else None
        if not text:
            counts["dropped_empty_text"] += 1
        elif label and value is None:
            counts["dropped_label"] += 1
        else:
            sentences.append(Sentence(ids.unique(row.get("id"), line), text, value))
    expected = f"a sentence and a sentiment 0 to {classes - 1}" if label else "a sentence"
    check_usable(path, sentences, counts, f"{expected} in a row")
    return sentences, counts
