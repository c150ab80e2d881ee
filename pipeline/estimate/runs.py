"""Short runs of the project's own training loop, prediction and decoders on random tokens, timed step by step."""

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
from transformers.utils import logging

from pipeline.config.training import Lora, Prefix
from pipeline.decoding.beam_search import BeamSearch, beam_search
from pipeline.decoding.contrastive_decoding import contrastive_decoding
from pipeline.decoding.contrastive_search import ContrastiveSearch, contrastive_search
from pipeline.decoding.sampling import sample
from pipeline.decoding.top_p import top_p
from pipeline.estimate.model import Model
from pipeline.models.adapters import add_adapter
from pipeline.models.backbone import GELU
from pipeline.models.classifier import GPT2Classifier
from pipeline.models.mtan import MtanClassifier
from pipeline.objectives import language_model
from pipeline.training.loop import Plan, Rows, train
from pipeline.training.predict import predict

LORA = Lora(kind="lora", r=8, alpha=16, dropout=0.1, targets=["c_attn", "c_proj", "c_fc"], dora=False)
PROMPT = 96  # tokens that a decoder has before it: the middle of a sonnet
STEPS = 12  # timed at most
WEIGHTS = 16_000_000  # in blocks: of a larger model, some blocks and a part of the vocabulary stand for all
VOCABULARY = 8_000  # of a larger model: the optimiser would spend most of the time on embeddings


class _Enough(Exception):
    """Ends a run."""


@dataclass(frozen=True)
class Bench:
    """A model of the profile's size, or its first blocks, and a clock."""

    model: Model
    precision: str
    clock: Callable[[], float]
    budget: float  # seconds of one run

    @property
    def small(self) -> Model:
        """What is run."""
        layers = max(1, WEIGHTS // self.model.block)
        if layers >= self.model.layers:
            return self.model
        return replace(self.model, layers=layers, vocabulary=min(self.model.vocabulary, VOCABULARY))

    def config(self, dropout: float) -> GPT2Config:
        """Random weights, spread so that next tokens are not all as likely."""
        model = self.small
        config = GPT2Config(
            vocab_size=model.vocabulary,
            n_positions=model.context,
            n_embd=model.width,
            n_layer=model.layers,
            n_head=model.heads,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            activation_function=GELU,
            initializer_range=0.1,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
        config.num_labels, config.pooling, config.head_dropout, config.freeze_backbone = 2, "last", 0.0, False
        config.tasks, config.classes = ["one", "two", "three"], [2, 2, 5]
        return config

    def classifier(self, kind: str) -> PreTrainedModel:
        """What a step of `train.<kind>` trains."""
        config = self.config(0.0 if kind == "still" else 0.1)
        config.freeze_backbone = kind == "frozen"
        if kind == "tasks":
            return MtanClassifier(config).train()
        model = GPT2Classifier(config).train()
        if kind in ("lora", "dora"):
            return cast(
                PreTrainedModel, add_adapter(model, LORA.model_copy(update={"dora": kind == "dora"}), ["score"])
            )
        return model

    def language(self, kind: str) -> PreTrainedModel:
        """What a step of `language.<kind>` trains."""
        model = GPT2LMHeadModel(self.config(0.0 if kind == "still" else 0.1)).train()
        if kind == "lora":
            return cast(PreTrainedModel, add_adapter(model, LORA.model_copy(update={"targets": ["c_attn"]})))
        if kind == "prefix":
            return cast(PreTrainedModel, add_adapter(model, Prefix(kind="prefix", tokens=10, projection=True)))
        return model

    def ids(self, rows: int, tokens: int) -> list[list[int]]:
        """Random texts of one length."""
        return torch.randint(1, self.small.vocabulary, (rows, min(tokens, self.small.context))).tolist()

    def training_step(self, kind: str, rows: int, tokens: int, family: str) -> tuple[float, float]:
        """Seconds of a step in the training loop, and of everything before the first one."""
        data = self.ids(rows * STEPS, tokens)
        given = Rows(data) if family == "language" else Rows(data, labels=[0, 1] * (len(data) // 2))
        clocked = _Clocked(given, rows, self)

        def loss(model: Any, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ANN401 - as Objective
            if family == "language":
                return language_model.loss(model, batch)
            return torch.nn.functional.cross_entropy(model(batch["input_ids"], batch["lengths"]), batch["labels"]), {}

        begin = self.clock()
        model = self.language(kind) if family == "language" else self.classifier(kind)
        plan = Plan(1e-4, 10 * STEPS, rows, 0.1, "linear", 0.01, 1.0, 10**6, 1000, self.precision, 1)
        with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(_Enough), quiet():
            train(model, clocked, loss, plan, Path(scratch))
        starts = clocked.starts
        return middle(starts[2:]), starts[0] - begin

    def prediction(self, rows: int, tokens: int) -> float:
        """Seconds of one batch."""
        model, data = self.classifier("still"), self.ids(rows, tokens)
        predict(model, data[:1], self.precision)
        return self.repeated(lambda: predict(model, data, self.precision))

    def decoding(self, decoder: str, rows: int) -> float:
        """Seconds of a step with so many texts in the batch."""
        model = GPT2LMHeadModel(self.config(0.0)).eval().to("cuda" if torch.cuda.is_available() else "cpu")
        none = torch.zeros(self.small.vocabulary, dtype=torch.int64)
        starts: list[float] = []

        def tick(logits: Tensor, texts: Sequence[list[int]]) -> Tensor:
            if logits.is_cuda:
                torch.cuda.synchronize()
            logits[:, 0] = -torch.inf  # no text may end
            starts.append(self.clock())
            if len(starts) > STEPS or (len(starts) > 4 and starts[-1] - starts[2] > self.budget):
                raise _Enough
            return logits

        def choose(logits: Tensor, uniforms: Tensor) -> Tensor:
            tick(logits, [])
            return top_p(logits, uniforms, 0.9, 1.0)

        prompts = self.ids(1, PROMPT)
        with contextlib.suppress(_Enough):
            if decoder == "sample":
                sample(model, prompts * rows, range(rows), choose, none, 99)
            elif decoder == "beam_search":
                beam_search(model, self.ids(rows // 5, PROMPT), BeamSearch(5, 0.6, 3), none, 99, tick)
            elif decoder == "contrastive_search":
                options = ContrastiveSearch(4, 0.6, no_repeat_ngram=3)
                contrastive_search(model, self.ids(rows // 4, PROMPT), options, none, 99, tick)
            else:
                contrastive_decoding(model, model, self.ids(rows, PROMPT), 0.1, 3, none, 99, tick)
        return middle(starts[2:])

    def repeated(self, work: Callable[[], object]) -> float:
        """Seconds of a call: the median of a few."""
        starts = [self.clock()]
        while len(starts) < 3 or (len(starts) < STEPS and starts[-1] - starts[0] < self.budget):
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            starts.append(self.clock())
        return middle(starts)


class _Clocked(Rows):
    """Rows that note when each batch is asked for. The loop fetches the second one before its first step."""

    def __init__(self, given: Rows, size: int, bench: Bench) -> None:
        self.rows, self.size, self.bench = given.rows, size, bench
        self.asked, self.starts = 0, list[float]()

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.asked % self.size == 0:
            self._start()
        self.asked += 1
        return super().__getitem__(index)

    def _start(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.starts.append(self.bench.clock())
        if len(self.starts) > 1 + STEPS or (
            len(self.starts) > 3 and self.starts[-1] - self.starts[2] > self.bench.budget
        ):
            raise _Enough


def middle(starts: Sequence[float]) -> float:
    """The median time between two of them."""
    return statistics.median(later - earlier for earlier, later in zip(starts, starts[1:], strict=False))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars."""
    logging.set_verbosity_error()
    with contextlib.redirect_stderr(io.StringIO()):
        yield
