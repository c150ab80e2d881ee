"""What a run would cost here: time by kind of stage and in all, memory and disk. Nothing is written.

    python -m pipeline estimate --profile gpt2 --data ../shared/data --rows

The parameters, and what `prepare` says of the data, tell how many tokens each stage works through; short runs with a
model of the profile's size (of a large one, a few blocks and a part of the vocabulary) tell what a token costs.
"""

import argparse
import contextlib
import io
import json
import math
import resource
import shutil
import tempfile
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from timeit import repeat
from typing import Any

import torch
from dvc.repo import Repo
from pandas import DataFrame, Series, to_timedelta
from transformers import GPT2Config, GPT2LMHeadModel

from pipeline.augment.encoder import Encoder
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import PARAMS, parse
from pipeline.config.params import Params, load_params
from pipeline.config.tasks import Paraphrase
from pipeline.config.training import Lora, Training
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_p import top_p
from pipeline.errors import InputError
from pipeline.files import read_frame, read_json
from pipeline.models.adapters import add_adapter
from pipeline.models.backbone import GELU, load_backbone
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy, language_model
from pipeline.stages import download, prepare
from pipeline.stages.__main__ import MODELS
from pipeline.training.loop import Objective, Rows, train
from pipeline.training.predict import predict
from pipeline.training.run import BACKBONE

ON_GPU = torch.cuda.is_available()
now = time.perf_counter if ON_GPU else time.process_time  # others may use the CPU, too
LARGE, VOCABULARY = 16e6, 8000  # weights in the blocks of a model, and its tokens: more does not run here
TOKENS, VERSE, CLOZE = 1.2, 1.5, 17  # of a word, of a word in verse; of the prompt around a pair
SAMPLED = 64  # texts at once; fewer take as long
PASSES = {"r_drop": 1.8, "symmetric": 1.8, "simcse": 0.7, "simcse_joint": 1.6, "multitask": 2, "dora": 1.5, "mean": 1.3}
WEIGHTS = {"marian": 14, "nli": 64, "bleurt": 20}  # of models; the encoder's are 1
ANY = 0.3  # seconds of a stage beside its model
ASSUMED = f"""
Assumed: {TOKENS} tokens a word, {VERSE} in verse; poems as long as sonnets; all augmented pairs that fit; two
thirds of the questions of the search need every retry; NLI, BLEURT and Marian run as the sentence encoder does, by
their weights; {ANY} s a stage for all but its model; threads and stages side by side do not slow each other.
A model of a hub or package counts as GPT-2 124M; what a batch keeps for its backward pass is not in the memory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    profiles = sorted(path.stem for path in Path("profiles").glob("*.yaml"))
    parser.add_argument("--profile", choices=profiles, help="a file of profiles/ (default: params.yaml)")
    parser.add_argument("--data", type=Path, help="a folder in the course layout instead of the profile's data.path")
    parser.add_argument("--jobs", type=int, help="stages at once (default: as `make repro`)")
    parser.add_argument("--rows", action="store_true", help="a line for each stage")
    parser.add_argument("--check", type=Path, metavar="TIMES", help="compare with the times.tsv of a run")


def run(options: argparse.Namespace) -> None:
    """Count, measure, and print."""
    path = Path(f"profiles/{options.profile}.yaml") if options.profile else PARAMS
    params, cores = load_params(path), torch.get_num_threads()
    data = (options.data or Path(params.data.path)).absolute()
    if not data.is_dir():
        raise InputError(f"{path}: data.path {data} is no folder on this machine; name one with --data FOLDER")
    real, config = None, config_of(params)
    if options.check:
        times = read_frame(options.check, ["stage", "result", "seconds"], sep="\t")
        real = times[times["result"] == "done"].set_index("stage")["seconds"]
    values, quiet = parse(path) | {"data": {"path": str(data)}}, io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("dvc.yaml", folder)
        with contextlib.chdir(folder), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            PARAMS.write_text(json.dumps(values))  # JSON is YAML
            Path(".dvc").mkdir()
            stages = Repo(config={"core": {"no_scm": True}}).index.stages
            download.main()
            prepare.main()
            estimate = Estimate(params, read_json(prepare.METRICS), measure(params, config))
            costs = Series({stage.addressing: estimate.seconds(stage.addressing) for stage in stages}).sort_index()
    print(table(costs, real, options.rows).to_string())
    if real is None:
        threads, weights = min(params.compute.threads or cores, cores), weights_of(config)
        jobs = max(1, options.jobs or cores // (threads * params.compute.processes))
        took = timedelta(seconds=round(costs.sum() / jobs / (1 if ON_GPU else threads)))
        peak: float = torch.cuda.max_memory_allocated() or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak += 16 * weights  # of a large model: gradients and moments too, as only a part of it ran
        models = costs.index.str.match("backbone|generator|train_") + 2 * costs.index.str.match("train_sonnet")
        print(f"\nmake repro JOBS={jobs}: at least {took}, with {jobs} x {peak / 2**20:,.0f} MiB of memory or more")
        print(f"Disk: {8 * weights * models.sum() / 2**20:,.0f} MiB of models, half of it in DVC's cache\n{ASSUMED}")


def table(costs: Series, real: Series | None, every: bool) -> DataFrame:
    """By kind of stage, or by stage, and in all: time, or of stages that really ran the seconds of both."""
    both = {"Stages": 1, "seconds": costs} if real is None else {"Estimated s": costs, "Real s": real}
    sums = DataFrame(both).dropna()
    sums = sums if every else sums.groupby(lambda name: name.partition("@")[0]).sum()
    sums.loc["all"] = sums.sum()
    if real is not None:
        return sums.assign(Ratio=sums["Estimated s"] / sums["Real s"]).round(2)
    time_of = {"GPU time" if ON_GPU else "CPU time": to_timedelta(sums.pop("seconds").round(), unit="s")}
    return sums.astype(int).assign(**time_of)


def config_of(params: Params) -> GPT2Config:
    """A model of the profile's size; GPT-2 124M, the default of the class, stands for any model of the hub."""
    own, source = params.backbone.scratch, params.backbone.source
    if source == "path":
        return GPT2Config.from_dict(read_json(Path(params.backbone.path) / "config.json"))
    sizes = {"n_layer": own.layers, "n_embd": own.width, "n_head": own.heads, "vocab_size": own.vocab_size}
    sizes |= {"n_positions": own.context, "bos_token_id": 0, "eos_token_id": 0}
    return GPT2Config(**sizes if source == "scratch" else {})


def weights_of(config: GPT2Config) -> float:
    return 12 * config.n_layer * config.n_embd**2 + (config.vocab_size + config.n_positions) * config.n_embd


def measure(params: Params, whole: GPT2Config) -> dict[str, float]:
    """Seconds on one thread of a token in trainings and predictions, a step of SAMPLED texts, an encoder's sentence."""
    make_deterministic(params.seed, params.compute.model_copy(update={"threads": 1}))
    config = save_small(whole)
    scale, precision = weights_of(whole) / weights_of(config), params.compute.precision
    size, shortest = 32 if scale == 1 else 8, partial(repeat, number=1, repeat=3, timer=now)

    def texts(rows: int, tokens: int) -> list[list[int]]:
        return torch.randint(1, config.vocab_size, (rows, tokens)).tolist()

    build = partial(build_classifier, BACKBONE, 2, "last", 0.1, 0.1)
    lora = Lora(kind="lora", r=8, alpha=16, dropout=0.1, targets=["attention", "output", "mlp"], dora=False)
    loss = partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0))
    trainings: dict[str, tuple[Any, Objective, int, int]] = {
        "full": (build(), loss, size, 32),
        "head": (build(freeze=True), loss, size, 32),
        "adapter": (add_adapter(build(), lora, heads=["score"]), loss, size, 32),
        "language model": (load_backbone(BACKBONE, 0.1), language_model.loss, size // 4, 128),
    }
    prices = {}
    for kind, (model, objective, batch, tokens) in trainings.items():
        rows, clock = Rows(texts(8 * batch, tokens), labels=[0, 1] * 4 * batch), [now()]
        own = {"lr": 1e-4, "batch_size": batch, "evaluations_per_epoch": 1, "checkpoint_steps": 99}
        for epochs in (1, 3):
            settings = params.adversarial.generator.lm.model_copy(update=own | {"epochs": epochs})
            train(model, rows, objective, settings, Path("checkpoints", kind, str(epochs)), params.seed, precision)
            clock.append(now())
        prices[kind] = (clock[2] - 2 * clock[1] + clock[0]) / 16 / batch / tokens  # of the second run's other 16 steps
    prices["prediction"] = min(shortest(partial(predict, build(), texts(64, 32), precision))) / 64 / 32
    poems = load_backbone(BACKBONE).eval(), texts(1, 100) * SAMPLED, range(SAMPLED)
    write = partial(sample, *poems, partial(top_p, p=0.9, temperature=1))
    few, many = (Limits([0] * config.vocab_size, new_tokens=steps) for steps in (4, 16))
    prices["sampling"] = (min(shortest(partial(write, many))) - min(shortest(partial(write, few)))) / 12
    questions = [f"How do I repair the red engine of number {number}?" for number in range(64)]
    prices["encoder"] = min(shortest(partial(Encoder().embed, questions))) / 64 / scale
    return {kind: scale * seconds for kind, seconds in prices.items()}


def save_small(whole: GPT2Config) -> GPT2Config:
    """Save a model of random weights as BACKBONE: all of a small one, a few blocks and tokens of a large one."""
    config, most = copy(whole), max(2, int(LARGE / (12 * whole.n_embd**2)))
    config.bos_token_id = config.eos_token_id = config.pad_token_id = 0
    config.activation_function, config.initializer_range = GELU, 0.1  # so wide that next tokens are not all as likely
    if config.n_layer > most:
        config.n_layer, config.vocab_size = most, min(VOCABULARY, config.vocab_size)
    GPT2LMHeadModel(config).save_pretrained(BACKBONE)
    return config


@dataclass(frozen=True)
class Estimate:
    """Seconds of stages, from metrics/data.json and what `measure` gives; those with a model have a method each."""

    params: Params
    figures: Mapping[str, Any]
    prices: Mapping[str, float]

    def seconds(self, name: str) -> float:
        """Of a stage such as train_sonnet@lora."""
        kind, _, row = name.partition("@")
        if kind not in {*MODELS, "translate", "generate_sonnet_ensemble"}:
            return ANY
        if not hasattr(self, kind):
            raise InputError(f"dvc.yaml: {kind}: a stage with a model that pipeline/commands/estimate.py does not know")
        return ANY + getattr(self, kind)(row)

    def backbone(self, _: str) -> float:
        own = self.params.backbone
        return own.scratch.tokens * self.prices["language model"] if own.source == "scratch" else 0.0

    def generator(self, _: str) -> float:
        own, pairs = self.params.adversarial.generator, self.figures["paraphrase"]["train"]
        rows = 2 * pairs["label_1"] * pairs["rows"]  # both directions of the positive pairs
        return self._training(own.lm, "paraphrase", rows, "language model") if own.kind == "lm" else 0.0

    def translate(self, _: str) -> float:
        own, pairs, sentence = self.params.back_translation, self._rows("paraphrase"), self.prices["encoder"]
        marian = 2 * own.translator.marian.beams * WEIGHTS["marian"] * sentence
        known = {"memory": 0.0, "apertium": 1 / 300, "marian": marian}  # seconds of a round trip; else of requests
        text = known.get(own.translator.backend, 2 / own.translator.network.requests_per_second)
        texts = min(own.selection.pairs or pairs, pairs) * len(own.selection.sentences)
        return texts * (text + 2 * sentence) / len(own.shards)

    def adversarial_search(self, _: str) -> float:
        own, questions = self.params.adversarial, 2 * self._rows("paraphrase")
        asked = min(own.questions or questions, questions)
        texts = asked * own.sampling.candidates * (1 + own.sampling.retries * 2 / 3)
        judging = 1 + 2 * WEIGHTS.get(own.meaning.gate, 0) + 2 * WEIGHTS.get(own.surface.gate, 0)
        writing = self._sampling(texts, own.sampling.max_new_tokens)
        return (writing + judging * (texts + 3 * asked) * self.prices["encoder"]) / len(own.shards)

    def train_sentiment(self, row: str) -> float:
        own = self.params.sentiment.methods[row]
        seeds, rows = 1 + len(own.seeds), self._rows(own.dataset)
        kind = own.mode if isinstance(own.mode, str) else "adapter"
        return seeds * (self._training(own, own.dataset, rows, kind) + self._predictions(own, own.dataset))

    def train_first_stage(self, row: str) -> float:
        return self._pairs(self.params.paraphrase.first_stages[row])

    def train_paraphrase(self, row: str) -> float:
        own = self.params.paraphrase.methods[row]
        predictions = self._predictions(own, "paraphrase", "dev")  # dev swapped, too
        return (1 + len(own.seeds)) * (self._pairs(own) + predictions * (2 if own.orders == "both" else 1))

    def _pairs(self, own: Paraphrase) -> float:
        corpus, made = "etpc" if own.train == "prepared/etpc" else "paraphrase", Path(own.train).name
        share = self.params.training_sets[made].share if made in self.params.training_sets else 0.0
        rows = self._rows(corpus) / (1 - share) + sum(map(self._rows, own.tasks))
        passes = PASSES.get(own.objective, 1) * PASSES.get(str(own.adapter or own.pooling), 1)
        passes *= 2 if own.options.get("text") == "prompt" else 1  # SimCSE, which else reads single questions
        return passes * self._training(own, corpus, rows, "adapter" if own.adapter else "full")

    def train_sonnet(self, row: str) -> float:
        own = self.params.sonnet.methods[row]
        poems = self._sampling(own.select_draws * self._rows("sonnets", "select"), self._tokens("sonnets"))
        poems *= own.epochs * own.evaluations_per_epoch
        return poems + self._training(own, "sonnets", self._rows("sonnets"), "language model")

    def generate_sonnets(self, row: str) -> float:
        own, longest = self.params.sonnet.system(row).model_dump(), self._tokens("sonnets")
        texts = own.get("draws", 1) * self._rows("sonnets", "dev") + self._rows("sonnets", "test", "select")
        texts *= sum(own.get(name, 0) for name in ("samples", "candidates", "beams", "k")) or 1  # for each poem
        texts *= len(models) if isinstance(models := own.get("model", {}), dict) else 1  # 0: it chooses among poems
        return self._sampling(texts, min(own.get("max_new_tokens") or longest, longest))

    generate_sonnet_ensemble = generate_sonnets

    def _rows(self, corpus: str, *splits: str) -> int:
        return sum(self.figures[corpus][split]["rows"] for split in splits or ["train"])

    def _tokens(self, corpus: str, longest: float = math.inf) -> float:
        """Of a text, or of the prompt with a pair."""
        words = self.figures[corpus]["train"]["mean_words"]
        single = {"sst": TOKENS * words, "cfimdb": TOKENS * words, "sonnets": VERSE * words}
        return min(longest, single.get(corpus, 2 * TOKENS * words + CLOZE))

    def _training(self, own: Training, corpus: str, rows: float, kind: str) -> float:
        return own.steps(round(rows)) * own.batch_size * self._tokens(corpus, own.max_length) * self.prices[kind]

    def _predictions(self, own: Training, corpus: str, *more: str) -> float:
        """Seconds of those during a training, and after it."""
        texts = own.epochs * own.evaluations_per_epoch * self._rows(corpus, "select")
        texts += self._rows(corpus, "select", "dev", "test", *more)
        return texts * self._tokens(corpus, own.max_length) * self.prices["prediction"]

    def _sampling(self, texts: float, steps: float) -> float:
        return steps * max(1.0, texts / SAMPLED) * self.prices["sampling"]
