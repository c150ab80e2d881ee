"""The stages that train and run language models: backbone, generator, sonnet models and systems."""

from collections.abc import Iterator

from pipeline.config.augmentation import Adversarial
from pipeline.config.base import load_block, load_row
from pipeline.config.data import Backbone
from pipeline.config.sonnet import (
    BeamMBR,
    Beams,
    Contrastive,
    ContrastiveDecoding,
    EnsembleMBR,
    LineMBR,
    SampledMBR,
    Sampler,
    Sonnet,
    System,
    Verse,
    load_scorer,
    load_system,
)
from pipeline.decoding.sampling import ROWS_PER_BATCH
from pipeline.estimate.classifiers import Project, data_mib
from pipeline.estimate.demand import Stage, Work, model_files, steps, training
from pipeline.estimate.model import MIB
from pipeline.text.lines import GIVEN_LINES, SONNET_LINES

LONGER = 1.25  # the longest of a batch of poems, of the mean: so long its steps go on
SWEEPS = 3  # of line_mbr, until nothing changes
FORWARD = 1 / 3  # of a training step


def backbone(project: Project) -> Iterator[Stage]:
    """Trained here, or only copied."""
    settings, model = load_block("backbone", Backbone, project.path), project.model
    if settings.source != "scratch":
        driver = f"{model.weights / 1e6:.0f} M weights from the {settings.source}"
        yield Stage(
            "backbone", None, frozenset({"prepare"}), (Work("start", 1),), model.mib, model_files(model), driver
        )
        return
    own = settings.scratch
    count = own.tokens // (own.block * own.batch_size)
    texts = [texts for name, texts in project.counts.texts.items() if name.endswith("/train")]
    operation = "language" if own.dropout else "language.still"
    work = [Work("setup", 1), Work(operation, count, own.batch_size, own.block)]
    work += [Work("encode", 4 * one.rows, 1, one.tokens) for one in texts]  # to learn the vocabulary takes longer
    step = model.training_mib(own.batch_size, own.block, model.weights, project.precision, language=True)
    yield Stage(
        "backbone",
        None,
        frozenset({"prepare"}),
        (Work("start", 1), *work),
        step + data_mib(texts),
        model_files(model),
        f"{own.tokens:,} tokens, {model.weights / 1e6:.1f} M weights",
    )


def generator(project: Project) -> Iterator[Stage]:
    """The paraphrase generator."""
    settings, model = load_block("adversarial", Adversarial, project.path).generator, project.model
    needs = frozenset({"backbone", "prepare"})
    if settings.kind != "lm":
        yield Stage("generator", None, needs, (Work("start", 1),), 1000, 2000, "downloaded")
        return
    own = settings.lm
    train, select = (project.counts[f"{split}/positive"].cut(own.max_length) for split in ("train", "select"))
    _, evaluations = steps(own, train.rows)
    work = training(_kind(own.dropout), own, train.rows, [Work("pass", 1, 1, train.tokens)])
    work.append(Work("language.still", FORWARD * evaluations * select.rows / 64, 64, select.tokens))
    work += [Work("encode", texts.rows, 1, texts.tokens) for texts in (train, select)]
    step = model.training_mib(own.batch_size, train.longest, model.weights, project.precision, language=True)
    yield Stage(
        "generator",
        None,
        needs,
        (Work("start", 1), *work),
        step + data_mib([train, select]),
        model_files(model),
        f"{train.rows:,} rows of {train.tokens:.0f} tokens, {own.epochs} epochs",
    )


def sonnet_models(project: Project) -> Iterator[Stage]:
    """train_sonnet: at every evaluation, continuations of `select` are written."""
    train, select = (project.counts[f"sonnets/{split}"] for split in ("train", "select"))
    for row in project.rows("sonnet", "methods"):
        settings, model = load_row("sonnet", "methods", row, Sonnet, project.path), project.model
        tokens, adapter = min(train.tokens, settings.max_length), settings.adapter
        _, evaluations = steps(settings, train.rows)
        operation = f"language.{adapter.kind}" if adapter else _kind(settings.dropout)
        work = training(operation, settings, train.rows, [Work("pass", 1, 1, tokens)])
        work.append(Work("language.still", FORWARD * evaluations, select.rows, select.tokens))
        work.append(Work("sample", evaluations * LONGER * new_tokens(project), select.rows * settings.select_draws))
        work.append(Work("verse", evaluations * select.rows * settings.select_draws / 4))  # chrF alone
        trained = model.adapter(adapter)
        yield Stage(
            "train_sonnet",
            row,
            frozenset({"backbone", "prepare"}),
            (Work("start", 1), *work),
            model.training_mib(settings.batch_size, train.longest, trained, project.precision, language=True),
            model_files(model, settings.keep, trained),
            f"{train.rows:,} poems of {tokens:.0f} tokens, {settings.epochs} epochs, {evaluations} evaluations",
        )


def systems(project: Project) -> Iterator[Stage]:
    """generate_sonnets: dev, and test with one draw; then the likelihood of every poem."""
    scorer = load_scorer(project.path)
    for row in project.rows("sonnet", "systems"):
        system = load_system(row, project.path)
        work, poems = [], 0.0
        for split in ("dev", "test"):
            prompts = project.counts[f"prompts/{split}"]
            draws = system.draws if isinstance(system, Sampler) and split == "dev" else 1
            poems += prompts.rows * draws
            work += writing(project, system, prompts.rows, draws)
        length = project.counts["sonnets/train"].tokens
        work.append(Work("language.still", FORWARD * poems / 64, 64, length))
        needs = {"backbone", "prepare", f"train_sonnet@{scorer}"}
        if system.model != "backbone":
            needs.add(f"train_sonnet@{system.model.rpartition('/')[2]}")
        texts = max((part.rows for part in work if part.operation != "language.still"), default=1)
        yield Stage(
            "generate_sonnets",
            row,
            frozenset(needs),
            (Work("start", 1), *work),
            _memory(project, texts),
            2 * poems * 1500 / MIB,
            f"{poems:.0f} poems with {system.decoder}",
        )


def writing(project: Project, system: System, prompts: int, draws: int) -> list[Work]:
    """The steps of a decoder, and the choice where it makes one."""
    count = LONGER * (new_tokens(project) if system.model != "backbone" else untuned_tokens(project))
    count = min(count, system.max_new_tokens or count)
    suffix = ".constrained" if system.exact_lines or system.line_length or system.no_copy_words else ""
    if isinstance(system, Sampler):
        return sampled(prompts * draws, count, suffix)
    if isinstance(system, SampledMBR):
        choice = Work("mbr.aggregated" if system.aggregated else "mbr", prompts, 1, system.samples)
        return [*sampled(prompts * system.samples, count, suffix), choice]
    if isinstance(system, LineMBR):
        choice = Work("line_mbr", prompts * min(SWEEPS, system.sweeps), 1, system.samples)
        return [*sampled(prompts * system.samples, count, suffix), choice]
    if isinstance(system, Contrastive):
        return [Work(f"contrastive_search{suffix}", count, prompts * system.k)]
    if isinstance(system, ContrastiveDecoding):
        return [Work("contrastive_decoding", count, prompts)]
    if isinstance(system, Verse):  # line by line: so many more steps end late, and every candidate is read again
        candidates = prompts * system.candidates
        read = Work("language.still", FORWARD * candidates * (SONNET_LINES - GIVEN_LINES) / 32, 32, count)
        return [*sampled(candidates, count, suffix), read]
    assert isinstance(system, Beams)
    work = [Work(f"beam_search{suffix}", count, prompts * system.beams)]
    if isinstance(system, EnsembleMBR):
        work += sampled(prompts * system.samples, count, suffix)
        work.append(Work(f"contrastive_search{suffix}", count, prompts * system.k))
        work.append(Work("mbr", prompts, 1, system.samples + 1 + system.beams))
    elif isinstance(system, BeamMBR):
        work.append(Work("mbr", prompts, 1, system.beams))
    return work


def sampled(texts: int, count: float, suffix: str) -> list[Work]:
    """Steps of ancestral sampling: full batches, and what is left."""
    full, rest = divmod(texts, ROWS_PER_BATCH)
    work = [Work(f"sample{suffix}", count * full, ROWS_PER_BATCH)] if full else []
    return work + ([Work(f"sample{suffix}", count, rest)] if rest else [])


def new_tokens(project: Project) -> float:
    """Of a poem after its prompt."""
    return max(1.0, project.counts["sonnets/train"].tokens - project.counts["prompts/dev"].tokens)


def untuned_tokens(project: Project) -> float:
    """A backbone that has read no sonnet writes on to the end of its context."""
    settings = load_block("backbone", Backbone, project.path)
    if settings.source == "scratch" and {"sonnets", "plays"} & set(settings.scratch.corpora):
        return new_tokens(project)
    return (project.model.context - project.counts["prompts/dev"].tokens) / LONGER


def _kind(dropout: float) -> str:
    return "language" if dropout else "language.still"


def _memory(project: Project, texts: float) -> float:
    """Two models, their caches at the end of the poems, and the logits of a step a few times."""
    model, texts = project.model, min(texts, ROWS_PER_BATCH)
    length = project.counts["sonnets/train"].tokens + 64
    return 2 * model.mib + texts * (2 * model.layers * model.width * length + 4 * model.vocabulary) * 4 / MIB
