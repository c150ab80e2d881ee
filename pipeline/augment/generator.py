"""Candidates for adversarial paraphrases: the project's own language model, or a sequence-to-sequence paraphraser.

The language model is the backbone fine-tuned on positive pairs in the words of the cloze prompt, so that
`Is "<question>" a paraphrase of "` is continued by a paraphrase. Sampling is top-k then top-p, as in Nighojkar & Licato
2021 (https://aclanthology.org/2021.acl-long.552), and a little wider at every retry.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from pipeline.augment.hub import load_model
from pipeline.config.augmentation import Checkpoint, Sampling
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_k import keep_top_k
from pipeline.decoding.top_p import top_p
from pipeline.files import read_json, write_json
from pipeline.models.backbone import load_backbone
from pipeline.models.decoder import context
from pipeline.text.prepared import Pair
from pipeline.text.prompts import CLOZE, begin_of_text, load_tokenizer, plain_ids

BEFORE, BETWEEN, AFTER = CLOZE.split("{}")
CLOSING = AFTER[0]  # the quotation mark after the second sentence
SEQ2SEQ = (AutoTokenizer, AutoModelForSeq2SeqLM)


def training_documents(pairs: Sequence[Pair]) -> list[str]:
    """Every positive pair in both directions, up to the quotation mark that closes the second sentence."""
    texts = [(pair.sentence1, pair.sentence2) for pair in pairs if pair.label == 1]
    return [f"{BEFORE}{one}{BETWEEN}{other}{CLOSING}" for pair in texts for one, other in (pair, pair[::-1])]


def widened(sampling: Sampling, retry: int) -> tuple[int, float]:
    """top_k and top_p of a round; retry 0 is the first one."""
    return sampling.top_k + retry * sampling.widen_top_k, min(1.0, sampling.top_p + retry * sampling.widen_top_p)


class LanguageModel:
    """Sampled continuations of the cloze prompt; a candidate depends on its question, round and number only."""

    name = "lm"

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_backbone(folder).to("cuda" if torch.cuda.is_available() else "cpu")

    def paraphrase(self, questions: Sequence[str], sampling: Sampling, retry: int, seed: int) -> list[list[str]]:
        """`sampling.candidates` candidates for every question; an empty one was not finished."""
        room, begin = context(self.model) - sampling.max_new_tokens, begin_of_text(self.tokenizer)
        encoded = plain_ids(self.tokenizer, [f"{BEFORE}{question}{BETWEEN}" for question in questions])
        count, (k, p) = sampling.candidates, widened(sampling, retry)
        written = sample(
            self.model,
            [[begin, *ids][-room:] for ids in encoded for _ in range(count)],
            [stream_seed(seed, question, retry, number) for question in questions for number in range(count)],
            lambda logits, uniforms: top_p(keep_top_k(logits, k), uniforms, p, temperature=1.0),
            Limits([0] * self.tokenizer.get_vocab_size(), new_tokens=sampling.max_new_tokens),  # no lines to count
        )
        texts = [finished(self.tokenizer.decode(tokens)) for tokens in written]
        return [texts[start : start + count] for start in range(0, len(texts), count)]


class Seq2Seq:
    """Any sequence-to-sequence paraphraser (T5, BART, Pegasus) through transformers' `generate`."""

    name = "seq2seq"

    def __init__(self, folder: Path) -> None:
        self.tokenizer, self.model = load_model(SEQ2SEQ, str(folder), "main", str(folder), torch.get_default_dtype())

    @torch.inference_mode()
    def paraphrase(self, questions: Sequence[str], sampling: Sampling, retry: int, seed: int) -> list[list[str]]:
        """`sampling.candidates` candidates for every question; what is cut off at `max_new_tokens` is empty."""
        k, p = widened(sampling, retry)
        torch.manual_seed(stream_seed(seed, "\n".join(questions), retry, 0))
        inputs = self.tokenizer(list(questions), return_tensors="pt", padding=True, truncation=True)
        count, drawn = sampling.candidates, {"do_sample": True, "num_beams": 1, "top_k": k, "top_p": p}
        lengths = {"num_return_sequences": count, "max_new_tokens": sampling.max_new_tokens}
        tokens = self.model.generate(**inputs.to(self.model.device), **drawn, **lengths)
        # Without the first token: BART begins its output with the end-of-text token.
        ended = (tokens[:, 1:] == self.model.generation_config.eos_token_id).any(1).tolist()
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        texts = [" ".join(text.split()) if done else "" for text, done in zip(texts, ended, strict=True)]
        return [texts[start : start + count] for start in range(0, len(texts), count)]


def fetch_seq2seq(checkpoint: Checkpoint, folder: Path) -> None:
    """Save a sequence-to-sequence model to `folder`."""
    label = f"params.yaml: adversarial.generator.seq2seq: {checkpoint.name} at {checkpoint.revision}"
    for part in load_model(SEQ2SEQ, checkpoint.name, checkpoint.revision, label, "auto"):
        part.save_pretrained(folder)


def open_generator(folder: Path) -> LanguageModel | Seq2Seq:
    """What the stage `generator` has put into `folder`."""
    return (Seq2Seq if read_json(folder / "config.json").get("is_encoder_decoder") else LanguageModel)(folder)


def generate_once(
    questions: Sequence[str], retry: int, generator: LanguageModel | Seq2Seq, sampling: Sampling, seed: int, run: Path
) -> list[list[str]]:
    """Candidates of one round; what a killed run has saved in `run` for these questions and this round is read."""
    path = run / f"round-{retry}" / f"{hashlib.sha256(json.dumps(questions).encode()).hexdigest()}.json"
    if not path.exists():
        write_json(path, generator.paraphrase(questions, sampling, retry, seed))
    return read_json(path)


def finished(text: str) -> str:
    """What stands before the closing quotation mark, on one line as questions are; empty without one."""
    text = " ".join(text.split())
    return text[: -len(CLOSING)].strip() if text.endswith(CLOSING) else ""


def stream_seed(seed: int, question: str, retry: int, number: int) -> int:
    """The seed of one candidate's random stream; independent of batch and order."""
    digest = hashlib.sha256(f"{seed} {retry} {number} {question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
