"""Write the dev and test sonnets with one system (a model and a decoder).

    python -m pipeline.stages.generate_sonnets <system>

Reads the system's model and data/prepared/sonnets; writes predictions/sonnets/<system>/{dev,test}.jsonl, one object per
draw and prompt (one draw for test), and submission.txt, the test poems in the course's format.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
from transformers.utils import logging

from pipeline.config.base import load_block, load_seed
from pipeline.config.sonnet import load_system
from pipeline.config.training import Compute
from pipeline.determinism import make_deterministic
from pipeline.errors import one_argument, stage_main
from pipeline.files import new_folder, write_jsonl, write_text
from pipeline.generate import generate
from pipeline.poems import submission
from pipeline.text.prepared import PREPARED, read_poems
from pipeline.text.tokenizer import load_tokenizer


def main(arguments: Sequence[str]) -> None:
    name = one_argument(arguments, "system")
    system, seed = load_system(name), load_seed()
    make_deterministic(seed, load_block("compute", Compute).threads)
    logging.disable_progress_bar()
    path = Path("models") / system.model
    tokenizer = load_tokenizer(path)
    model = GPT2LMHeadModel.from_pretrained(path, dtype=torch.float32).eval()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    with new_folder(Path("predictions/sonnets") / name) as folder:
        for split in ("dev", "test"):
            prompts = read_poems(PREPARED / "sonnets" / f"{split}.jsonl")
            once = system.model_copy(update={"draws": 1}) if split == "test" else system
            poems = generate(model, tokenizer, prompts, once, seed)
            write_jsonl(folder / f"{split}.jsonl", map(asdict, poems))
            print(f"{name}: {len(poems)} poems for {len(prompts)} {split} prompts")
        write_text(folder / "submission.txt", submission(poems))


if __name__ == "__main__":
    stage_main(main)
