"""Write the dev, test and select sonnets with one system (a model and a decoder).

Reads the system's model and models/backbone, which an adapter needs and which is the amateur of contrastive decoding,
the scoring model and data/prepared/sonnets; writes to predictions/sonnets/<system>/
    {dev,test,select}.jsonl    one object per draw and prompt (one draw for all but dev), with the mean negative
                               log-likelihood of the completion's tokens under the scoring model
    {dev,test,select}_pool.jsonl   the candidates, where a decoder chooses from a pool
    system.json                what was run
    submission.txt             the test poems in the course's format
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from transformers.utils import logging

from pipeline.compute.processes import in_processes, rank
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.decoding.writer import Writer, Written, training_lines, with_nll
from pipeline.files import new_folder, write_json, write_jsonl, write_text
from pipeline.models.adapters import load_language_model
from pipeline.text.prepared import PREPARED, Generated, read_poems
from pipeline.text.prompts import load_tokenizer

BACKBONE, DATA = Path("models/backbone"), PREPARED / "sonnets"


@in_processes
def main(name: str) -> None:
    params = load_params()
    system, scoring = params.sonnet.system(name), params.sonnet.scorer
    seed = params.seed if system.seed is None else system.seed
    make_deterministic(seed, params.compute)
    logging.disable_progress_bar()
    path = Path("models") / system.model
    tokenizer, backbone = load_tokenizer(path), partial(load_language_model, BACKBONE, BACKBONE)
    writer = Writer(load_language_model(path, BACKBONE), tokenizer, seed, partial(training_lines, DATA), backbone)
    scorer = load_language_model(Path("models/sonnet") / scoring, BACKBONE)
    written, counts = {}, {}
    for split in ("dev", "test", "select"):
        prompts = read_poems(DATA / f"{split}.jsonl")
        poems, pool = system.module.write(writer, prompts, system if split == "dev" else system.once())
        written[split] = Written(with_nll(scorer, tokenizer, poems), pool)
        counts[split] = {"prompts": len(prompts), "poems": len(poems), "candidates": len(pool)}
    if rank() > 0:
        return
    with new_folder(Path("predictions/sonnets") / name) as folder:
        for split, (poems, pool) in written.items():
            write_jsonl(folder / f"{split}.jsonl", map(asdict, poems))
            if pool:
                columns = ("id", "draw", "prompt", "text")
                rows = ({column: getattr(poem, column) for column in columns} for poem in pool)
                write_jsonl(folder / f"{split}_pool.jsonl", rows)
            print(f"{name}: {counts[split]['poems']} poems for {counts[split]['prompts']} {split} prompts")
        write_text(folder / "submission.txt", submission(written["test"].poems))
        run = {"system": name, **system.model_dump(exclude={"seed"}), "scorer": scoring, "seed": seed, **counts}
        write_json(folder / "system.json", run)


def submission(poems: Sequence[Generated]) -> str:
    """One poem a prompt in the course's submission format."""
    return "--Generated Sonnets-- \n\n" + "".join(f"\n{poem.id}\n{poem.text}\n\n" for poem in poems)
