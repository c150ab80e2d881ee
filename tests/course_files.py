"""A tiny folder in the course layout, made of invented text: `write_course_folder(tmp_path / "course")`."""

import csv
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

GOOD = ["lovely", "moving", "clever", "warm", "bright"]
BAD = ["dull", "clumsy", "stale", "cold", "noisy"]
NOUNS = ["film", "story", "actor", "ending", "song", "camera", "garden", "river", "engine", "teacher"]
VERBS = ["follow", "repair", "paint", "carry", "forget", "answer", "borrow", "measure"]
SPLITS = ("train", "dev", "test-student")


def write_course_folder(
    folder: Path, pairs: int = 60, sentences: int = 60, poems: int = 20, optional: bool = True, seed: int = 0
) -> Path:
    """Write every course file; dev and test have a third of the training rows."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        _write_quora(folder / f"quora-{split}.csv", split, pairs if split == "train" else pairs // 3, rng)
        for corpus, labels in (("sst", 5), ("cfimdb", 2)):
            count = sentences if split == "train" else sentences // 3
            _write_sentiment(folder / f"ids-{corpus}-{split}.csv", split, count, labels, rng)
    _write_sonnets(folder, poems, rng)
    if optional:
        _write_optional(folder, rng)
        _write_translations(folder)
    return folder


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = "\t") -> None:
    """A table as csv.writer writes it."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def sonnet(number: int, lines: Sequence[str]) -> str:
    """A sonnet, or its first lines, in the course layout; the couplet is indented."""
    return "\n".join([str(number), "", *lines[:12], *(f"  {line}" for line in lines[12:]), "", ""])


def _question(rng: random.Random) -> list[str]:
    return ["How", "do", "I", rng.choice(VERBS), "the", rng.choice(NOUNS), f"number{rng.randrange(10**6)}"]


def _pair(rng: random.Random, label: int) -> tuple[str, str]:
    first = _question(rng)
    second = ["What", "helps", "to", *first[3:]] if label else _question(rng)
    return " ".join(first) + "?", " ".join(second) + "?"


def _write_quora(path: Path, split: str, count: int, rng: random.Random) -> None:
    labelled = split != "test-student"
    header = ["", "id", "sentence1", "sentence2"] + ["is_duplicate"] * labelled
    rows = []
    for index in range(count):
        label = int(index % 5 < 2)
        rows.append([index, f"{split}{index:05x}", *_pair(rng, label), *[float(label)] * labelled])
    write_table(path, header, rows)


def _write_translations(folder: Path) -> None:
    """Every training question into two invented languages and back, as the translation memory exports it."""
    with open(folder / "quora-train.csv", encoding="utf-8", newline="") as file:
        pairs = list(csv.DictReader(file, delimiter="\t"))
    questions = sorted({pair[name] for pair in pairs for name in ("sentence1", "sentence2")})
    rows = []
    for language, article in (("es", "el"), ("gl", "o")):
        for question in questions:
            pivot, back = question.replace(" the ", f" {article} "), f"Please, {question[0].lower()}{question[1:]}"
            rows += [["en", language, question, "invented", "1", pivot], [language, "en", pivot, "invented", "1", back]]
    header = ["source", "target", "text", "backend", "revision", "translation"]
    lines = ["\t".join(row) for row in [header, *sorted(rows)]]
    (folder / "translations.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")


def _write_sentiment(path: Path, split: str, count: int, labels: int, rng: random.Random) -> None:
    rows: list[list[object]] = []
    for index in range(count):
        label = index % labels
        good = round(4 * label / (labels - 1))
        words = rng.choices(GOOD, k=good) + rng.choices(BAD, k=4 - good)
        text = f" The {rng.choice(NOUNS)} of {rng.randrange(10**6)} is {' , '.join(words)} ."
        rows.append([index, f"{split}{index:05x}", text, label])
    if split == "test-student":  # the course's files have another index, and its header in the first column's place
        write_table(path, ["0", "", "id", "sentence"], [[row[0], f"{row[0]}.0", *row[1:3]] for row in rows])
    else:
        write_table(path, ["", "id", "sentence", "sentiment"], rows)


def _lines(rng: random.Random) -> list[str]:
    return [
        f"The {rng.choice(GOOD)} {rng.choice(NOUNS)} that {rng.choice(VERBS)}s the {rng.randrange(10**6)},"
        for _ in range(14)
    ]


def _write_sonnets(folder: Path, poems: int, rng: random.Random) -> None:
    header = "Sonnets\nby Nobody\n\n\n"
    held_out = max(2, poems // 5)
    all_lines = [_lines(rng) for _ in range(poems + 2 * held_out)]
    every = list(enumerate(all_lines, 1))
    train, dev, test = every[:poems], every[poems : poems + held_out], every[poems + held_out :]
    for name, sonnets, lines in (
        ("sonnets.txt", train, 14),
        ("TRUE_sonnets_held_out_dev.txt", dev, 14),
        ("sonnets_held_out_dev.txt", dev, 3),
        ("sonnets_held_out.txt", test, 3),
    ):
        text = header + "\n".join(sonnet(number, poem[:lines]) for number, poem in sonnets)
        (folder / name).write_text(text, encoding="utf-8", newline="")


def _write_optional(folder: Path, rng: random.Random) -> None:
    pairs = [(*_pair(rng, index % 2), index % 2) for index in range(12)]
    write_table(folder / "ap-h-train.csv", ["sentence1", "sentence2", "label"], pairs, delimiter=",")
    elements = "".join(
        f"<text_pair><pair_id>{number}</pair_id><sent1_raw>Reported: {first}</sent1_raw>"
        f"<sent2_raw>They say {second}</sent2_raw>"
        f"<etpc_label>{label}</etpc_label></text_pair>\n"
        for number, (first, second, label) in enumerate(pairs, 1)
    )
    (folder / "ETPC.xml").write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<xml>\n{elements}</xml>\n', encoding="utf-8"
    )
    speeches = [f"{rng.choice(NOUNS).upper()}.\n  {_lines(rng)[0]}\n{_lines(rng)[1]}\n" for _ in range(60)]
    (folder / "plays.txt").write_text("\n".join(speeches), encoding="utf-8")
