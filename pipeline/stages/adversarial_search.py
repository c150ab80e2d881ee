"""Search adversarial paraphrases of one shard's part of the training questions and judge every candidate.

Reads block `adversarial`, models/generator, the classifier if that gate is chosen, data/prepared/paraphrase/train.csv
and data/augmented/back_translation; writes data/augmented/adversarial_search/<shard>/{candidates.jsonl,about.json}.
Scores are kept for good in data/memory/scores.sqlite, and what was generated is kept until the stage is done: a killed
run goes on where it was. Shards run at the same time, on one machine or on several.
"""

import shutil
from functools import partial
from pathlib import Path

from tqdm import tqdm

from pipeline.augment.adversarial import QUESTIONS, SEARCH, Candidate, Gates, choose_questions, search_paraphrases
from pipeline.augment.back_translation import blocks_of
from pipeline.augment.gates import open_meaning_gate, open_surface_gate
from pipeline.augment.generator import generate_once, open_generator
from pipeline.augment.memory import ScoreCache, score_all
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import named
from pipeline.config.params import load_params
from pipeline.files import new_folder, write_json, write_jsonl
from pipeline.text.prepared import PREPARED
from pipeline.training.run import scratch_folder


def main(shard: str) -> None:
    params, source, train = load_params(), Path("models/generator"), PREPARED / "paraphrase" / "train.csv"
    settings, compute, seed = params.adversarial, params.compute, params.seed
    number = named(settings.shards, shard, "adversarial.shards")
    make_deterministic(seed, compute)
    questions, given = choose_questions(settings, seed)
    generator = open_generator(source)
    meaning = open_meaning_gate(settings.meaning, Path(settings.classifier))
    surface = open_surface_gate(settings.surface)
    fixed = [settings.sampling.model_dump(), compute.model_dump(), seed]
    run = scratch_folder(f"adversarial_search/{shard}", fixed, [source, train])
    generate = partial(generate_once, generator=generator, sampling=settings.sampling, seed=seed, run=run)
    found: list[Candidate] = []
    least, most = settings.meaning.threshold, settings.surface.threshold
    with ScoreCache() as cache:
        score_meaning, score_surface = (partial(score_all, scorer=gate, cache=cache) for gate in (meaning, surface))
        gates = Gates(score_meaning, least, score_surface, most)
        for block in tqdm(blocks_of(questions, QUESTIONS, number, len(settings.shards)), "search", unit="block"):
            found += search_paraphrases(block, generate, generator.name, settings.sampling.retries, gates, given)
    about = {
        "generator": generator.name,
        "meaning_gate": f"{meaning.name} {meaning.revision}, both directions at least {least}",
        "surface_gate": f"{surface.name} {surface.revision}, mean of both below {most}",
    }
    with new_folder(SEARCH / shard) as folder:
        write_jsonl(folder / "candidates.jsonl", (candidate._asdict() for candidate in found))
        write_json(folder / "about.json", about)
    shutil.rmtree(run, ignore_errors=True)
