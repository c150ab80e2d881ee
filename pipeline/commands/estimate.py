"""What a run would cost here: time by kind of stage and in all, memory and disk. Nothing is written.

    python -m pipeline estimate
    python -m pipeline estimate --profile gpt2 --data ../shared/data --rows

DVC's graph, the parameters and what `prepare` says of the data tell how often each kind of work is done. One step of
each is timed here: the project's own code, with a model of the profile's size, on random tokens of typical length. Of a
model with more than WEIGHTS in its blocks, some blocks, a part of the vocabulary and ROWS rows of a batch stand for all.
"""

import argparse
import contextlib
import io
import math
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Hashable
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from dvc.repo import Repo
from networkx import DiGraph, topological_sort
from pandas import DataFrame, Series, read_csv
from ruamel.yaml import YAML
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.augment.encoder import Encoder
from pipeline.config.base import PARAMS, load_block, load_row, read_params
from pipeline.config.objective import check_options, load_objective
from pipeline.config.paraphrase import Paraphrase, load_paraphrase
from pipeline.config.sentiment import NUM_LABELS, Sentiment
from pipeline.config.sonnet import Sonnet, load_system
from pipeline.config.training import Compute, Training
from pipeline.decoding.sampling import ROWS_PER_BATCH, sample
from pipeline.decoding.top_p import top_p
from pipeline.determinism import make_deterministic
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.jobs.cores import default_jobs  # for the integrator: this will be in pipeline.parallel
from pipeline.models.backbone import GELU
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy, language_model
from pipeline.pair_classifier import new_classifier
from pipeline.predict import predict
from pipeline.stages import download, prepare
from pipeline.stages.train_sonnet import BACKBONE, language_model_of
from pipeline.training import Plan, Rows, train

STEPS = 6  # of a training: the second to the fourth are timed
WEIGHTS, VOCABULARY, ROWS = 16_000_000, 8_000, 8
HUB = {"distilgpt2": (6, 768), "gpt2": (12, 768), "gpt2-medium": (24, 1024), "gpt2-large": (36, 1280)}  # layers, width
TOKENS, POEM_TOKENS, CLOZE = 1.2, 1.5, 17  # of a word, of a word in verse; of the prompt around a pair
LONGER = 1.25  # the longest poem of a batch, of the mean: so long its steps go on
BAN, CHOICE = 8e-5, 0.01  # seconds to constrain a token, to weigh a candidate in MBR
PRICES = {"marian": 14, "nli": 64, "bleurt": 20}  # of a sentence, by weights, if the sentence encoder's is 1
APERTIUM = 300  # round trips a second
# Seconds of the stages that run no model, from a run of the sample; on larger data they do not take minutes either.
PLAIN = {"code": 1.2, "ensemble": 0.7, "evaluate_sonnets": 0.5, "plots_page": 1.7, "report": 7.0}
PLAIN |= dict.fromkeys(["adversarial", "back_translate", "evaluate_ensemble", "evaluate_floors"], 0.15)
PLAIN |= dict.fromkeys(["evaluate_paraphrase", "evaluate_sentiment", "training_set"], 0.1)
ASSUMED = f"""
Assumed: {TOKENS} tokens a word, {POEM_TOKENS} in verse; poems end where sonnets do; training sets get all pairs that their share
allows; two thirds of the questions of the search need every retry; NLI, BLEURT and Marian run as the sentence encoder
does, by their weights, Apertium with {APERTIUM} round trips a second; stages without a model take what they take in the
sample; stages at the same time do not slow each other. Disk: once in the workspace and once in DVC's cache."""


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
    params, compute = read_params(path), load_block("compute", Compute, path)
    data = Path(options.data or params["data"]["path"])
    if not data.is_dir():
        raise InputError(f"{path}: data.path {data} is no folder on this machine; name one with --data FOLDER")
    params["data"]["path"] = str(data.absolute())
    real, jobs = measured(options.check) if options.check else None, max(1, options.jobs or default_jobs(compute))
    start = str(Path(params["backbone"]["path"]).absolute())
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("dvc.yaml", folder)
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            YAML(typ="safe").dump(params, PARAMS)
            Path(".dvc").mkdir()
            graph = Repo(config={"core": {"no_scm": True}}).index.graph
            bench = Bench(compute, jobs, start, cpu=real is not None)
            names = sorted(stage.addressing for stage in graph)
            costs = Series({name: bench.seconds(name) for name in names})
            disk = Series({name: bench.disk_mib(name) for name in names})
            bench.factor = 10
            more = Series({name: bench.seconds(name) for name in names})
    print(table(costs, disk, real, options.rows).to_string())
    if real is None:
        memory = f"{jobs} x {bench.memory_mib():,.0f} MiB of memory at most"
        print(f"\nmake repro JOBS={jobs}: at least {shown(side_by_side(graph, costs, jobs))}, {memory}")
        print(f"10 times the training rows: {shown(side_by_side(graph, more, jobs))}\n{ASSUMED}")


def side_by_side(graph: DiGraph, costs: Series, jobs: int) -> float:
    """Seconds at least: all work shared evenly, or the longest path of stages that wait for each other."""
    ends: dict[Any, float] = {}
    for stage in reversed(list(topological_sort(graph))):
        ends[stage] = costs[stage.addressing] + max((ends[need] for need in graph.successors(stage)), default=0.0)
    return max(costs.sum() / jobs, *ends.values())


def measured(path: Path) -> Series:
    """CPU seconds of each stage that ran to its end; seconds where the run did not note them."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; `make repro` writes .dvc/tmp/jobs/times.tsv")
    times = read_csv(path, sep="\t")
    column = next((name for name in ("command_cpu_s", "seconds") if name in times), None)
    if column is None or "stage" not in times:
        raise InputError(
            f"{path}: expected the columns stage and command_cpu_s or seconds, as `make repro` writes them"
        )
    return (times[times["result"] == "done"] if "result" in times else times).set_index("stage")[column]


def table(costs: Series, disk: Series, real: Series | None, every: bool) -> DataFrame:
    """By kind of stage, or by stage, and in all: time and disk; of stages that really ran, the times of both."""
    sums = DataFrame({"Stages": 1, "seconds": costs, "disk": disk, "real": 0 if real is None else real}).dropna()
    sums = sums if every else sums.groupby(lambda name: name.partition("@")[0]).sum()
    sums.loc["all"] = sums.sum()
    columns = {"Time": sums["seconds"].map(shown), "Disk": sums["disk"].map("{:,.0f} MiB".format)}
    if real is not None:
        ratio = sums["seconds"] / sums["real"]
        columns = {
            "Estimated CPU s": sums["seconds"].round(1),
            "Real CPU s": sums["real"].round(1),
            "Ratio": ratio.round(2),
        }
    return DataFrame({"Stages": sums["Stages"].astype(int), **columns})


def shown(seconds: float) -> str:
    """0:03:20, or with days."""
    return str(timedelta(seconds=math.ceil(seconds)))


class Bench:
    """A copy of the project in the working folder, and what was timed there. Methods named as stages: their seconds."""

    def __init__(self, compute: Compute, jobs: int, start: str, cpu: bool) -> None:
        self.params = read_params()
        make_deterministic(self.params["seed"], compute)
        if compute.threads is None:
            torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
        self.cuda, self.precision, self.factor = torch.cuda.is_available(), compute.precision, 1
        self.now = time.process_time if (cpu or compute.threads == 1) and not self.cuda else time.perf_counter
        self.known: dict[Hashable, Any] = {}
        self.raw = self.timed(lambda: download.main([])), self.timed(lambda: prepare.main([]))
        self.figures = read_json(prepare.METRICS)
        self.data_mib = sum(path.stat().st_size for path in Path("data").rglob("*.*")) / 2**20
        self.poem, prompt = (POEM_TOKENS * self.figures["sonnets"][split]["mean_words"] for split in ("train", "test"))
        self.continuation = LONGER * (self.poem - prompt)
        self.weights, self.scale = self.new_backbone(start)

    def new_backbone(self, start: str) -> tuple[float, float]:
        """Random weights, spread so that next tokens differ. The real number of weights, and how often these fit in it."""
        source, own = self.params["backbone"]["source"], self.params["backbone"]["scratch"]
        if source == "hub":
            layers, width = HUB[self.params["backbone"]["hub"]["name"].rpartition("/")[2]]
            config = GPT2Config(n_layer=layers, n_embd=width, n_head=width // 64)
        elif source == "path":
            config = GPT2Config.from_pretrained(start)
        else:
            names = {"vocab_size": "vocab_size", "n_positions": "context", "n_embd": "width", "n_layer": "layers", "n_head": "heads"}
            config = GPT2Config(**{name: own[ours] for name, ours in names.items()})

        def weights() -> float:
            return 12 * config.n_layer * config.n_embd**2 + (config.vocab_size + config.n_positions) * config.n_embd

        every, block = weights(), 12 * config.n_embd**2
        if config.n_layer * block > WEIGHTS:
            config.n_layer, config.vocab_size = max(1, WEIGHTS // block), min(VOCABULARY, config.vocab_size)
        config.update({"activation_function": GELU, "initializer_range": 0.1, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
                       "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0})  # fmt: skip
        GPT2LMHeadModel(config).save_pretrained(BACKBONE)
        self.vocabulary = config.vocab_size
        return every, every / weights()

    def seconds(self, name: str) -> float:
        """Of a stage such as train_sonnet@lora."""
        kind, _, row = name.partition("@")
        if kind not in PLAIN and kind not in vars(Bench):
            raise InputError(f"dvc.yaml: {kind}: a kind of stage that pipeline/commands/estimate.py does not have yet")
        return PLAIN[kind] if kind in PLAIN else getattr(self, kind)(row)

    def disk_mib(self, name: str) -> float:
        """What a stage leaves behind, twice."""
        kind, _, row = name.partition("@")
        if kind in ("download", "prepare"):
            return self.data_mib
        copies = load_row("sonnet", "methods", row, Sonnet).keep if kind == "train_sonnet" else 1
        return (
            8 * copies * self.weights / 2**20 if kind.startswith("train_") or kind in ("backbone", "generator") else 0
        )

    def memory_mib(self) -> float:
        """The peak of what was timed, with weights, gradients and moments of the rest of the model."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.cuda else peak
        return peak + 16 * self.weights * (1 - 1 / self.scale) / 2**20

    def clock(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return self.now()

    def timed(self, work: Callable[[], object]) -> float:
        begin = self.clock()
        work()
        return self.clock() - begin

    def once(self, key: Hashable, measure: Callable[[], Any]) -> Any:  # noqa: ANN401 - of any measure
        if key not in self.known:
            self.known[key] = measure()
        return self.known[key]

    def texts(self, rows: int, tokens: float) -> list[list[int]]:
        return torch.randint(1, self.vocabulary, (rows, max(2, round(tokens)))).tolist()

    def rows(self, split: str) -> int:
        """Of a split such as sst/train."""
        corpus, _, name = split.partition("/")
        return self.figures[corpus][name]["rows"] * (self.factor if name == "train" else 1)

    def tokens(self, corpus: str, longest: int) -> float:
        """Of a text, or of the prompt with a pair."""
        words = TOKENS * self.figures[corpus]["train"]["mean_words"]
        return min(longest, words if corpus in NUM_LABELS else 2 * words + CLOZE)

    def step(
        self,
        kind: Hashable,
        batch: int,
        tokens: float,
        new: Callable[[], Any],
        objective: ModuleType,
        options: Any = None,
    ) -> tuple[float, float]:
        """Seconds until a training begins, and of a step."""
        asked: list[float] = []

        class Clocked(Rows):
            def __getitem__(_, index: int) -> dict[str, Any]:
                asked.append(self.clock())
                return super().__getitem__(index)

        def measure() -> tuple[float, float]:
            size = batch if self.scale == 1 else min(batch, ROWS)
            count = size * STEPS
            lengths = {
                view: tokens if view == "swapped" else (tokens - CLOZE) / 2 for view in getattr(objective, "VIEWS", ())
            }
            views = {view: self.texts(count, length) for view, length in lengths.items()}
            rows = Clocked(
                self.texts(count, tokens), labels=[0, 1] * (count // 2), tasks=[0, 1, 2] * (count // 3), **views
            )
            plan = Plan(1e-4, STEPS, size, 0.1, "linear", 0.01, 1.0, 10**6, 10**6, self.precision, 0)
            loss = partial(objective.loss, options=options) if options else objective.loss
            begin = self.clock()
            train(new(), rows, loss, plan, Path(tempfile.mkdtemp(dir=".")))
            starts = asked[::size]  # a batch is fetched before the step on the one before
            step = statistics.median(after - start for start, after in zip(starts[2:], starts[3:], strict=False))
            return starts[0] - begin, step * batch / size * self.scale

        return self.once((kind, batch, round(tokens), objective.__name__), measure)

    def training(self, settings: Training, count: float, kind: Hashable, tokens: float, *how: Any) -> tuple[float, int]:
        """Seconds of a training, and how often it evaluates."""
        plan = Plan.of(settings, round(count), self.precision, 0)
        setup, step = self.step((kind, settings.dropout > 0), settings.batch_size, tokens, *how)
        return setup + plan.steps * step, math.ceil(plan.steps / plan.evaluate_steps)

    def prediction(self, tokens: float) -> float:
        """Seconds for a text."""

        def measure() -> float:
            model, texts = build_classifier(BACKBONE, 2, "last", 0.0, 0.0), self.texts(64, tokens)
            predict(model, texts[:1], self.precision)
            return self.timed(lambda: predict(model, texts, self.precision)) / len(texts) * self.scale

        return self.once(("predict", round(tokens)), measure)

    def sampling(self, texts: int) -> float:
        """Seconds of a token for so many texts, in batches, in the middle of a poem."""

        def measure(rows: int) -> float:
            model, none = language_model_of_backbone(), torch.zeros(self.vocabulary, dtype=torch.int64)
            prompts, choose = self.texts(rows, self.poem / 2), partial(top_p, p=0.9, temperature=1.0)
            few, many = (
                self.timed(lambda: sample(model, prompts, range(rows), choose, none, 99, tokens)) for tokens in (4, 16)
            )
            return max(0.0, many - few) / 12 * self.scale

        full, rest = divmod(texts, ROWS_PER_BATCH)
        return sum(
            self.once(("sample", rows), partial(measure, rows)) for rows in [ROWS_PER_BATCH] * full + [rest] if rows
        )

    def embedding(self) -> float:
        """Seconds for a sentence in the encoder."""
        encoder, texts = Encoder(), [f"How do I repair the red engine of number {number}?" for number in range(64)]
        return self.once("encoder", lambda: [self.timed(lambda: encoder.embed(texts)) for _ in range(2)][1] / 64)

    def download(self, _: str) -> float:
        return self.raw[0]

    def prepare(self, _: str) -> float:
        return self.raw[1] * self.factor

    def backbone(self, _: str) -> float:
        if self.params["backbone"]["source"] != "scratch":
            return 5.0
        own = self.params["backbone"]["scratch"]
        setup, step = self.step("scratch", own["batch_size"], own["block"], language_model_of_backbone, language_model)
        return setup + own["tokens"] // (own["block"] * own["batch_size"]) * step

    def translate(self, _: str) -> float:
        own = self.params["back_translation"]
        texts = min(own["selection"]["pairs"] or math.inf, self.rows("paraphrase/train")) * len(
            own["selection"]["sentences"]
        )
        backend, requests = own["translator"]["backend"], own["translator"]["network"]["requests_per_second"]
        marian = 2 * own["translator"]["marian"]["beams"] * PRICES["marian"] * self.embedding()
        each = {"memory": 0.0, "apertium": 1 / APERTIUM, "marian": marian}.get(backend, 2 / requests)
        return 1 + texts * (each + (2 * self.embedding() if own["checks"]["similarity"] else 0)) / len(own["shards"])

    def generator(self, _: str) -> float:
        own = self.params["adversarial"]["generator"]
        if own["kind"] != "lm":
            return 5.0
        settings = Sonnet(**own["lm"], adapter=None, keep=1, select_draws=1)
        positive = 2 * self.figures["paraphrase"]["train"]["label_1"]  # both directions
        tokens = self.tokens("paraphrase", settings.max_length)
        how = partial(language_model_of, settings), language_model
        return self.training(settings, positive * self.rows("paraphrase/train"), "None", tokens, *how)[0]

    def adversarial_search(self, _: str) -> float:
        own = self.params["adversarial"]
        sampling, every = own["sampling"], 2 * self.rows("paraphrase/train")
        questions = min(own["questions"] or every, every)
        texts = questions * sampling["candidates"] * (1 + sampling["retries"] * 2 / 3)
        judged = 1 + sum(2 * PRICES.get(own[gate]["gate"], 0) for gate in ("meaning", "surface"))
        wrote = texts / ROWS_PER_BATCH * sampling["max_new_tokens"] * self.sampling(ROWS_PER_BATCH)
        return 1 + (wrote + judged * (texts + 3 * questions) * self.embedding()) / len(own["shards"])

    def train_sentiment(self, row: str) -> float:
        own = load_row("sentiment", "methods", row, Sentiment)
        corpus, tokens, dropouts = (
            own.dataset,
            self.tokens(own.dataset, own.max_length),
            (own.dropout, own.head_dropout),
        )
        new = partial(build_classifier, BACKBONE, NUM_LABELS[corpus], "last", *dropouts, own.mode == "head")
        how = new, cross_entropy, cross_entropy.Options(label_smoothing=0.0)
        seconds, evaluations = self.training(own, self.rows(f"{corpus}/train"), own.mode, tokens, *how)
        select, dev, test = (self.rows(f"{corpus}/{split}") for split in ("select", "dev", "test"))
        return seconds + (select * (evaluations + 1) + dev + test) * self.prediction(tokens)

    def pair_training(self, own: Paraphrase) -> tuple[float, int]:
        objective = load_objective(own.objective, "objective")
        options = check_options(objective, own.options, "options")
        source, _, name = own.train.rpartition("/")
        share = self.params["training_sets"][name]["share"] if source.startswith("augmented") else 0
        corpus = "paraphrase" if share else name
        count = self.rows(f"{corpus}/train") / (1 - share) + sum(self.rows(f"{task}/train") for task in own.tasks)
        plain = own.model_copy(update={"head": "linear", "exact_match": False})
        new = partial(new_classifier, BACKBONE, None, plain)
        kind = own.adapter, bool(own.tasks), own.options.get("text")
        return self.training(own, count, kind, self.tokens(corpus, own.max_length), new, objective, options)

    def train_first_stage(self, row: str) -> float:
        return self.pair_training(load_paraphrase(row, "first_stages"))[0]

    def train_paraphrase(self, row: str) -> float:
        own = load_paraphrase(row)
        seconds, evaluations = self.pair_training(own)
        runs, orders = 1 + len(own.seeds), 2 if own.orders == "both" else 1
        select, dev, test, ap_h = (
            self.rows(split) for split in ("paraphrase/select", "paraphrase/dev", "paraphrase/test", "ap_h/dev")
        )
        texts = orders * (select * (evaluations * runs + 1) + test + ap_h) + 2 * runs * dev
        return runs * seconds + texts * self.prediction(self.tokens("paraphrase", own.max_length))

    def train_sonnet(self, row: str) -> float:
        own = load_row("sonnet", "methods", row, Sonnet)
        how = min(self.poem, own.max_length), partial(language_model_of, own), language_model
        seconds, evaluations = self.training(own, self.rows("sonnets/train"), str(own.adapter), *how)
        return seconds + evaluations * self.continuation * self.sampling(self.rows("sonnets/select") * own.select_draws)

    def generate_sonnets(self, row: str) -> float:
        own = load_system(row).model_dump()
        seconds, steps = 0.0, min(own["max_new_tokens"] or math.inf, self.continuation)
        beams = own.get("beams", 0) + own.get("k", 0) + 2 * (own["decoder"] == "contrastive_decoding")
        for split in ("dev", "test"):
            prompts, draws = self.rows(f"sonnets/{split}"), own.get("draws", 1) if split == "dev" else 1
            texts = prompts * (own.get("samples") or own.get("candidates") or (draws if "draws" in own else 0) + beams)
            bans = BAN * texts if own["exact_lines"] or own["line_length"] or own["no_copy_words"] else 0
            choice = CHOICE * texts if "mbr" in own["decoder"] else 0
            seconds += steps * (self.sampling(texts) + bans) + choice + prompts * draws * self.prediction(self.poem)
        return 1 + seconds


def language_model_of_backbone() -> GPT2LMHeadModel:
    model = GPT2LMHeadModel.from_pretrained(BACKBONE, dtype=torch.get_default_dtype())
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
