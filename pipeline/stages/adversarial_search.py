"""Search adversarial paraphrases of one shard's part of the training questions and judge every candidate.

    python -m pipeline.stages adversarial_search <shard>

Reads block `adversarial`, models/generator, the classifier if that gate is chosen, data/prepared/paraphrase/train.csv
and data/augmented/back_translation; writes data/augmented/adversarial_search/<shard>/{candidates.jsonl,about.json}.
Scores are kept for good in data/memory/scores.sqlite, and what was generated is kept until the stage is done: a killed
run goes on where it was. Shards run at the same time, on one machine or on several.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pipeline.augment.adversarial import SEARCH, Candidate, Gates, choose_questions, search, write_part
from pipeline.augment.back_translation import BACK_TRANSLATIONS, read_back_translations
from pipeline.augment.generator import LanguageModel, Seq2Seq
from pipeline.augment.scores import ScoreCache, Scorer, score_all
from pipeline.augment.shards import QUESTIONS, blocks_of
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.augmentation import Adversarial, Meaning, Sampling, Surface, read_shard
from pipeline.config.base import load_block, load_seed
from pipeline.config.training import Compute
from pipeline.errors import one_argument
from pipeline.files import new_folder, read_json, write_json
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.training.loop import scratch_folder

GENERATOR, TRAIN = Path("models/generator"), PREPARED / "paraphrase" / "train.csv"


def main(arguments: Sequence[str]) -> None:
    settings, compute, seed = load_block("adversarial", Adversarial), load_block("compute", Compute), load_seed()
    shard = read_shard(one_argument(arguments, "shard"), settings.shards, "adversarial.shards")
    make_deterministic(seed, compute)
    given = read_back_translations(BACK_TRANSLATIONS) if settings.back_translations else {}
    questions = choose_questions(read_pairs(TRAIN), settings.questions, given, seed)
    generator = open_generator(GENERATOR)
    meaning, surface = meaning_scorer(settings.meaning, settings.classifier), surface_scorer(settings.surface)
    run = scratch_folder(
        "adversarial", f"search-{shard}", [settings.sampling.model_dump(), compute.threads, seed], [GENERATOR, TRAIN]
    )
    generate = partial(generate_block, generator=generator, sampling=settings.sampling, seed=seed, run=run)
    found: list[Candidate] = []
    with ScoreCache() as cache:
        gates = Gates(
            partial(score_all, scorer=meaning, cache=cache),
            settings.meaning.threshold,
            partial(score_all, scorer=surface, cache=cache),
            settings.surface.threshold,
        )
        for block in tqdm(blocks_of(questions, QUESTIONS, shard, len(settings.shards)), "search", unit="block"):
            found += search(block, generate, generator.name, settings.sampling.retries, gates, given)
    about = {
        "generator": generator.name,
        "meaning_gate": f"{meaning.name} {meaning.revision}, both directions at least {settings.meaning.threshold}",
        "surface_gate": f"{surface.name} {surface.revision}, mean of both below {settings.surface.threshold}",
    }
    with new_folder(SEARCH / str(shard)) as folder:
        write_part(folder, found)
        write_json(folder / "about.json", about)
    shutil.rmtree(run, ignore_errors=True)


def open_generator(folder: Path) -> LanguageModel | Seq2Seq:
    """What the stage `generator` has put into `folder`."""
    config = read_json(folder / "config.json")
    return Seq2Seq(folder) if config.get("is_encoder_decoder") else LanguageModel(folder)


def generate_block(
    questions: Sequence[str], retry: int, generator: LanguageModel | Seq2Seq, sampling: Sampling, seed: int, run: Path
) -> list[list[str]]:
    """Candidates of one round; what an earlier, killed run has saved is read.

    The file's name comes from the questions: which ones are still open in a later round depends on the gates.
    """
    path = run / f"round-{retry}" / f"{hashlib.sha256(json.dumps(questions).encode()).hexdigest()}.json"
    if not path.exists():
        write_json(path, generator.paraphrase(questions, sampling, retry, seed))
    return read_json(path)


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
