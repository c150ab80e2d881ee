"""A GPT-2 so small that a pass takes a millisecond, in a folder as `backbone` leaves it, and prepared data to match."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.base import method
from pipeline.config.training import PoemPrefix, Training
from pipeline.decoding.running import Limits
from pipeline.text.prepared import Pair, Poem, Sentence, write_pairs, write_poems, write_sentences

END = "<|endoftext|>"
TEXT = [
    'Is "How do I repair the red garden engine?" a paraphrase of "What helps to repair the old river camera?"?',
    ' Answer "yes" or "no":',
    "A lovely, moving story about a clever teacher; the ending is dull and the songs are stale.",
    "Shall the warm summer river carry me away\nAnd paint the cold grey morning into gold,\nI would forget to answer",
]

NEWLINES = [0] * 32 + [1] * 6 + [2, 0]  # line breaks in each token of a vocabulary of 40
QUIET = Limits([0] * 40)  # texts end with the context alone
PLAIN: dict[str, Any] = {
    "model": "sonnet/any", "exact_lines": False, "line_length": False, "no_copy_words": None, "max_new_tokens": None,
    "seed": None,
}  # fmt: skip
BEAMS = {"beams": 3, "length_penalty": 0.6, "no_repeat_ngram": 0}
POOL = {"samples": 6, "epsilon": 0.01, "temperature": 1.0}
DECODERS: dict[str, dict[str, Any]] = {
    "top_p": {"top_p": 0.9, "temperature": 1.2, "draws": 2},
    "top_k": {"top_k": 5, "temperature": 1.2, "draws": 2},
    "min_p": {"min_p": 0.3, "temperature": 1.2, "draws": 2},
    "epsilon": {"epsilon": 0.01, "temperature": 1.2, "draws": 2},
    "contrastive_search": {
        "k": 4, "alpha": 0.6, "dynamic_alpha": False, "mean_similarity": False, "repetition_penalty": 1.0,
        "no_repeat_ngram": 0,
    },
    "contrastive_decoding": {"alpha": 0.1, "no_repeat_ngram": 3},
    "beam_search": BEAMS,
    "beam_mbr": BEAMS,
    "sampled_mbr": POOL | {"aggregated": False},
    "line_mbr": POOL | {"sweeps": 3},
    "ensemble_mbr": BEAMS | {"samples": 4, "top_p": 0.9, "temperature": 1.0, "k": 4, "alpha": 0.6},
    "verse": {"candidates": 4, "top_p": 0.9, "temperature": 1.0},
}  # fmt: skip


def options(decoder: str, **values: object) -> Any:  # noqa: ANN401 - of the decoder's own class
    """A system with that decoder: the values above, changed by `values`."""
    return method("decoding", decoder).Options(decoder=decoder, **(PLAIN | DECODERS[decoder] | values))


def combined(decoder: str, systems: dict[str, float], **values: object) -> Any:  # noqa: ANN401 - as above
    """An ensemble of systems, with fitted weights where it has any."""
    fitted = {"weights": "fitted"} if decoder == "reranking" else {}
    return method("decoding", decoder).Options(decoder=decoder, systems=systems, **(fitted | values))


@cache
def tiny_tokenizer() -> Tokenizer:
    """A byte-level BPE of 400 tokens or fewer, made of `TEXT`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    return tokenizer


def tiny_model(vocabulary: int, end: int, positions: int = 96, spread: float = 0.02, seed: int = 0) -> GPT2LMHeadModel:
    """2 layers, width 32, random weights; a larger `spread` makes the next-token distributions less flat."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=spread,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config).eval()


def write_backbone(folder: Path, spread: float = 0.2) -> Path:
    """A loadable folder with the tiny tokenizer and model."""
    tokenizer = tiny_tokenizer()
    tiny_model(tokenizer.get_vocab_size(), tokenizer.token_to_id(END), spread=spread).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END).save_pretrained(folder)
    return folder


def write_prepared(folder: Path, rows: int = 30) -> Path:
    """sst, cfimdb, paraphrase, etpc, sonnets and (without rows) plays; every text names its split."""
    for split in ("train", "select", "dev", "test"):
        texts = [f"{split} {number}: {TEXT[2]}" for number in range(rows)]
        for corpus in ("sst", "cfimdb"):
            sentences = [Sentence(f"{corpus}{index}", text, index % 2) for index, text in enumerate(texts)]
            write_sentences(folder / corpus / f"{split}.csv", sentences)
        pairs = [Pair(str(index), text, texts[index - 1], index % 2) for index, text in enumerate(texts)]
        write_pairs(folder / "paraphrase" / f"{split}.csv", pairs)
        prompts = [f"{split} {number}\n{TEXT[3]}" for number in range(rows)]
        poems = [Poem(number, prompt, f"{prompt}\nThe end of it") for number, prompt in enumerate(prompts)]
        write_poems(folder / "sonnets" / f"{split}.jsonl", poems)
    write_pairs(folder / "etpc/train.csv", [])
    (folder / "plays").mkdir()
    (folder / "plays/train.jsonl").write_text("")
    return folder


def prefix(tokens: int, **changes: Any) -> PoemPrefix:  # noqa: ANN401 - values of the parameters
    """A flat prefix in all blocks, seen by all of a text, with these changes."""
    values = {"projection": False, "hidden": None, "layers": None, "init": None, "parts": 1}
    return PoemPrefix.model_validate({"kind": "prefix", "tokens": tokens} | values | changes)


def tiny_training(**changes: Any) -> Training:  # noqa: ANN401 - values of the parameters
    """Parameters of a short training, with these changes."""
    values = {
        "lr": 0.01, "epochs": 1, "batch_size": 4, "schedule": "linear", "warmup": 0.1, "weight_decay": 0.1,
        "max_grad_norm": 1.0, "dropout": 0.1, "max_length": 90, "evaluations_per_epoch": 1, "checkpoint_steps": 100,
        "ema": None, "soup": 1, "seed": None,
    }  # fmt: skip
    return Training.model_validate(values | changes)
