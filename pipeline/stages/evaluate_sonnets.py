"""Score one sonnet system on dev: predictions/sonnets/<system>/dev.jsonl -> metrics/sonnets/<system>.json.

`pool_chrf` is that of all candidates, where the system has chosen from some: what the choice gained.

python -m pipeline.stages evaluate_sonnets top_p_tuned --seed 11711 --bootstrap 2000 --confidence 0.95
"""

from collections.abc import Sequence

import numpy as np

from pipeline.config.tasks import evaluation_arguments
from pipeline.evaluation import generation, verse
from pipeline.evaluation.predictions import METRICS, SONNETS
from pipeline.evaluation.reported import SONNET
from pipeline.files import read_jsonl, write_json
from pipeline.text.prepared import GIVEN_LINES, PREPARED, read_poems


def main(arguments: Sequence[str]) -> None:
    """Write the scores of one system."""
    (system,), settings = evaluation_arguments(arguments, "system")
    path = SONNETS / system / "dev.jsonl"
    draws = generation.read_generated(path)
    dev = {poem.id: poem for poem in read_poems(PREPARED / "sonnets/dev.jsonl")}
    seen = [poem for split in ("train", "select") for poem in read_poems(PREPARED / f"sonnets/{split}.jsonl")]
    metrics: dict[str, float] = {"draws": len(draws)}
    metrics |= generation.chrf_scores(draws, dev, settings.confidence, path)
    pool = path.with_name("dev_pool.jsonl")
    if pool.exists():
        candidates = read_jsonl(pool)
        references = [generation.full_text(dev[candidate["id"]]) for candidate in candidates]
        metrics["pool_chrf"] = generation.chrf([candidate["text"] for candidate in candidates], references)
    metrics |= generation.text_scores(draws, generation.Copying(seen))
    metrics |= verse_scores([poem.lines for poems in draws.values() for poem in poems])
    if system in SONNET:
        metrics |= {"reported_chrf": SONNET[system], "delta_chrf": metrics["chrf_mean"] - SONNET[system]}
    write_json(METRICS / f"sonnets/{system}.json", metrics)


def verse_scores(poems: Sequence[list[str]]) -> dict[str, float]:
    """Metre of the generated lines and rhyme of the poems; `poems` holds the lines of each, the given ones included."""
    new_lines = [line for lines in poems for line in lines[GIVEN_LINES:]]
    return {
        "syllables_per_line": verse.mean_syllables(new_lines),
        "rhyme_agreement": float(np.mean([verse.rhyme_agreement(lines) for lines in poems])),
    }
