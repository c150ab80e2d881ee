"""Pairs from a table: what the Quora and the AP_H reader share."""

from pathlib import Path

from pipeline.text.cells import Ids, check_usable, read_label
from pipeline.text.normalise import Normalise
from pipeline.text.prepared import Pair
from pipeline.text.table import Counts, read_table


def read_pair_table(path: Path, label: str | None, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The pairs of `sentence1` and `sentence2`; `label` names the label column, None for an unlabelled file."""
    columns = ["sentence1", "sentence2"] + ([label] if label else [])
    table, counts = read_table(path, columns, numeric=label)
    ids, pairs = Ids(counts), []
    for line, row in table:
        sentence1, sentence2 = normalise(row["sentence1"]), normalise(row["sentence2"])
        value = read_label(row[label], 2) if label else None
        if not sentence1 or not sentence2:
            counts["dropped_empty_text"] += 1
        elif label and value is None:
            counts["dropped_label"] += 1
        else:
            pairs.append(Pair(ids.unique(row.get("id"), line), sentence1, sentence2, value))
    expected = f"two sentences and {label} 0 or 1" if label else "two sentences"
    check_usable(path, pairs, counts, f"{expected} in a row")
    return pairs, counts
