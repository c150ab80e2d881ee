"""The price of what is done with texts rather than tensors: encoding, bans, chrF, MBR, embeddings, scores."""

import random
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Tokenizer

from pipeline.estimate.classifiers import Project
from pipeline.estimate.runs import Bench

if TYPE_CHECKING:
    from pipeline.estimate.calibration import Line

WORDS = (
    "shall the warm summer river carry me away and paint cold grey morning into gold I would forget to answer what "
    "thou hast given when time in his bending sickle's compass come who will believe my verse"
).split()
POOL = (12, 48)  # candidates
ENCODED = 12.2  # tokens of a question made of these words, for the encoder


def line_of_words(rng: random.Random, words: int = 8) -> str:
    """A line of verse, or a question."""
    return " ".join(rng.choices(WORDS, k=words))


def poem(rng: random.Random, given: str = "") -> str:
    """14 lines, the first three of them given."""
    lines = [line_of_words(rng) for _ in range(14)]
    return "\n".join([*(given.split("\n") if given else lines[:3]), *lines[3:]])


def text_operations(project: Project, bench: Bench, operations: Collection[str]) -> "dict[str, Line]":
    """The lines of those that are asked for."""
    from pipeline.estimate.calibration import Line, fit

    rng, found = random.Random(0), dict[str, Line]()
    questions = [line_of_words(rng) + "?" for _ in range(64)]
    given = "\n".join(line_of_words(rng) for _ in range(3))
    pools = {size: [poem(rng, given) for _ in range(size)] for size in POOL}

    def each(name: str, count: float, work: Callable[[], object]) -> None:
        if name in operations:
            found[name] = Line(0.0, bench.repeated(work) / count)

    tokenizer = _tokenizer()
    encoded = sum(len(code.ids) for code in tokenizer.encode_batch(questions * 8))
    each("encode", encoded, lambda: tokenizer.encode_batch(questions * 8))
    if any(name.endswith(".constrained") for name in operations):
        found["constrain"] = Line(0.0, _bans(tokenizer, bench, pools[POOL[1]]))
    if "chrf" in operations:
        from pipeline.augment.surface.chrf import chrf

        each("chrf", len(questions), lambda: [chrf(questions[0], other) for other in questions])
    if "embed" in operations:
        from pipeline.augment.encoder import Encoder

        encoder = Encoder()
        encoder.embed(questions[:1])
        each("embed", ENCODED * len(questions), lambda: encoder.embed(questions))
    _choices(bench, operations, pools, found)
    if "verse" in operations:
        found["verse"] = Line(_verse(project, bench, pools[POOL[0]], given))
    if "score" in operations:
        found["score"] = fit(((200, 1), (2000, 1)), lambda rows, _: _score(project, bench, rows))
    return found


def _choices(bench: Bench, operations: Collection[str], pools: dict[int, list[str]], found: "dict[str, Line]") -> None:
    from pipeline.decoding.mbr import line_mbr, mbr
    from pipeline.estimate.calibration import fit

    prompt = "\n".join(pools[POOL[0]][0].split("\n")[:3])
    shapes = [(1, size) for size in POOL]
    works: dict[str, Callable[[list[str]], object]] = {
        "mbr": mbr,
        "mbr.aggregated": lambda pool: mbr(pool, aggregated=True),
        "line_mbr": lambda pool: line_mbr(prompt, pool, set(), 1),
    }
    for name, work in works.items():
        if name in operations:
            found[name] = fit(
                shapes,
                lambda _, size, work=work: bench.repeated(lambda: work(pools[size])),  # type: ignore[misc]
            )


def _tokenizer() -> Tokenizer:
    from pipeline.training.pretrain import train_tokenizer

    return train_tokenizer([" ".join(WORDS)], 400)


def _bans(tokenizer: Tokenizer, bench: Bench, poems: list[str]) -> float:
    """Seconds a text and step, on logits of the vocabulary's size."""
    from pipeline.decoding.constraints import Constraints

    lines = [line for text in poems for line in text.split("\n")]
    bans = Constraints(tokenizer, lines, exact_lines=True, line_length=True, no_copy_words=None)
    texts = [code.ids[:96] for code in tokenizer.encode_batch(poems)]
    logits = torch.zeros(len(texts), tokenizer.get_vocab_size())
    return bench.repeated(lambda: bans(logits, texts)) / len(texts)


def _verse(project: Project, bench: Bench, poems: list[str], given: str) -> float:
    """Seconds of a poem's scores, against as many training poems as there are."""
    from pipeline.evaluation import generation, verse
    from pipeline.text.lines import Generated
    from pipeline.text.prepared import Poem

    rng = random.Random(1)
    rows = project.counts["sonnets/train"].rows + project.counts["sonnets/select"].rows
    copying = generation.Copying([Poem(number, given, poem(rng, given)) for number in range(max(1, rows))])
    written = [Generated(number, 0, given, text) for number, text in enumerate(poems)]
    real = {number: Poem(number, given, text) for number, text in enumerate(poems)}

    def work() -> None:
        generation.chrf_scores({0: written}, real, 0.95, Path("poems"))
        generation.text_scores({0: written}, copying)
        verse.mean_syllables([line for text in written for line in text.new_lines])
        for text in written:
            verse.rhyme_agreement(text.lines)

    work()
    return bench.repeated(work) / len(poems)


def _score(project: Project, bench: Bench, rows: int) -> float:
    """Seconds to read a file of predictions and compute its scores with intervals."""
    from pipeline.config.base import load_block
    from pipeline.config.tasks import Evaluation
    from pipeline.evaluation import classification
    from pipeline.evaluation.predictions import read_predictions, write_predictions

    settings = load_block("evaluation", Evaluation, project.path)
    rng = np.random.default_rng(0)
    first = rng.random(rows).round(6)
    labels = rng.integers(0, 2, rows).tolist()
    with tempfile.TemporaryDirectory() as folder:
        names = [str(row) for row in range(rows)]
        write_predictions(Path(folder), "dev", names, labels, np.stack([first, 1 - first], 1), "")
        path = Path(folder) / "dev.csv"
        return bench.repeated(
            lambda: classification.scores(read_predictions(path), settings.bootstrap, settings.confidence, 0)
        )
