"""Write the dev, test and select sonnets with one system (a model and a decoder) or an ensemble of models or systems.

Reads its models and models/backbone, which an adapter needs and which is the amateur of contrastive decoding, the
scoring model, what systems have written, for an ensemble of them, and data/prepared/sonnets; writes to
predictions/sonnets/<system> or predictions/sonnets_ensembles/<name>
    {dev,test,select}.jsonl    one object per draw and prompt (one draw for all but dev), with the mean negative
                               log-likelihood of the completion's tokens under the scoring model
    {dev,test,select}_pool.jsonl   the candidates, where a decoder chooses from a pool
    system.json                what was run
    submission.txt             the test poems in the course's format
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from transformers.utils import logging

from pipeline.compute.processes import in_processes, rank
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import Params, load_params
from pipeline.config.sonnet import Decoding
from pipeline.decoding.writer import Writer, Written, training_lines, with_nll
from pipeline.errors import InputError
from pipeline.evaluation.generation import read_generated
from pipeline.evaluation.predictions import SONNETS, folder_of
from pipeline.files import new_folder, write_json, write_jsonl, write_text
from pipeline.models.adapters import load_language_model
from pipeline.models.output import Mixture
from pipeline.text.prepared import PREPARED, Generated, read_poems
from pipeline.text.prompts import load_tokenizer

MODELS, BACKBONE, DATA = Path("models"), Path("models/backbone"), PREPARED / "sonnets"


@in_processes
def main(name: str) -> None:
    params = load_params()
    system, scoring = params.sonnet.system(name), params.sonnet.scorer
    own = getattr(system, "seed", None)  # not of what only chooses
    seed = params.seed if own is None else own
    make_deterministic(seed, params.compute)
    logging.disable_progress_bar()
    writer = new_writer(params, system, seed)
    scorer = load_language_model(MODELS / scoring, BACKBONE)
    if hasattr(system, "fitted"):
        held_out = replace(writer, candidates=partial(candidates, "select"))
        system = system.fitted(held_out, read_poems(DATA / "select.jsonl"))
    written, counts = {}, {}
    for split in ("dev", "test", "select"):
        prompts = read_poems(DATA / f"{split}.jsonl")
        writer = replace(writer, candidates=partial(candidates, split))
        poems, pool = system.module.write(writer, prompts, system if split == "dev" else system.once())
        written[split] = Written(with_nll(scorer, writer.tokenizer, poems), pool)
        counts[split] = {"prompts": len(prompts), "poems": len(poems), "candidates": len(pool)}
    if rank() > 0:
        return
    with new_folder(folder_of("sonnets", name, params.sonnet.ensembles)) as folder:
        for split, (poems, pool) in written.items():
            write_jsonl(folder / f"{split}.jsonl", map(asdict, poems))
            if pool:  # without likelihoods
                rows = ({key: value for key, value in asdict(one).items() if key != "nll"} for one in pool)
                write_jsonl(folder / f"{split}_pool.jsonl", rows)
            print(f"{name}: {counts[split]['poems']} poems for {counts[split]['prompts']} {split} prompts")
        write_text(folder / "submission.txt", submission(written["test"].poems))
        own = system.model_dump(exclude={"seed"}, exclude_defaults=True)
        run = {"system": name, **own, "scorer": scoring, "seed": seed, **counts}
        write_json(folder / "system.json", run)


def new_writer(params: Params, system: Decoding, seed: int) -> Writer:
    """What a system writes with: its model or mixture; of one that only chooses, the scoring model."""
    named = getattr(system, "model", params.sonnet.scorer)
    weights = {named: 1.0} if isinstance(named, str) else named
    for folder in (folders := [MODELS / name for name in weights]):
        for needed in [folder, BACKBONE] if (folder / "adapter_config.json").exists() else [folder]:
            if not any(needed.glob("*.safetensors")):
                stage = "backbone" if needed == BACKBONE else f"train_sonnet@{needed.parts[2]}"
                raise InputError(f"{needed}: no model; run `dvc repro {stage}`")
        if (folder / "tokenizer.json").read_bytes() != (folders[0] / "tokenizer.json").read_bytes():
            raise InputError(f"{folder}: another vocabulary than in {folders[0]}: they cannot be mixed; train anew")
    models = [load_language_model(folder, BACKBONE) for folder in folders]
    mixture = Mixture(models, [weight / sum(weights.values()) for weight in weights.values()])
    amateur = partial(load_language_model, MODELS / getattr(system, "amateur", "backbone"), BACKBONE)
    lines, tokenizer = partial(training_lines, DATA), load_tokenizer(folders[0])
    return Writer(mixture if models[1:] else models[0], tokenizer, seed, lines, amateur)


def candidates(split: str, system: str) -> list[Generated]:
    """What a system has chosen from for the prompts of a split, or its poems where it chooses from nothing."""
    pool = SONNETS / system / f"{split}_pool.jsonl"
    draws = read_generated(pool if pool.exists() else pool.with_name(f"{split}.jsonl"), whole=False)
    return [one for draw in draws.values() for one in draw]


def submission(poems: Sequence[Generated]) -> str:
    """One poem a prompt in the course's submission format."""
    return "--Generated Sonnets-- \n\n" + "".join(f"\n{poem.id}\n{poem.text}\n\n" for poem in poems)
