"""Score one sonnet system or ensemble on dev: its dev.jsonl in predictions -> metrics/sonnets/<system>.json.

`pool_chrf` is that of all candidates, where the system has chosen from some: what the choice gained. `select_chrf` is
that of the poems of select, by which systems are chosen and tuned.
"""

from pipeline.config.params import load_params
from pipeline.config.tasks import evaluation_arguments
from pipeline.evaluation import generation
from pipeline.evaluation.chrf import chrf
from pipeline.evaluation.metre import verse_scores
from pipeline.evaluation.predictions import METRICS, folder_of
from pipeline.evaluation.reported import against_reported
from pipeline.files import read_jsonl, write_json
from pipeline.text.prepared import PREPARED, read_poems


def main(*arguments: str) -> None:
    (system,), settings = evaluation_arguments(arguments, "system")
    path = folder_of("sonnets", system, load_params().sonnet.ensembles) / "dev.jsonl"
    draws = generation.read_generated(path)
    train, select, real = [read_poems(PREPARED / f"sonnets/{split}.jsonl") for split in ("train", "select", "dev")]
    dev = {poem.id: poem for poem in real}
    metrics = {"draws": len(draws)} | generation.chrf_scores(generation.beside_real(draws, dev, path), settings)
    if (pool := path.with_name("dev_pool.jsonl")).exists():
        candidates = read_jsonl(pool)
        references = [generation.full_text(dev[candidate["id"]]) for candidate in candidates]
        metrics["pool_chrf"] = chrf([candidate["text"] for candidate in candidates], references)
    metrics |= generation.text_scores(draws, generation.Copying([*train, *select]))
    metrics |= generation.shared_with_real(draws, dev)
    path = path.with_name("select.jsonl")  # of one draw
    held_out = generation.beside_real(generation.read_generated(path), {poem.id: poem for poem in select}, path)
    [metrics["select_chrf"]] = generation.chrf_of_draws(held_out)
    metrics |= verse_scores([poem.lines for poems in draws.values() for poem in poems])
    write_json(METRICS / f"sonnets/{system}.json", metrics | against_reported("sonnets", system, metrics))
