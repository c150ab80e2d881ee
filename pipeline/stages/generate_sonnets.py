"""Write the dev and test sonnets with one system (a model and a decoder).

    python -m pipeline.stages.generate_sonnets <system>

Reads the system's model, models/backbone where it is the amateur of contrastive decoding, and data/prepared/sonnets;
writes predictions/sonnets/<system>/{dev,test}.jsonl, one object per draw and prompt (one draw for test),
{dev,test}_pool.jsonl.gz where a decoder chooses from a pool of candidates, and submission.txt, the test poems in the
course's format.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
from transformers.utils import logging

from pipeline.config.base import load_block, load_seed
from pipeline.config.sonnet import ContrastiveDecoding, Sampler, load_system
from pipeline.config.training import Compute
from pipeline.determinism import make_deterministic
from pipeline.errors import one_argument, stage_main
from pipeline.files import new_folder, write_jsonl, write_text
from pipeline.generate import generate
from pipeline.poems import Generated, submission
from pipeline.text.prepared import PREPARED, read_poems
from pipeline.text.tokenizer import load_tokenizer

BACKBONE = Path("models/backbone")


def main(arguments: Sequence[str]) -> None:
    name = one_argument(arguments, "system")
    system, seed = load_system(name), load_seed()
    make_deterministic(seed, load_block("compute", Compute).threads)
    logging.disable_progress_bar()
    path = Path("models") / system.model
    tokenizer, model = load_tokenizer(path), load_model(path)
    amateur = load_model(BACKBONE) if isinstance(system, ContrastiveDecoding) else None
    train = read_poems(PREPARED / "sonnets" / "train.jsonl")
    training_lines = {line.strip() for poem in train for line in (poem.text or "").split("\n")}
    with new_folder(Path("predictions/sonnets") / name) as folder:
        for split in ("dev", "test"):
            prompts = read_poems(PREPARED / "sonnets" / f"{split}.jsonl")
            once = system.model_copy(update={"draws": 1}) if split == "test" and isinstance(system, Sampler) else system
            poems, pool = generate(model, tokenizer, prompts, once, seed, training_lines, amateur)
            write_jsonl(folder / f"{split}.jsonl", map(asdict, poems))
            if pool:
                write_pool(folder / f"{split}_pool.jsonl.gz", pool)
            print(f"{name}: {len(poems)} poems for {len(prompts)} {split} prompts")
        write_text(folder / "submission.txt", submission(poems))


def load_model(path: Path) -> GPT2LMHeadModel:
    """A model ready to write, on CUDA where there is one."""
    model = GPT2LMHeadModel.from_pretrained(path, dtype=torch.float32).eval()
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def write_pool(path: Path, pool: Sequence[Generated]) -> None:
    """The candidates as compressed JSON lines, without the time that gzip would put into the file."""
    lines = "".join(json.dumps(asdict(poem), ensure_ascii=False) + "\n" for poem in pool)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


if __name__ == "__main__":
    stage_main(main)
