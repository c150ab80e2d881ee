"""What a run would cost here: time by kind of stage and in all, memory and disk. Nothing is written.

    python -m pipeline estimate --profile gpt2 --data ../shared/data --rows

What `prepare` says of the data and the parameters tell how many tokens of each kind a stage works through; a short
training, prediction and sampling with a model of the profile's size tell what a token costs. A large model is measured
with two of its blocks and a part of its vocabulary.
"""

import argparse
import contextlib
import io
import math
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from copy import copy
from datetime import timedelta
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from dvc.repo import Repo
from dvc.stage import Stage
from pandas import DataFrame, Series, read_csv
from ruamel.yaml import YAML
from transformers.modeling_utils import PreTrainedModel
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.augment.encoder import Encoder
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import PARAMS, parse
from pipeline.config.data import Backbone
from pipeline.config.params import Params, load_params
from pipeline.config.sonnet import Sonnet
from pipeline.config.tasks import Paraphrase, Sentiment
from pipeline.config.training import Lora, Training
from pipeline.decoding.sampling import sample
from pipeline.decoding.top_p import top_p
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.models.adapters import add_adapter
from pipeline.models.backbone import GELU, load_backbone
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy, language_model
from pipeline.stages import download, prepare
from pipeline.training.loop import Objective, Rows, train
from pipeline.training.predict import predict
from pipeline.training.run import BACKBONE

LARGE, VOCABULARY = 16e6, 8000  # weights in the blocks of a model, and its tokens: more is not measured
SIZES = ("n_layer", "n_embd", "n_head", "vocab_size", "n_positions")
HUB = {"distilgpt2": (6, 768), "gpt2": (12, 768), "gpt2-medium": (24, 1024), "gpt2-large": (36, 1280)}  # layers, width
TOKENS, VERSE, CLOZE = 1.2, 1.5, 17  # of a word, of a word in verse; of the prompt around a pair
LONGER = 1.25  # the longest poem of a batch, of the mean: so long its steps go on
SAMPLED = 64  # texts at once; fewer take as long
PASSES = {"r_drop": 2, "symmetric": 2, "simcse_supervised": 1.5, "simcse_joint": 2, "multitask": 1.5, "dora": 1.5}
BAN, CHOICE = 8e-5, 0.01  # seconds to constrain a token, to weigh a candidate in MBR
PRICES = {"marian": 14, "nli": 64, "bleurt": 20}  # of a sentence, by the weights of the model; the encoder's is 1
ANY = 0.3  # seconds of a stage beside its model
WITHOUT_MODEL = (
    "adversarial back_translate code download ensemble evaluate_ensemble evaluate_floors evaluate_paraphrase "
    "evaluate_sentiment evaluate_sonnets plots_page prepare report training_set"
).split()
ASSUMED = f"""
Assumed: {TOKENS} tokens a word, {VERSE} in verse; poems end where sonnets do; training sets get all pairs that their
share allows; two thirds of the questions of the search need every retry; NLI, BLEURT and Marian run as the sentence
encoder does, by their weights, Apertium makes 300 round trips a second; {ANY} s a stage for all but its model; threads
and stages at the same time do not slow each other."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The profile, its data, and how much is shown."""
    profiles = sorted(path.stem for path in Path("profiles").glob("*.yaml"))
    parser.add_argument("--profile", choices=profiles, help="a file of profiles/ (default: params.yaml)")
    parser.add_argument("--data", type=Path, help="a folder in the course layout instead of the profile's data.path")
    parser.add_argument("--jobs", type=int, help="stages at once (default: as `make repro`)")
    parser.add_argument("--rows", action="store_true", help="a line for each stage")
    parser.add_argument("--check", type=Path, metavar="TIMES", help="compare with the CPU seconds of a run's times.tsv")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Count, measure, and print."""
    path = Path(f"profiles/{options.profile}.yaml") if options.profile else PARAMS
    params, cores = load_params(path), torch.get_num_threads()
    data = (options.data or Path(params.data.path)).absolute()
    if not data.is_dir():
        raise InputError(f"{path}: data.path {data} is no folder on this machine; name one with --data FOLDER")
    start = {**parse(path)["backbone"], "path": str(Path(params.backbone.path).absolute())}
    values = {**parse(path), "data": {"path": str(data)}, "backbone": start}
    real = measured(options.check) if options.check else None
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("dvc.yaml", folder)
        quiet = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            YAML(typ="safe").dump(values, PARAMS)
            Path(".dvc").mkdir()
            graph = Repo(config={"core": {"no_scm": True}}).index.graph
            download.main([])
            prepare.main([])
            params, config = load_params(), new_config(params.backbone)
            prices, missing = measure(params, config)
            estimate = Estimate(params, read_json(prepare.METRICS), prices)
            costs = Series({stage.addressing: estimate.seconds(stage.addressing) for stage in graph}).sort_index()
    print(table(costs, real, options.rows).to_string())
    if real is not None:
        return
    threads, gpu = min(params.compute.threads or cores, cores), torch.cuda.is_available()
    jobs = max(1, options.jobs or cores // (threads * params.compute.processes))
    print(f"\nmake repro JOBS={jobs}: at least {shown(side_by_side(graph, costs, jobs) / (1 if gpu else threads))}")
    peak = torch.cuda.max_memory_allocated() or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"Memory: {jobs} x {(peak + 16 * missing) / 2**20:,.0f} MiB at most")  # weight, gradient, two moments
    models = costs.index.str.match("backbone|generator|train_") + 2 * costs.index.str.match("train_sonnet")
    print(f"Disk: {8 * weights_of(config) * models.sum() / 2**20:,.0f} MiB of models, half of it in DVC's cache")
    print(ASSUMED)


def side_by_side(graph: Any, costs: Series, jobs: int) -> float:  # noqa: ANN401 - a graph of networkx
    """Seconds at least: all work shared evenly, or the longest path of stages that wait for each other."""

    @cache
    def end(stage: Stage) -> float:
        return costs[stage.addressing] + max(map(end, graph.successors(stage)), default=0.0)

    return max(costs.sum() / jobs, *map(end, graph))


def measured(path: Path) -> Series:
    """CPU seconds of each stage that ran to its end; seconds where the run did not note them."""
    times = read_csv(path, sep="\t")
    column = next((name for name in ("command_cpu_s", "seconds") if name in times), None)
    if column is None or not {"stage", "result"} <= set(times):
        wanted = "stage, result and command_cpu_s or seconds"
        raise InputError(f"{path}: expected the columns {wanted}, as `make repro` writes them")
    return times[times["result"] == "done"].set_index("stage")[column]


def table(costs: Series, real: Series | None, every: bool) -> DataFrame:
    """By kind of stage, or by stage, and in all: time, or of stages that really ran the times of both."""
    sums = DataFrame({"Stages": 1, "seconds": costs, "real": 0 if real is None else real}).dropna()
    sums = sums if every else sums.groupby(lambda name: name.partition("@")[0]).sum()
    sums.loc["all"] = sums.sum()
    both = {"Estimated CPU s": sums["seconds"], "Real CPU s": sums["real"], "Ratio": sums["seconds"] / sums["real"]}
    time_of = "GPU time" if torch.cuda.is_available() else "CPU time"
    columns = {time_of: sums["seconds"].map(shown)} if real is None else both
    return DataFrame({"Stages": sums["Stages"].astype(int), **columns}).round(2)


def shown(seconds: float) -> str:
    """0:03:20, or with days."""
    return str(timedelta(seconds=round(seconds + 0.5)))


class Clocked(Rows):
    """Rows that note when each was asked for, which is once a step."""

    def __init__(self, *columns: Any, **more: Any) -> None:  # noqa: ANN401 - of Rows
        super().__init__(*columns, **more)
        self.times: list[float] = []

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.times.append(now())
        return super().__getitem__(index)


def now() -> float:
    """Seconds of work, as others may use the CPU too; on a GPU seconds that have passed."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def shortest(work: Callable[[], object]) -> float:
    """Seconds, of three times."""
    times = []
    for _ in range(3):
        start = now()
        work()
        times.append(now() - start)
    return min(times)


def measure(params: Params, config: GPT2Config) -> tuple[dict[str, float], float]:
    """Seconds of each kind of work on one thread, and how many weights of the model were left out.

    Of the trainings and of a prediction for a token; of sampling for a step of SAMPLED texts; of the encoder for a
    sentence.
    """
    make_deterministic(params.seed, params.compute.model_copy(update={"threads": 1}))
    precision, weights, block = params.compute.precision, weights_of(config), 12 * config.n_embd**2
    if large := config.n_layer * block > LARGE:
        config = copy(config)
        config.n_layer, config.vocab_size = max(2, int(LARGE // block)), min(VOCABULARY, config.vocab_size)
    scale = weights / weights_of(config)
    GPT2LMHeadModel(config).save_pretrained(BACKBONE)

    def texts(rows: int, tokens: int) -> list[list[int]]:
        return torch.randint(1, config.vocab_size, (rows, tokens)).tolist()

    def training(model: PreTrainedModel, loss: Objective, batch: int, tokens: int) -> float:
        rows = Clocked(texts(8 * batch, tokens), labels=[0, 1] * 4 * batch)
        own = params.adversarial.generator.lm.model_copy(
            update={"lr": 1e-4, "epochs": 1, "batch_size": batch, "evaluations_per_epoch": 1, "checkpoint_steps": 99}
        )
        train(model, rows, loss, own, Path("checkpoints"), params.seed, precision)
        shutil.rmtree("checkpoints")
        starts = rows.times[2 * batch :: batch]  # two batches are fetched before the first step
        return min(end - start for start, end in pairwise(starts)) / (batch * tokens)

    build = partial(build_classifier, BACKBONE, 2, "last", 0.1, 0.1)
    lora = Lora(kind="lora", r=8, alpha=16, dropout=0.1, targets=["c_attn", "c_proj", "c_fc"], dora=False)
    classifiers = {"full": build(), "head": build(freeze=True), "adapter": add_adapter(build(), lora, heads=["score"])}
    cross = partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0))
    batch = 8 if large else 32
    prices = {kind: training(model, cross, batch, 32) for kind, model in classifiers.items()}
    prices["language model"] = training(load_backbone(BACKBONE, 0.1), language_model.loss, batch // 4, 128)
    prices["prediction"] = shortest(partial(predict, build(), texts(64, 32), precision)) / 64 / 32
    choose, none = partial(top_p, p=0.9, temperature=1.0), torch.zeros(config.vocab_size, dtype=torch.int64)
    write = partial(sample, load_backbone(BACKBONE).eval(), texts(1, 100) * SAMPLED, range(SAMPLED), choose, none, 99)
    prices["sampling"] = (shortest(partial(write, 16)) - shortest(partial(write, 4))) / 12
    prices = {kind: scale * seconds for kind, seconds in prices.items()}
    questions = [f"How do I repair the red engine of number {number}?" for number in range(64)]
    prices["encoder"] = shortest(partial(Encoder().embed, questions)) / 64
    return prices, weights - weights_of(config)


class Estimate:
    """How much work each stage does, at these prices."""

    def __init__(self, params: Params, figures: Mapping[str, Any], prices: Mapping[str, float]) -> None:
        self.params, self.figures, self.prices = params, figures, prices
        self.poem, prompt = (VERSE * figures["sonnets"][split]["mean_words"] for split in ("train", "test"))
        self.new_tokens = LONGER * (self.poem - prompt)

    def rows(self, corpus: str, *splits: str) -> int:
        return sum(self.figures[corpus][split]["rows"] for split in splits)

    def tokens(self, corpus: str, longest: int) -> float:
        """Of a text, or of the prompt with a pair."""
        words = TOKENS * self.figures[corpus]["train"]["mean_words"]
        return min(longest, words if corpus in ("sst", "cfimdb") else 2 * words + CLOZE)

    def training(self, own: Training, rows: float, tokens: float, kind: str) -> tuple[float, int]:
        """Seconds of a training, and how often it evaluates."""
        steps = own.steps(round(rows))
        seconds = steps * own.batch_size * tokens * self.prices[kind]
        return seconds, math.ceil(steps / own.evaluate_steps(round(rows)))

    def sampling(self, texts: int, steps: float) -> float:
        return steps * max(1.0, texts / SAMPLED) * self.prices["sampling"]

    def seconds(self, name: str) -> float:
        """Of a stage such as train_sonnet@lora."""
        kind, _, row = name.partition("@")
        works = {
            "backbone": self.backbone,
            "generator": self.generator,
            "translate": self.translate,
            "adversarial_search": self.search,
            "train_sentiment": lambda: self.sentiment(self.params.sentiment.methods[row]),
            "train_first_stage": lambda: self.pairs(self.params.paraphrase.first_stages[row])[0],
            "train_paraphrase": lambda: self.paraphrase(self.params.paraphrase.methods[row]),
            "train_sonnet": lambda: self.sonnet(self.params.sonnet.methods[row]),
            "generate_sonnets": lambda: self.system(self.params.sonnet.system(row).model_dump()),
        }
        if kind not in works and kind not in WITHOUT_MODEL:
            raise InputError(f"dvc.yaml: {kind}: a kind of stage that pipeline/commands/estimate.py does not have yet")
        return ANY + (works[kind]() if kind in works else 0.0)

    def backbone(self) -> float:
        own = self.params.backbone
        return own.scratch.tokens * self.prices["language model"] if own.source == "scratch" else 0.0

    def generator(self) -> float:
        own, train = self.params.adversarial.generator, self.figures["paraphrase"]["train"]
        rows = 2 * train["label_1"] * train["rows"]  # both directions of the positive pairs
        found = self.training(own.lm, rows, self.tokens("paraphrase", own.lm.max_length), "language model")
        return found[0] if own.kind == "lm" else 0.0

    def translate(self) -> float:
        own, pairs = self.params.back_translation, self.rows("paraphrase", "train")
        texts = min(own.selection.pairs or pairs, pairs) * len(own.selection.sentences)
        each = {
            "memory": 0.0,
            "apertium": 1 / 300,
            "marian": 2 * own.translator.marian.beams * PRICES["marian"] * self.prices["encoder"],
        }.get(own.translator.backend, 2 / own.translator.network.requests_per_second)
        similarity = 2 * self.prices["encoder"] if own.checks.similarity is not None else 0.0
        return texts * (each + similarity) / len(own.shards)

    def search(self) -> float:
        own, both = self.params.adversarial, 2 * self.rows("paraphrase", "train")
        asked = min(own.questions or both, both)
        texts = asked * own.sampling.candidates * (1 + own.sampling.retries * 2 / 3)
        gates = 1 + 2 * PRICES.get(own.meaning.gate, 0) + 2 * PRICES.get(own.surface.gate, 0)
        judged = gates * (texts + 3 * asked) * self.prices["encoder"]
        return (texts / SAMPLED * self.sampling(SAMPLED, own.sampling.max_new_tokens) + judged) / len(own.shards)

    def sentiment(self, own: Sentiment) -> float:
        corpus, tokens = own.dataset, self.tokens(own.dataset, own.max_length)
        seconds, evaluations = self.training(own, self.rows(corpus, "train"), tokens, own.mode)
        texts = evaluations * self.rows(corpus, "select") + self.rows(corpus, "select", "dev", "test")
        return seconds + texts * tokens * self.prices["prediction"]

    def pairs(self, own: Paraphrase) -> tuple[float, int]:
        """Seconds of a training with pairs, and how often it evaluates."""
        made = self.params.training_sets.get(own.train.rpartition("/")[2])
        corpus = "etpc" if own.train == "prepared/etpc" else "paraphrase"
        rows = self.rows(corpus, "train") / (1 - (made.share if made else 0))
        rows += sum(self.rows(task, "train") for task in own.tasks)
        passes = PASSES.get(own.objective, 1) * PASSES.get(own.adapter or "", 1)
        passes *= 2 if own.options.get("text") == "prompt" else 1  # of SimCSE, which else reads single questions
        kind = "adapter" if own.adapter else "full"
        seconds, evaluations = self.training(own, rows, self.tokens(corpus, own.max_length), kind)
        return passes * seconds, evaluations

    def paraphrase(self, own: Paraphrase) -> float:
        seconds, evaluations = self.pairs(own)
        runs, orders = 1 + len(own.seeds), 2 if own.orders == "both" else 1
        texts = orders * (evaluations * runs + 1) * self.rows("paraphrase", "select")
        texts += (2 * runs + orders) * self.rows("paraphrase", "dev") + orders * self.rows("ap_h", "dev")  # test as dev
        return runs * seconds + texts * self.tokens("paraphrase", own.max_length) * self.prices["prediction"]

    def sonnet(self, own: Sonnet) -> float:
        tokens = min(self.poem, own.max_length)
        seconds, evaluations = self.training(own, self.rows("sonnets", "train"), tokens, "language model")
        texts = self.rows("sonnets", "select") * own.select_draws
        return seconds + evaluations * self.sampling(texts, self.new_tokens)

    def system(self, own: Mapping[str, Any]) -> float:
        """Of poems on dev, and of one draw on test."""
        steps = min(own["max_new_tokens"] or self.new_tokens, self.new_tokens)
        width = sum(own.get(name, 0) for name in ("samples", "candidates", "beams", "k")) or 1
        poems = own.get("draws", 1) * self.rows("sonnets", "dev") + self.rows("sonnets", "test")
        choosing = steps * BAN * own["exact_lines"] + CHOICE * ("mbr" in own["decoder"])
        scoring = self.poem * self.prices["prediction"]
        return self.sampling(poems * width, steps) + poems * (width * choosing + scoring)


def new_config(backbone: Backbone) -> GPT2Config:
    """The size of the profile's model; its random weights are spread so that next tokens are not all as likely."""
    own, name = backbone.scratch, backbone.hub.name.rpartition("/")[2]
    sizes = [own.layers, own.width, own.heads, own.vocab_size, own.context]
    if backbone.source == "path":
        values = read_json(Path(backbone.path) / "config.json")
        sizes = [values[size] for size in SIZES]
    elif backbone.source == "hub":
        if name not in HUB:
            raise InputError(f"backbone.hub.name: the size of {name} is not known here; known are {', '.join(HUB)}")
        layers, width = HUB[name]
        sizes = [layers, width, width // 64, 50257, 1024]
    named = dict(zip(SIZES, sizes, strict=True)) | dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    return GPT2Config(**named, activation_function=GELU, initializer_range=0.1)


def weights_of(config: GPT2Config) -> float:
    return 12 * config.n_layer * config.n_embd**2 + (config.vocab_size + config.n_positions) * config.n_embd
