"""Candidates for adversarial paraphrases: the project's own language model, or a sequence-to-sequence paraphraser.

The language model is the backbone fine-tuned on positive pairs in the words of the cloze prompt, so that
`Is "<question>" a paraphrase of "` is continued by a paraphrase. Sampling is top-k then top-p, as in Nighojkar & Licato
2021 (https://aclanthology.org/2021.acl-long.552), and a little wider at every retry.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.augmentation import Sampling
from pipeline.decoding.running import Limits
from pipeline.decoding.sampling import sample
from pipeline.decoding.top_k import keep_top_k
from pipeline.decoding.top_p import top_p
from pipeline.text.prepared import Pair
from pipeline.text.prompts import CLOZE
from pipeline.text.tokenizer import end_of_text, load_tokenizer

BEFORE, BETWEEN, AFTER = CLOZE.split("{}")
CLOSING = AFTER[0]  # the quotation mark after the second sentence


def training_documents(pairs: Sequence[Pair]) -> list[str]:
    """Every positive pair in both directions, up to the quotation mark that closes the second sentence."""
    positive = [(pair.sentence1, pair.sentence2) for pair in pairs if pair.label == 1]
    both = [direction for first, second in positive for direction in ((first, second), (second, first))]
    return [f"{BEFORE}{first}{BETWEEN}{second}{CLOSING}" for first, second in both]


def widened(sampling: Sampling, retry: int) -> tuple[int, float]:
    """top_k and top_p of a round; retry 0 is the first one."""
    return sampling.top_k + retry * sampling.widen_top_k, min(1.0, sampling.top_p + retry * sampling.widen_top_p)


class LanguageModel:
    """Sampled continuations of the cloze prompt; a candidate depends on its question, round and number only."""

    name = "lm"

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = GPT2LMHeadModel.from_pretrained(
            folder, dtype=torch.get_default_dtype(), use_safetensors=True
        ).eval()
        self.model = self.model.to("cuda" if torch.cuda.is_available() else "cpu")

    def paraphrase(self, questions: Sequence[str], sampling: Sampling, retry: int, seed: int) -> list[list[str]]:
        """`sampling.candidates` candidates for every question; an empty one was not finished."""
        room = self.model.config.n_positions - sampling.max_new_tokens
        end = end_of_text(self.tokenizer)
        prompts = [[end, *code.ids][-room:] for code in self.tokenizer.encode_batch(
            [f"{BEFORE}{question}{BETWEEN}" for question in questions])]  # fmt: skip
        numbers = range(sampling.candidates)
        seeds = [stream_seed(seed, question, retry, number) for question in questions for number in numbers]
        written = sample(
            self.model,
            [prompt for prompt in prompts for _ in numbers],
            seeds,
            partial(_choose, k_p=widened(sampling, retry)),
            Limits([0] * self.tokenizer.get_vocab_size(), new_tokens=sampling.max_new_tokens),  # no lines to count
        )
        texts = [finished(self.tokenizer.decode(tokens)) for tokens in written]
        return [texts[start : start + len(numbers)] for start in range(0, len(texts), len(numbers))]


class Seq2Seq:
    """Any sequence-to-sequence paraphraser (T5, BART, Pegasus) through transformers' `generate`."""

    name = "seq2seq"

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSeq2SeqLM.from_pretrained(
            folder, dtype=torch.get_default_dtype(), use_safetensors=True
        ).eval()
        self.model = self.model.to("cuda" if torch.cuda.is_available() else "cpu")

    @torch.inference_mode()
    def paraphrase(self, questions: Sequence[str], sampling: Sampling, retry: int, seed: int) -> list[list[str]]:
        """`sampling.candidates` candidates for every question; what is cut off at `max_new_tokens` is empty."""
        top_k, top_p = widened(sampling, retry)
        torch.manual_seed(stream_seed(seed, "\n".join(questions), retry, 0))
        inputs = self.tokenizer(list(questions), return_tensors="pt", padding=True, truncation=True)
        tokens = self.model.generate(
            **inputs.to(self.model.device),
            do_sample=True,
            num_beams=1,
            top_k=top_k,
            top_p=top_p,
            num_return_sequences=sampling.candidates,
            max_new_tokens=sampling.max_new_tokens,
        )
        # Without the first token: BART begins its output with the end-of-text token.
        ended = (tokens[:, 1:] == self.model.generation_config.eos_token_id).any(1).tolist()
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        texts = [one_line(text) if done else "" for text, done in zip(texts, ended, strict=True)]
        count = sampling.candidates
        return [texts[start : start + count] for start in range(0, len(texts), count)]


def finished(text: str) -> str:
    """What stands before the closing quotation mark; empty without one."""
    text = one_line(text)
    return text[: -len(CLOSING)].strip() if text.endswith(CLOSING) else ""


def one_line(text: str) -> str:
    """A text as questions are: its white space, a bare carriage return among it, is single spaces."""
    return " ".join(text.split())


def stream_seed(seed: int, question: str, retry: int, number: int) -> int:
    """The seed of one candidate's random stream; independent of batch and order."""
    digest = hashlib.sha256(f"{seed} {retry} {number} {question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _choose(logits: Tensor, uniforms: Tensor, k_p: tuple[int, float]) -> Tensor:
    k, p = k_p
    return top_p(keep_top_k(logits, k), uniforms, p, temperature=1.0)
