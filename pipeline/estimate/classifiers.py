"""The stages that train and ask classifiers: sentiment, first stages, paraphrases."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config.augmentation import load_training_set
from pipeline.config.base import load_block, load_row, read_params
from pipeline.config.objective import check_options, load_objective
from pipeline.config.tasks import Paraphrase, Sentiment, load_paraphrase
from pipeline.config.training import Compute
from pipeline.estimate.counts import Counts, Texts
from pipeline.estimate.demand import Stage, Work, model_files, passes, prediction, steps, training
from pipeline.estimate.model import Model

BYTES_PER_TOKEN = 36  # of a token id in a Python list
PREDICTION_BYTES = 70  # a row of a predictions file


@dataclass(frozen=True)
class Project:
    """A profile with its data."""

    path: Path
    counts: Counts
    model: Model

    @property
    def precision(self) -> str:
        """Of training and prediction."""
        return load_block("compute", Compute, self.path).precision

    def rows(self, group: str, table: str) -> list[str]:
        """The names in a table of the parameters."""
        return list(read_params(self.path)[group][table] or {})


def sentiment(project: Project) -> Iterator[Stage]:
    """train_sentiment: select every epoch, then select, dev and test."""
    for row in project.rows("sentiment", "methods"):
        settings = load_row("sentiment", "methods", row, Sentiment, project.path)
        train, *others = (
            project.counts[f"{settings.dataset}/{split}"].cut(settings.max_length)
            for split in ("train", "select", "dev", "test")
        )
        _, evaluations = steps(settings, train.rows)
        frozen = settings.mode == "head"
        operation = "train.frozen" if frozen else "train" if settings.dropout else "train.still"
        work = training(operation, settings, train.rows, [Work("pass", 1, 1, train.tokens)])
        work += prediction(others[0].rows, others[0].tokens, evaluations)
        work += [part for texts in others for part in prediction(texts.rows, texts.tokens)]
        work += [Work("encode", texts.rows, 1, texts.tokens) for texts in (train, *others)]
        trained = project.model.width if frozen else project.model.weights
        yield Stage(
            "train_sentiment",
            row,
            frozenset({"backbone", "prepare"}),
            (Work("start", 1), *work),
            _memory(project, settings.batch_size, train, trained, [train, *others]),
            model_files(project.model) + _predictions(others, 1),
            f"{train.rows:,} rows of {train.tokens:.0f} tokens, {settings.epochs} epochs",
        )


def first_stages(project: Project) -> Iterator[Stage]:
    """train_first_stage: training alone."""
    for row in project.rows("paraphrase", "first_stages"):
        settings = load_paraphrase(row, "first_stages", project.path)
        train, work = _training(project, settings, "first_stages", row)
        yield Stage(
            "train_first_stage",
            row,
            frozenset({"backbone", *_set_needed(settings)}),
            (Work("start", 1), *work),
            _memory(project, settings.batch_size, train, project.model.weights, [train]),
            model_files(project.model),
            f"{train.rows:,} rows of {train.tokens:.0f} tokens, {settings.epochs} epochs",
        )


def paraphrase(project: Project) -> Iterator[Stage]:
    """train_paraphrase: one training for each seed; select often, then every split in the orders that are asked for."""
    for row in project.rows("paraphrase", "methods"):
        settings = load_paraphrase(row, "methods", project.path)
        train, work = _training(project, settings, "methods", row)
        select, dev, test, ap_h = splits = [
            project.counts[f"{name}"].cut(settings.max_length)
            for name in ("paraphrase/select", "paraphrase/dev", "paraphrase/test", "ap_h/dev")
        ]
        orders, runs = 2 if settings.orders == "both" else 1, 1 + len(settings.seeds)
        _, evaluations = steps(settings, train.rows)
        encoded = [part for part in work if part.operation == "encode"]
        work = [replace(part, count=part.count * runs) for part in work if part.operation != "encode"] + encoded
        work += prediction(select.rows, select.tokens, orders * (evaluations * runs + 1))
        work += prediction(dev.rows, dev.tokens, 2 * runs)  # always in both orders
        work += [part for texts in (test, ap_h) for part in prediction(texts.rows, texts.tokens, orders)]
        work += [Work("encode", 2 * texts.rows, 1, texts.tokens) for texts in splits]
        lora = settings.lora()
        yield Stage(
            "train_paraphrase",
            row,
            frozenset({"prepare", *_start_needed(settings), *_set_needed(settings)}),
            (Work("start", 1), *work),
            _memory(project, settings.batch_size, train, project.model.adapter(lora), [train, *splits, *splits]),
            model_files(project.model, trained=project.model.adapter(lora)) + _predictions(splits, 1),
            f"{train.rows:,} rows of {train.tokens:.0f} tokens, {settings.epochs} epochs"
            + (f", {runs} seeds" if runs > 1 else ""),
        )


def _training(project: Project, settings: Paraphrase, table: str, row: str) -> tuple[Texts, list[Work]]:
    """The rows of a training, tasks included, and what they cost; a text in one more view is encoded once more."""
    key = f"paraphrase.{table}.{row}"
    train = training_set(project, settings.train).cut(settings.max_length)
    for task in settings.tasks:
        other = project.counts[f"{task}/train"].cut(settings.max_length)
        train = joined(train, other)
    objective = load_objective(settings.objective, f"{key}.objective", project.path)
    options = check_options(objective, settings.options, f"{key}.options", project.path)
    question = project.counts["paraphrase/questions"].tokens
    given = passes(objective, options, train.tokens, question, settings.tasks)
    work = training(operation(settings), settings, train.rows, given)
    views = 1 + len(objective.VIEWS)
    return train, [*work, Work("encode", train.rows * views, 1, train.tokens)]


def operation(settings: Paraphrase) -> str:
    """The kind of training step of a row."""
    if settings.adapter:
        return f"train.{settings.adapter}"
    if settings.tasks:
        return "train.tasks"
    return "train" if settings.dropout else "train.still"


def training_set(project: Project, name: str) -> Texts:
    """The rows of data/<name>: of a mixture, as many augmented ones as its share allows and its source may have."""
    if not name.startswith("augmented/"):
        return project.counts[f"{name.removeprefix('prepared/')}/train"]
    mixture, train = load_training_set(name.rpartition("/")[2], project.path), project.counts["paraphrase/train"]
    wanted = mixture.share / (1 - mixture.share) * train.rows
    return Texts(round(train.rows + min(wanted, available(project, mixture.source))), train.tokens, train.longest)


def available(project: Project, source: str) -> float:
    """About the pairs that a source has, by the shares that passed in runs of the laptop profile."""
    if source == "prepared/ap_h":
        return project.counts["ap_h/train"].rows * 0.65
    if source == "augmented/adversarial":
        return 4 * (
            read_params(project.path)["adversarial"]["questions"] or 2 * project.counts["paraphrase/train"].rows
        )
    block = read_params(project.path)["back_translation"]
    pairs = block["selection"]["pairs"] or project.counts["paraphrase/train"].rows
    pairs = min(pairs, project.counts["paraphrase/train"].rows)
    return 0.75 * pairs * len(block["languages"]) * len(block["selection"]["sentences"])


def joined(one: Texts, other: Texts) -> Texts:
    """Both, one after the other."""
    rows = one.rows + other.rows
    tokens = (one.rows * one.tokens + other.rows * other.tokens) / max(1, rows)
    return Texts(rows, tokens, max(one.longest, other.longest), one.characters)


def _set_needed(settings: Paraphrase) -> set[str]:
    return (
        {"prepare"} if settings.train.startswith("prepared/") else {f"training_set@{settings.train.rpartition('/')[2]}"}
    )


def _start_needed(settings: Paraphrase) -> set[str]:
    if settings.start == "backbone":
        return {"backbone"}
    return {f"train_first_stage@{settings.start.rpartition('/')[2]}"}


def _memory(project: Project, batch: int, train: Texts, trained: int, encoded: list[Texts]) -> float:
    """The batch of the longest texts, and all texts as lists of token ids."""
    step = project.model.training_mib(batch, train.longest, trained, project.precision, language=False)
    return step + data_mib(encoded)


def data_mib(encoded: list[Texts]) -> float:
    """Texts in memory: token ids, and the text itself twice."""
    return sum(texts.rows * (texts.tokens * BYTES_PER_TOKEN + 2 * texts.characters + 200) for texts in encoded) / 2**20


def _predictions(splits: list[Texts], seeds: int) -> float:
    """In the workspace and in the cache."""
    return 2 * sum(texts.rows for texts in splits) * PREDICTION_BYTES * 1.5 * seeds / 2**20
