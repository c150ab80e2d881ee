"""What a run would cost here: time by kind of stage and in all, memory and disk. Nothing is written.

    python -m pipeline estimate --profile gpt2 --data ../shared/data --rows

DVC's graph, the parameters and what `prepare` says of the data tell how often each kind of work is done. One step of
each is timed: the project's own code, with a model of the profile's size, on random tokens of typical length. A large
model is timed with some of its blocks and of its vocabulary, and on a part of the batch.
"""

import argparse
import contextlib
import io
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from dvc.repo import Repo
from dvc.stage import Stage
from pandas import DataFrame, Series, read_csv
from ruamel.yaml import YAML
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.augment.encoder import Encoder
from pipeline.compute.reproducible import autocast, make_deterministic
from pipeline.config.base import PARAMS, entry, parse
from pipeline.config.objective import check_options, load_objective
from pipeline.config.params import load_params
from pipeline.config.sonnet import Sonnet
from pipeline.config.tasks import NUM_LABELS, Paraphrase, Sentiment
from pipeline.config.training import Compute, Training
from pipeline.decoding.running import ROWS_PER_BATCH, sample
from pipeline.decoding.top_p import top_p
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.heap import return_large_blocks
from pipeline.models.backbone import GELU
from pipeline.models.classifier import build_classifier
from pipeline.models.dropout import use_fast_dropout
from pipeline.objectives import cross_entropy, language_model
from pipeline.stages import download, prepare
from pipeline.stages.train_sonnet import BACKBONE, language_model_of
from pipeline.text.batches import HOST, training_batch
from pipeline.training.loop import Rows
from pipeline.training.pair_rows import new_classifier
from pipeline.training.predict import predict

Make = Callable[..., Any]
LARGE, WORK = 16e6, 3e9  # weights in the blocks of a model, and tokens of a batch times weights: more is not timed
SIZES = ("n_layer", "n_embd", "n_head", "vocab_size", "n_positions")
HUB = {"distilgpt2": (6, 768), "gpt2": (12, 768), "gpt2-medium": (24, 1024), "gpt2-large": (36, 1280)}  # layers, width
TOKENS, VERSE, CLOZE = 1.2, 1.5, 17  # of a word, of a word in verse; of the prompt around a pair
LONGER = 1.25  # the longest poem of a batch, of the mean: so long its steps go on
BAN, CHOICE = 8e-5, 0.01  # seconds to constrain a token, to weigh a candidate in MBR
PRICES = {"marian": 14, "nli": 64, "bleurt": 20}  # of a sentence, by the weights of the model; the encoder's is 1
BEGIN = 0.3  # seconds of a stage with a model before and after its work
# Stages without one, as in a run of the sample; on larger data they do not take minutes either.
SECONDS = {"code": 1.2, "download": 0.1, "ensemble": 0.7, "evaluate_sonnets": 0.5, "plots_page": 1.7, "report": 7.0}
QUICK = "adversarial back_translate evaluate_ensemble evaluate_floors evaluate_paraphrase evaluate_sentiment"
SECONDS |= dict.fromkeys([*QUICK.split(), "training_set"], 0.1)
ASSUMED = f"""
Assumed: {TOKENS} tokens a word, {VERSE} in verse; poems end where sonnets do; training sets get all pairs that their
share allows; two thirds of the questions of the search need every retry; NLI, BLEURT and Marian run as the sentence
encoder does, by their weights, Apertium makes 300 round trips a second; stages without a model take what they take in
the sample; stages at the same time do not slow each other. Disk: models, in the workspace and in DVC's cache."""


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
    params, compute, cores = parse(path), load_params(path).compute, torch.get_num_threads()
    data, start = options.data or Path(params["data"]["path"]), Path(params["backbone"]["path"])
    if not data.is_dir():
        raise InputError(f"{path}: data.path {data} is no folder on this machine; name one with --data FOLDER")
    real = measured(options.check) if options.check else None
    jobs = max(1, options.jobs or cores // ((compute.threads or cores) * compute.processes))
    params["data"]["path"], params["backbone"]["path"] = str(data.absolute()), str(start.absolute())
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("dvc.yaml", folder)
        quiet = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            YAML(typ="safe").dump(params, PARAMS)
            Path(".dvc").mkdir()
            graph = Repo(config={"core": {"no_scm": True}}).index.graph
            bench = Bench(params, compute, jobs, cpu=real is not None)
            costs = Series({stage.addressing: bench.seconds(stage.addressing) for stage in graph}).sort_index()
            bench.factor = 10
            more = Series({name: bench.seconds(name) for name in costs.index})
    print(table(costs, bench.weights, real, options.rows).to_string())
    if real is None:
        memory = f"{jobs} x {bench.memory_mib():,.0f} MiB of memory at most"
        print(f"\nmake repro JOBS={jobs}: at least {shown(side_by_side(graph, costs, jobs))}, {memory}")
        print(f"with 10 times the training rows: {shown(side_by_side(graph, more, jobs))}\n{ASSUMED}")


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
    if column is None or "stage" not in times:
        raise InputError(
            f"{path}: expected the columns stage and command_cpu_s or seconds, as `make repro` writes them"
        )
    return (times[times["result"] == "done"] if "result" in times else times).set_index("stage")[column]


def table(costs: Series, weights: float, real: Series | None, every: bool) -> DataFrame:
    """By kind of stage, or by stage, and in all: time and disk; of stages that really ran, the times of both."""
    sums = DataFrame({"Stages": 1, "seconds": costs, "real": 0 if real is None else real}).dropna()
    models = sums.index.str.match("backbone|generator|train_") + 2 * sums.index.str.match("train_sonnet")  # three kept
    sums["MiB"] = 8 * weights / 2**20 * models
    sums = sums if every else sums.groupby(lambda name: name.partition("@")[0]).sum()
    sums.loc["all"] = sums.sum()
    shares = {"Estimated CPU s": sums["seconds"], "Real CPU s": sums["real"], "Ratio": sums["seconds"] / sums["real"]}
    columns = {"Time": sums["seconds"].map(shown), "Disk, MiB": sums["MiB"].round()} if real is None else shares
    return DataFrame({"Stages": sums["Stages"].astype(int), **columns}).round(2)


def shown(seconds: float) -> str:
    """0:03:20, or with days."""
    return str(timedelta(seconds=round(seconds + 0.5)))


class Bench:
    """A copy of the project in the working folder, and what was timed there."""

    def __init__(self, params: dict[str, Any], compute: Compute, jobs: int, cpu: bool) -> None:
        self.params, self.precision, self.factor, self.known = params, compute.precision, 1, dict[object, float]()
        make_deterministic(params["seed"], compute)
        return_large_blocks()
        torch.set_num_threads(compute.threads or max(1, torch.get_num_threads() // jobs))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_cpu = (cpu or torch.get_num_threads() == 1) and self.device.type == "cpu"  # others may use the machine, too
        self.now = time.process_time if on_cpu else time.perf_counter
        download.main([])
        prepare.main([])
        self.figures = read_json(prepare.METRICS)
        self.poem, prompt = (VERSE * self.figures["sonnets"][split]["mean_words"] for split in ("train", "test"))
        self.new_tokens = LONGER * (self.poem - prompt)
        config = new_config(params["backbone"])
        self.weights, block = weights_of(config), 12 * config.n_embd**2
        if config.n_layer * block > LARGE:
            config.n_layer, config.vocab_size = max(1, int(LARGE // block)), min(8000, config.vocab_size)
        self.vocabulary, self.timed_weights = config.vocab_size, weights_of(config)
        self.scale = self.weights / self.timed_weights
        GPT2LMHeadModel(config).save_pretrained(BACKBONE)

    def memory_mib(self) -> float:
        """The peak of what was timed, on a GPU of its memory, with the weights, gradients and moments that were not."""
        peak = torch.cuda.max_memory_allocated() or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return (peak + 16 * (self.weights - self.timed_weights)) / 2**20

    def once(self, key: object, prepared: Callable[[], Callable[[], object]]) -> float:
        """Seconds of the work that is prepared, the shortest of three times."""
        if key not in self.known:
            work, clocked = prepared(), []
            for _ in range(3):
                begin = self.now()
                work()
                if self.device.type == "cuda":
                    torch.cuda.synchronize()
                clocked.append(self.now() - begin)
            self.known[key] = min(clocked)
        return self.known[key]

    def texts(self, rows: int, tokens: float) -> list[list[int]]:
        return torch.randint(1, self.vocabulary, (rows, max(2, round(tokens)))).tolist()

    def rows(self, corpus: str, *splits: str) -> int:
        counts = {split: self.figures[corpus][split]["rows"] for split in splits}
        return sum(count * (self.factor if split == "train" else 1) for split, count in counts.items())

    def tokens(self, corpus: str, longest: int) -> float:
        """Of a text, or of the prompt with a pair."""
        words = TOKENS * self.figures[corpus]["train"]["mean_words"]
        return min(longest, words if corpus in NUM_LABELS else 2 * words + CLOZE)

    def step(self, kind: object, batch: int, tokens: float, new: Make, loss: Make, views: Sequence[str] = ()) -> float:
        """Seconds of a training step."""
        size = max(2, min(batch, int(WORK / self.timed_weights / tokens)))

        def prepared() -> Callable[[], None]:
            lengths = {view: tokens if view == "swapped" else (tokens - CLOZE) / 2 for view in views}
            columns: dict[str, list[Any]] = {view: self.texts(size, length) for view, length in lengths.items()}
            columns |= {"labels": [row % 2 for row in range(size)], "tasks": [row % 3 for row in range(size)]}
            inputs = training_batch(Rows(self.texts(size, tokens), **columns).rows)
            inputs |= {name: value.to(self.device) for name, value in inputs.items() if name != HOST}
            model = new().train().to(self.device)
            use_fast_dropout(model)
            optimizer = torch.optim.AdamW(model.parameters(), fused=True)

            def work() -> None:
                with autocast(self.precision, self.device):
                    loss(model, inputs)[0].backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

            return work

        return self.once((kind, batch, round(tokens)), prepared) * batch / size * self.scale

    def training(self, own: Training, count: float, kind: object, *how: Any) -> tuple[float, int]:  # noqa: ANN401
        """Seconds of a training, and how often it evaluates; `how` is what `step` takes after the batch."""
        steps = own.epochs * -(-round(count) // own.batch_size)
        seconds = steps * self.step((kind, own.dropout > 0), own.batch_size, *how)
        return BEGIN + seconds, min(steps, own.epochs * own.evaluations_per_epoch)

    def prediction(self, tokens: float) -> float:
        """Seconds for a text."""

        def prepared() -> Callable[[], object]:
            model = build_classifier(BACKBONE, 2, "last", 0.0, 0.0).to(self.device)
            return partial(predict, model, self.texts(64, tokens), self.precision)

        return self.once(round(tokens), prepared) / 64 * self.scale

    def sampling(self, texts: int) -> float:
        """Seconds of a token for so many texts, in batches, in the middle of a poem."""

        def prepared(rows: int, steps: int) -> Callable[[], object]:
            model = GPT2LMHeadModel.from_pretrained(BACKBONE, dtype=torch.get_default_dtype()).eval().to(self.device)
            choose, none = partial(top_p, p=0.9, temperature=1.0), torch.zeros(self.vocabulary, dtype=torch.int64)
            prompts = self.texts(1, self.poem / 2) * rows
            return partial(sample, model, prompts, range(rows), choose, none, 99, steps)

        full, rest = divmod(texts, ROWS_PER_BATCH)
        seconds = 0.0
        for rows in [ROWS_PER_BATCH] * full + [rest] * (rest > 0):
            few, many = (self.once((rows, steps), partial(prepared, rows, steps)) for steps in (4, 16))
            seconds += max(0.0, many - few) / 12
        return seconds * self.scale

    def embedding(self) -> float:
        """Seconds for a sentence in the encoder."""
        texts = [f"How do I repair the red engine of number {number}?" for number in range(64)]
        return self.once("encoder", lambda: partial(Encoder().embed, texts)) / len(texts)

    def seconds(self, name: str) -> float:
        """Of a stage such as train_sonnet@lora."""
        kind, _, row = name.partition("@")
        pairs, model = self.rows("paraphrase", "train"), self.params["backbone"]
        back, search = self.params["back_translation"], self.params["adversarial"]
        match kind:
            case "prepare":
                return 3e-5 * sum(self.rows(corpus, *splits) for corpus, splits in self.figures.items())
            case "backbone":
                batch, block, tokens = (model["scratch"][name] for name in ("batch_size", "block", "tokens"))
                new = partial(GPT2LMHeadModel.from_pretrained, BACKBONE, dtype=torch.get_default_dtype())
                steps = tokens // (block * batch) if model["source"] == "scratch" else 0
                return BEGIN + (steps and steps * self.step("scratch", batch, block, new, language_model.loss))
            case "generator":
                own = Sonnet(**search["generator"]["lm"], adapter=None, keep=1, select_draws=1)
                count = 2 * self.figures["paraphrase"]["train"]["label_1"] * pairs  # both directions
                how = self.tokens("paraphrase", own.max_length), partial(language_model_of, own), language_model.loss
                return self.training(own, count, "None", *how)[0] if search["generator"]["kind"] == "lm" else BEGIN
            case "translate":
                texts = min(back["selection"]["pairs"] or pairs, pairs) * len(back["selection"]["sentences"])
                marian = 2 * back["translator"]["marian"]["beams"] * PRICES["marian"] * self.embedding()
                each = {"memory": 0.0, "apertium": 1 / 300, "marian": marian}.get(back["translator"]["backend"])
                each = 2 / back["translator"]["network"]["requests_per_second"] if each is None else each
                each += 2 * self.embedding() if back["checks"]["similarity"] is not None else 0.0
                return BEGIN + texts * each / len(back["shards"])
            case "adversarial_search":
                asked, sampling = min(search["questions"] or 2 * pairs, 2 * pairs), search["sampling"]
                texts = asked * sampling["candidates"] * (1 + sampling["retries"] * 2 / 3)
                price = 1 + sum(2 * PRICES.get(search[gate]["gate"], 0) for gate in ("meaning", "surface"))
                wrote = texts / ROWS_PER_BATCH * sampling["max_new_tokens"] * self.sampling(ROWS_PER_BATCH)
                return BEGIN + (wrote + price * (texts + 3 * asked) * self.embedding()) / len(search["shards"])
            case "train_sentiment":
                return self.sentiment(entry(load_params().sentiment.methods, row, "sentiment.methods"))
            case "train_first_stage":
                return self.pairs(load_paraphrase(row, "first_stages"), select=False)
            case "train_paraphrase":
                return self.pairs(entry(load_params().paraphrase.methods, row, "paraphrase.methods"), select=True)
            case "train_sonnet":
                return self.sonnet(entry(load_params().sonnet.methods, row, "sonnet.methods"))
            case "generate_sonnets":
                return self.system(load_params().sonnet.system(row).model_dump())
        if kind not in SECONDS:
            raise InputError(f"dvc.yaml: {kind}: a kind of stage that pipeline/commands/estimate.py does not have yet")
        return SECONDS[kind]

    def sentiment(self, own: Sentiment) -> float:
        corpus, tokens = own.dataset, self.tokens(own.dataset, own.max_length)
        dropouts = own.dropout, own.head_dropout
        new = partial(build_classifier, BACKBONE, NUM_LABELS[corpus], "last", *dropouts, own.mode == "head")
        loss = partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0))
        seconds, evaluations = self.training(own, self.rows(corpus, "train"), own.mode, tokens, new, loss)
        texts = evaluations * self.rows(corpus, "select") + self.rows(corpus, "select", "dev", "test")
        return seconds + texts * self.prediction(tokens)

    def pairs(self, own: Paraphrase, select: bool) -> float:
        own = own.model_copy(update={"head": "linear", "exact_match": False})  # they would take a real tokenizer
        objective = load_objective(own.objective, "objective")
        loss = partial(objective.loss, options=check_options(objective, own.options, "options"))
        share = self.params["training_sets"].get(own.train.rpartition("/")[2], {"share": 0})["share"]
        corpus = "etpc" if own.train == "prepared/etpc" else "paraphrase"
        count = self.rows(corpus, "train") / (1 - share) + sum(self.rows(task, "train") for task in own.tasks)
        kind, tokens = (own.adapter, bool(own.tasks), own.options.get("text")), self.tokens(corpus, own.max_length)
        how = tokens, lambda: new_classifier(BACKBONE, Tokenizer(BPE()), own), loss, objective.VIEWS
        seconds, evaluations = self.training(own, count, (own.objective, *kind), *how)
        runs, orders = 1 + len(own.seeds), 2 if own.orders == "both" else 1
        texts = orders * (evaluations * runs + 1) * self.rows("paraphrase", "select")
        texts += (2 * runs + orders) * self.rows("paraphrase", "dev") + orders * self.rows("ap_h", "dev")  # test as dev
        return runs * seconds + (texts * self.prediction(tokens) if select else 0.0)

    def sonnet(self, own: Sonnet) -> float:
        how = min(self.poem, own.max_length), partial(language_model_of, own), language_model.loss
        seconds, evaluations = self.training(own, self.rows("sonnets", "train"), str(own.adapter), *how)
        texts = self.rows("sonnets", "select") * own.select_draws
        return seconds + evaluations * self.new_tokens * self.sampling(texts)

    def system(self, own: dict[str, Any]) -> float:
        seconds, steps = BEGIN, min(own["max_new_tokens"] or self.new_tokens, self.new_tokens)
        width = sum(own.get(name, 0) for name in ("samples", "candidates", "beams", "k")) or 1
        for split, draws in (("dev", own.get("draws", 1)), ("test", 1)):
            poems = draws * self.rows("sonnets", split)
            each = steps * BAN * own["exact_lines"] + CHOICE * ("mbr" in own["decoder"])
            seconds += steps * self.sampling(poems * width) + poems * (width * each + self.prediction(self.poem))
        return seconds


def new_config(backbone: dict[str, Any]) -> GPT2Config:
    """The size of the profile's model; its random weights are spread so that next tokens are not all as likely."""
    own, name = backbone["scratch"], backbone["hub"]["name"].rpartition("/")[2]
    sizes = [own["layers"], own["width"], own["heads"], own["vocab_size"], own["context"]]
    if backbone["source"] == "path":
        values = read_json(Path(backbone["path"]) / "config.json")
        sizes = [values[size] for size in SIZES]
    elif backbone["source"] == "hub":
        if name not in HUB:
            raise InputError(f"backbone.hub.name: the size of {name} is not known here; known are {', '.join(HUB)}")
        layers, width = HUB[name]
        sizes = [layers, width, width // 64, 50257, 1024]
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    named = dict(zip(SIZES, sizes, strict=True)) | ends | dropouts
    return GPT2Config(**named, activation_function=GELU, initializer_range=0.1)


def weights_of(config: GPT2Config) -> float:
    return 12 * config.n_layer * config.n_embd**2 + (config.vocab_size + config.n_positions) * config.n_embd
