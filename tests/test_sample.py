"""The embedded sample: same bytes, right labels, learnable but not by shortcuts. Run `pytest tests/test_sample.py`."""

from __future__ import annotations

import csv
import random
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from data.generator.__main__ import QUESTION_SEED, QUESTIONS, write_sample
from data.generator.banks import load_intents, load_sonnets
from data.generator.questions import NEGATIVE_KINDS, Drawer, Pair, make_pairs
from data.generator.reviews import contrast

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
Rows = list[dict[str, str]]


def read(name: str, delimiter: str = "\t") -> Rows:
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9,']+", text.lower()))


def overlap(row: dict[str, str]) -> float:
    first, second = words(row["sentence1"]), words(row["sentence2"])
    return len(first & second) / len(first | second)


def labels(rows: Rows, column: str = "is_duplicate") -> list[int]:
    return [int(float(row[column])) for row in rows]


def majority(found: list[int]) -> float:
    return max(Counter(found).values()) / len(found)


def dev_accuracy(
    model: LogisticRegression | MultinomialNB,
    features: Callable[[dict[str, str]], dict[str, float]],
    files: str,
    column: str,
) -> float:
    """Dev accuracy of a model on dictionaries of features, fitted on the training file."""
    train, dev = read(f"{files}-train.csv"), read(f"{files}-dev.csv")
    table = DictVectorizer()
    model.fit(table.fit_transform([features(row) for row in train]), labels(train, column))
    return float(model.score(table.transform([features(row) for row in dev]), labels(dev, column)))


def bag(column: str) -> Callable[[dict[str, str]], dict[str, float]]:
    return lambda row: dict(Counter(row[column].lower().split()))


def compared(row: dict[str, str]) -> dict[str, float]:
    """Which words the two questions share, which only one of them has, and how large the overlap is."""
    first, second = words(row["sentence1"]), words(row["sentence2"])
    found: dict[str, float] = {f"both {word}": 1 for word in first & second}
    found |= {f"one {word}": 1 for word in first ^ second}
    return found | {"overlap": 3 * overlap(row), "apart": len(first ^ second) / 5}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Pair]]:
    return make_pairs(QUESTIONS, QUESTION_SEED)


def test_committed_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    write_sample(tmp_path)
    recorded = "translations.tsv"  # an export of the translation memory
    assert sorted([recorded, *(p.name for p in tmp_path.iterdir())]) == sorted(p.name for p in SAMPLE.iterdir())
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (SAMPLE / path.name).read_bytes(), path.name


def test_sample_is_small_and_has_unix_line_ends() -> None:
    contents = [path.read_bytes() for path in SAMPLE.iterdir()]
    assert sum(map(len, contents)) < 1_400_000
    assert not any(b"\r" in content for content in contents)


@pytest.mark.parametrize("files", ["quora", "ids-sst", "ids-cfimdb"])
def test_ids_are_unique_and_test_files_have_no_label(files: str) -> None:
    rows = [row for split in ("train", "dev", "test-student") for row in read(f"{files}-{split}.csv")]
    assert len({row["id"] for row in rows}) == len(rows)
    assert not {"is_duplicate", "sentiment"} & set(read(f"{files}-test-student.csv")[0])


def test_no_question_pair_is_in_two_splits() -> None:
    rows = [row for split in QUESTIONS for row in read(f"quora-{split}.csv")]
    pairs = [frozenset((row["sentence1"], row["sentence2"])) for row in rows]
    assert len(set(pairs)) == len(pairs)
    assert all(len(pair) == 2 for pair in pairs)


def test_word_overlap_alone_hardly_beats_the_majority() -> None:
    dev = read("quora-dev.csv")
    truth, scores = labels(dev), [overlap(row) for row in dev]
    best = max(
        sum((score >= cut) == bool(label) for score, label in zip(scores, truth, strict=True)) / len(dev)
        for cut in sorted({*scores, 2.0})
    )
    reverse = max(
        sum((score < cut) == bool(label) for score, label in zip(scores, truth, strict=True)) / len(dev)
        for cut in sorted({*scores, 0.0})
    )
    assert 0.58 <= majority(truth) <= 0.62
    assert max(best, reverse) <= 0.66


@pytest.mark.parametrize("column", ["sentence1", "sentence2"])
@pytest.mark.parametrize("model", [MultinomialNB(), LogisticRegression(max_iter=500)])
def test_one_question_alone_does_not_give_the_label_away(
    column: str, model: LogisticRegression | MultinomialNB
) -> None:
    accuracy = dev_accuracy(model, bag(column), "quora", "is_duplicate")
    assert accuracy <= majority(labels(read("quora-dev.csv"))) + 0.06


def test_pairs_can_be_learned_by_comparing_their_words() -> None:
    accuracy = dev_accuracy(LogisticRegression(C=1.0, max_iter=2000), compared, "quora", "is_duplicate")
    assert accuracy > 0.70


def test_every_kind_of_hard_negative_is_there(splits: dict[str, list[Pair]]) -> None:
    train = Counter(pair.kind for pair in splits["train"] if not pair.label)
    assert all(train[kind] >= 5 for kind in NEGATIVE_KINDS), train
    dev = Counter(pair.kind.removesuffix("_para") for pair in splits["dev"] if not pair.label)
    assert all(dev[kind] >= 5 for kind in ("swap", "number", "opposite")), dev
    high = [row for row in read("quora-dev.csv") if row["is_duplicate"] == "0.0" and overlap(row) >= 0.6]
    low = [row for row in read("quora-dev.csv") if row["is_duplicate"] == "1.0" and overlap(row) <= 0.25]
    assert len(high) >= 10
    assert len(low) >= 40


@pytest.mark.parametrize("mark", [r"\b(not|cannot|\w+n't)\b", r"\d"])
def test_negations_and_numbers_are_in_both_questions_of_duplicates_too(mark: str) -> None:
    rows = read("quora-train.csv")
    both = Counter(row["is_duplicate"] for row in rows if all(re.search(mark, row[f"sentence{i}"]) for i in (1, 2)))
    assert min(both["1.0"], both["0.0"]) >= 10


def shape(text: str) -> list[str]:
    return sorted(re.findall(r"[a-z0-9,']+", text.lower()))


def test_swapped_and_changed_numbers_are_no_duplicates(splits: dict[str, list[Pair]]) -> None:
    pairs = [pair for split in splits.values() for pair in split]
    directed = [pair for pair in pairs if pair.kind == "swap"]
    numbers = [pair for pair in pairs if pair.kind == "number"]
    assert directed and numbers
    assert not any(pair.label for pair in directed + numbers)
    ends = [re.search(r"from ([A-Z]\w+) to ([A-Z]\w+)", pair.first) for pair in directed]
    assert any(
        match and f"from {match[2]} to {match[1]}" in pair.second for match, pair in zip(ends, directed, strict=True)
    )
    assert any(shape(pair.first) == shape(pair.second) and pair.first != pair.second for pair in directed)


def test_order_matters_only_where_it_should(splits: dict[str, list[Pair]]) -> None:
    drawer = Drawer(random.Random(1))
    for intent in load_intents().values():
        if intent.kind == "plain":
            continue
        question = drawer.question(intent)
        swapped = replace(question, topics=question.topics[::-1])
        assert (question.meaning() == swapped.meaning()) == (intent.kind == "symmetric")


def test_sentiment_classes_are_mixed_like_real_ones_and_learnable() -> None:
    found = labels(read("ids-sst-train.csv"), "sentiment")
    assert set(found) == set(range(5))
    assert 0.24 <= majority(found) <= 0.30
    model = LogisticRegression(max_iter=1000)
    assert 0.45 <= dev_accuracy(model, bag("sentence"), "ids-sst", "sentiment") <= 0.65


def test_long_reviews_are_balanced_and_learnable() -> None:
    rows = read("ids-cfimdb-train.csv")
    assert abs(majority(labels(rows, "sentiment")) - 0.5) < 0.05
    assert all(60 <= len(row["sentence"].split()) <= 150 for row in rows)
    model = LogisticRegression(max_iter=1000)
    assert dev_accuracy(model, bag("sentence"), "ids-cfimdb", "sentiment") >= 0.85


@pytest.mark.parametrize(("first", "second", "total"), [(2, -1, 0), (1, -1, -1), (1, -2, -2), (-2, 2, 1), (-1, 1, 1)])
def test_a_contrast_leans_to_its_second_half(first: int, second: int, total: int) -> None:
    assert contrast(first, second) == total


def poems(name: str) -> dict[int, list[str]]:
    parts = re.split(r"^(\d+)$", (SAMPLE / name).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {int(n): body.strip("\n").splitlines() for n, body in zip(parts[::2], parts[1::2], strict=True)}


def test_sonnets_are_numbered_whole_and_never_repeat_a_line() -> None:
    train, dev = poems("sonnets.txt"), poems("TRUE_sonnets_held_out_dev.txt")
    assert list(train) == list(range(1, 37))
    assert list(dev) == list(range(37, 43))
    assert all(len(poem) == 14 for poem in [*train.values(), *dev.values(), *load_sonnets()])
    lines = [line.strip().lower() for poem in load_sonnets() for line in poem]
    assert len(set(lines)) == len(lines)


def test_held_out_sonnets_show_three_lines_only() -> None:
    dev, whole = poems("sonnets_held_out_dev.txt"), poems("TRUE_sonnets_held_out_dev.txt")
    assert dev == {number: poem[:3] for number, poem in whole.items()}
    test = poems("sonnets_held_out.txt")
    assert list(test) == list(range(43, 49))
    assert all(len(poem) == 3 for poem in test.values())


def test_news_pairs_have_both_labels_and_a_stricter_one() -> None:
    pairs = ET.parse(SAMPLE / "ETPC.xml").getroot().findall("text_pair")
    found = Counter((pair.findtext("etpc_label"), pair.findtext("mrpc_label")) for pair in pairs)
    assert len(pairs) == 300
    assert set(found) == {("1", "1"), ("0", "1"), ("0", "0")}


def test_adversarial_rows_have_both_labels_and_some_empty_sentences() -> None:
    rows = read("ap-h-train.csv", delimiter=",")
    empty = [row for row in rows if not row["sentence2"]]
    assert 2 <= len(empty) <= 10
    assert {row["label"] for row in empty} == {"0"}
    assert 0.5 <= sum(row["label"] == "1" for row in rows) / len(rows) <= 0.7
