"""Search adversarial paraphrases of training questions and judge every candidate.

    python -m pipeline.stages.adversarial

Reads block `adversarial`, models/generator, the classifier if that gate is chosen, data/prepared/paraphrase/train.csv
and data/augmented/back_translation; writes data/augmented/adversarial/{candidates.csv,about.json} and
metrics/augmentation/apt.json. Scores are kept for good in data/memory/scores.sqlite, and what was generated is kept
until the stage is done: a killed run goes on where it was.
"""

import hashlib
import json
import random
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from pipeline.augment import back_translation
from pipeline.augment.adversarial import Gates, figures, search, write_candidates
from pipeline.augment.generator import LanguageModel, Seq2Seq
from pipeline.augment.scores import ScoreCache, Scorer, score_all
from pipeline.config.adversarial import Adversarial, Meaning, Sampling, Surface
from pipeline.config.base import load_block, load_seed
from pipeline.config.training import Compute
from pipeline.determinism import make_deterministic
from pipeline.errors import InputError, stage_main
from pipeline.files import new_folder, read_json, write_json
from pipeline.text.prepared import PREPARED, Pair, read_pairs
from pipeline.training import scratch_folder

GENERATOR, TRAIN = Path("models/generator"), PREPARED / "paraphrase" / "train.csv"
BACK_TRANSLATIONS = Path("data/augmented/back_translation")
OUT, METRICS = Path("data/augmented/adversarial"), Path("metrics/augmentation/apt.json")
CHUNK = 64  # questions generated for and saved together


def main(arguments: Sequence[str]) -> None:
    if arguments:
        raise InputError("usage: python -m pipeline.stages.adversarial")
    settings, compute, seed = load_block("adversarial", Adversarial), load_block("compute", Compute), load_seed()
    make_deterministic(seed, compute.threads)
    given = back_translations() if settings.back_translations else {}
    questions = choose_questions(read_pairs(TRAIN), settings.questions, given, seed)
    generator = open_generator(GENERATOR)
    meaning, surface = meaning_scorer(settings.meaning, settings.classifier), surface_scorer(settings.surface)
    run = scratch_folder(
        "adversarial", "search", [settings.sampling.model_dump(), compute.threads, seed], [GENERATOR, TRAIN]
    )
    with ScoreCache() as cache:
        gates = Gates(
            partial(score_all, scorer=meaning, cache=cache),
            settings.meaning.threshold,
            partial(score_all, scorer=surface, cache=cache),
            settings.surface.threshold,
        )
        generate = partial(generate_round, generator=generator, sampling=settings.sampling, seed=seed, run=run)
        candidates = search(questions, generate, generator.name, settings.sampling.retries, gates, given)
    about = {
        "generator": generator.name,
        "meaning_gate": f"{meaning.name} {meaning.revision}, both directions at least {settings.meaning.threshold}",
        "surface_gate": f"{surface.name} {surface.revision}, mean of both below {settings.surface.threshold}",
    }
    with new_folder(OUT) as folder:
        write_candidates(folder / "candidates.csv", candidates)
        write_json(folder / "about.json", about)
    counts = figures(candidates, len(questions))
    write_json(METRICS, about | counts)
    shutil.rmtree(run, ignore_errors=True)
    print(f"{counts['adversarial']:,} adversarial paraphrases among {counts['scored']:,} scored candidates")


def open_generator(folder: Path) -> LanguageModel | Seq2Seq:
    """What the stage `generator` has put into `folder`."""
    config = read_json(folder / "config.json")
    return Seq2Seq(folder) if config.get("is_encoder_decoder") else LanguageModel(folder)


def back_translations() -> dict[str, list[str]]:
    """Back-translations by their source, through every language."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(BACK_TRANSLATIONS.glob("*/candidates.csv")):
        for row in back_translation.read_candidates(path):
            found[row.source].append(row.translation)
    return dict(found)


def choose_questions(pairs: Sequence[Pair], limit: int | None, given: Mapping[str, object], seed: int) -> list[str]:
    """Distinct training questions in random order, those that have back-translations first, at most `limit`."""
    questions = list(dict.fromkeys(text for pair in pairs for text in (pair.sentence1, pair.sentence2)))
    random.Random(f"{seed} adversarial").shuffle(questions)
    return sorted(questions, key=lambda question: question not in given)[:limit]


def generate_round(
    questions: Sequence[str], retry: int, generator: LanguageModel | Seq2Seq, sampling: Sampling, seed: int, run: Path
) -> list[list[str]]:
    """Candidates of one round; chunks that an earlier, killed run has saved are read.

    Their names come from their questions: which ones are still open in a later round depends on the gates.
    """
    from tqdm import tqdm

    texts: list[list[str]] = []
    for start in tqdm(range(0, len(questions), CHUNK), desc=f"generate, round {retry}", unit="chunk"):
        chunk = questions[start : start + CHUNK]
        path = run / f"round-{retry}" / f"{hashlib.sha256(json.dumps(chunk).encode()).hexdigest()}.json"
        if not path.exists():
            write_json(path, generator.paraphrase(chunk, sampling, retry, seed))
        texts += read_json(path)
    return texts


def meaning_scorer(settings: Meaning, classifier: str) -> Scorer:
    """The gate that says whether the first sentence implies the second."""
    if settings.gate == "nli":
        from pipeline.augment.meaning.nli import NLI

        return NLI(settings.nli.name, settings.nli.revision)
    if settings.gate == "classifier":
        from pipeline.augment.meaning.classifier import Classifier

        return Classifier(Path(classifier))
    from pipeline.augment.meaning.encoder_rules import EncoderRules

    return EncoderRules()


def surface_scorer(settings: Surface) -> Scorer:
    """The gate that says how alike two sentences look."""
    if settings.gate == "bleurt":
        from pipeline.augment.surface.bleurt import BLEURT

        return BLEURT(settings.bleurt.name, settings.bleurt.revision)
    from pipeline.augment.surface.chrf import ChrF

    return ChrF()


if __name__ == "__main__":
    stage_main(main)
