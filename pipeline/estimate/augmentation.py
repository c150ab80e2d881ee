"""The stages around the models: data, augmented pairs, scores and the report."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.config.augmentation import Adversarial, BackTranslation, load_training_set, training_sets
from pipeline.config.base import load_block
from pipeline.config.sonnet import Sampler, load_system
from pipeline.config.tasks import load_ensemble
from pipeline.estimate.classifiers import Project, training_set
from pipeline.estimate.demand import Stage, Work
from pipeline.estimate.model import MIB

MARIAN, NLI, BLEURT = 77e6, 355e6, 110e6  # weights
APERTIUM = 300.0  # round trips a second, as once measured
ROUND_TRIPS = 2  # passes of a sentence: there and back
ENCODER_MIB = 350.0  # MiniLM and its batches
# Questions that need a second round; most of them need all others, too: see retry_* in metrics/augmentation/apt.json.
AGAIN = 2 / 3
TEXT_BYTES = 400.0  # a candidate with its scores, as CSV
SMALL = 0.05  # MiB: a few metrics


def data(project: Project) -> Iterator[Stage]:
    """code, which all others wait for a moment, download and prepare."""
    counts = project.counts
    rows = sum(texts.rows for name, texts in counts.texts.items() if "/" in name and not name.startswith("prompts"))
    size = 2 * sum(texts.rows * texts.characters for texts in counts.texts.values()) / MIB
    yield Stage("code", None, frozenset(), (Work("start", 0.5),), 0, SMALL, "the code of all stages")
    yield Stage("download", None, frozenset(), (Work("start", 0.3),), 0, size, f"{size / 2:,.1f} MiB of text")
    work = (Work("start", 0.3), Work("read", rows))
    yield Stage("prepare", None, frozenset({"download"}), work, 6 * size, size, f"{rows:,} rows")


def translations(project: Project) -> Iterator[Stage]:
    """translate: the translator is not measured, the encoder is."""
    settings = load_block("back_translation", BackTranslation, project.path)
    texts, tokens = selected(project, settings), project.counts["paraphrase/questions"].tokens
    work = [Work("start", 1)]
    if settings.checks.similarity is not None:
        work.append(Work("embed", 2 * texts, 1, tokens))
    backend, assumed = settings.translator.backend, 0.0
    if backend == "marian":
        work.append(like_model(project, MARIAN, ROUND_TRIPS * settings.translator.marian.beams * texts, tokens))
    elif backend == "apertium":
        assumed = texts / APERTIUM
    elif backend != "memory":
        assumed = ROUND_TRIPS * texts / settings.translator.network.requests_per_second
    shards = len(settings.shards)
    driver = f"{texts:,} sentences in all, {backend}" + (" (speed assumed)" if assumed else "")
    disk = 2 * texts * TEXT_BYTES / MIB / shards
    for language in settings.languages:
        for shard in settings.shards:
            yield Stage("translate", f"{language}-{shard}", frozenset({"prepare"}), divided(work, shards), ENCODER_MIB,
                        disk, driver, assumed / shards)  # fmt: skip


def back_translations(project: Project) -> Iterator[Stage]:
    """back_translate: joins the shards and checks every sentence."""
    settings = load_block("back_translation", BackTranslation, project.path)
    texts = selected(project, settings)
    work = (Work("start", 0.3), Work("chrf", 3 * texts), Work("read", 2 * texts))
    for language in settings.languages:
        needs = frozenset({"prepare", *(f"translate@{language}-{shard}" for shard in settings.shards)})
        yield Stage("back_translate", language, needs, work, 50, 2 * texts * TEXT_BYTES / MIB, f"{texts:,} sentences")


def selected(project: Project, settings: BackTranslation) -> int:
    """The sentences to translate, of each language."""
    train = project.counts["paraphrase/train"].rows
    return min(settings.selection.pairs or train, train) * len(settings.selection.sentences)


def divided(work: Sequence[Work], shards: int) -> tuple[Work, ...]:
    """The work of one of so many shards; each of them starts."""
    return tuple(part if part.operation == "start" else replace(part, count=part.count / shards) for part in work)


def searches(project: Project) -> Iterator[Stage]:
    """adversarial_search: candidates for every question in every round, and two gates in both directions."""
    settings, counts, own = load_block("adversarial", Adversarial, project.path), project.counts, project.model
    tokens = counts["paraphrase/questions"].tokens
    questions = min(settings.questions or 2 * counts["paraphrase/train"].rows, 2 * counts["paraphrase/train"].rows)
    rounds, width = 1 + AGAIN * settings.sampling.retries, min(256, 64 * settings.sampling.candidates)
    texts, longest = questions * rounds * settings.sampling.candidates, settings.sampling.max_new_tokens
    given = len(list(back_translations(project))) if settings.back_translations else 0  # of a question
    # Some text of a batch goes on to the last token; most are as long as their question, and then leave the batch.
    work = [Work("start", 1), Work("sample", texts / width * longest, width * min(1.0, tokens / longest))]
    texts += given * questions
    if settings.meaning.gate == "nli":
        work.append(like_model(project, NLI, 2 * texts, 2 * tokens))
    else:
        work.append(Work("embed", texts + questions, 1, tokens))
    if settings.surface.gate == "bleurt":
        work.append(like_model(project, BLEURT, 2 * texts, 2 * tokens))
    else:
        work.append(Work("chrf", 2 * texts))
    needs = {"generator", "prepare", *(stage.name for stage in back_translations(project))}
    if settings.classifier != "models/backbone":
        needs.add(f"train_paraphrase@{settings.classifier.rpartition('/')[2]}")
    memory = own.mib + ENCODER_MIB + width * own.vocabulary * 16 / MIB
    shards = len(settings.shards)
    driver = f"{questions:,} questions in all, about {rounds:.1f} rounds of {settings.sampling.candidates}"
    disk = 2 * texts * TEXT_BYTES / MIB / shards
    for shard in settings.shards:
        yield Stage("adversarial_search", str(shard), frozenset(needs), divided(work, shards), memory, disk, driver)


def adversarial(project: Project) -> Iterator[Stage]:
    """Joins what the shards have found."""
    parts = list(searches(project))
    needs = frozenset({"prepare", *(stage.name for part in (parts, back_translations(project)) for stage in part)})
    disk = sum(part.disk_mib for part in parts)
    yield Stage("adversarial", None, needs, (Work("start", 0.3),), 5 * disk, disk, f"{len(parts)} shards")


def like_model(project: Project, weights: float, rows: float, tokens: float) -> Work:
    """Passes of another model: as the backbone's predictions, by the arithmetic that its weights ask for."""
    own = project.model.layers * project.model.block
    return Work("predict", weights / own * rows / 64, 64, tokens)


def training_set_stages(project: Project) -> Iterator[Stage]:
    """training_set: reading and writing pairs."""
    for row in training_sets(project.path):
        mixture, rows = load_training_set(row, project.path), training_set(project, f"augmented/paraphrase/{row}")
        source = {
            "augmented/back_translation": {stage.name for stage in back_translations(project)},
            "augmented/adversarial": {"adversarial"},
        }.get(mixture.source, set())
        size = 2 * rows.rows * project.counts["paraphrase/train"].characters / MIB
        work = (Work("start", 0.3), Work("read", rows.rows / 4))
        yield Stage("training_set", row, frozenset({"prepare", *source}), work, 5 * size, size, f"{rows.rows:,} rows")


def scores(project: Project) -> Iterator[Stage]:
    """ensemble, evaluate_*, report and the page of plots."""
    counts = project.counts
    held_out = counts["paraphrase/dev"].rows + counts["ap_h/dev"].rows
    members = {row: load_ensemble(row, project.path).members for row in project.rows("paraphrase", "ensembles")}
    for row, names in members.items():
        work = (Work("start", 0.3), Work("score", len(names), held_out))
        needs = frozenset(f"train_paraphrase@{name}" for name in project.rows("paraphrase", "methods"))
        yield Stage("ensemble", row, needs, work, 50, held_out * 2e-4, f"{len(names)} rows")
    for kind, group, table, upstream, size in (
        ("evaluate_sentiment", "sentiment", "methods", "train_sentiment", counts["sst/dev"].rows),
        ("evaluate_paraphrase", "paraphrase", "methods", "train_paraphrase", held_out),
        ("evaluate_ensemble", "paraphrase", "ensembles", "ensemble", held_out),
    ):
        for row in project.rows(group, table):
            work = (Work("start", 0.5), Work("score", 3, size / 2))  # dev, select, AP_H
            yield Stage(kind, row, frozenset({f"{upstream}@{row}"}), work, 50, SMALL, f"{size:,} rows of dev")
    poems = counts["prompts/dev"].rows
    yield Stage("evaluate_floors", None, frozenset({"prepare"}), (Work("start", 1), Work("verse", 21 * poems)), 100,
                SMALL, f"{poems} poems")  # fmt: skip
    for row in project.rows("sonnet", "systems"):
        system = load_system(row, project.path)
        texts = poems * (system.draws if isinstance(system, Sampler) else 1)
        work = (Work("start", 1), Work("verse", texts))
        yield Stage("evaluate_sonnets", row, frozenset({f"generate_sonnets@{row}"}), work, 100, SMALL, f"{texts} poems")
    yield from _report(project, held_out)


def _report(project: Project, held_out: int) -> Iterator[Stage]:
    rows = project.rows("paraphrase", "methods")
    needs = {f"evaluate_sentiment@{row}" for row in project.rows("sentiment", "methods")}
    needs |= {f"evaluate_paraphrase@{row}" for row in rows} | {"evaluate_floors", "adversarial"}
    needs |= {f"evaluate_ensemble@{row}" for row in project.rows("paraphrase", "ensembles")}
    needs |= {f"evaluate_sonnets@{row}" for row in project.rows("sonnet", "systems")}
    work = (Work("start", 2), Work("score", 5 * len(rows), held_out))
    yield Stage("report", None, frozenset(needs), work, 200, 4, f"{len(rows)} rows compared")
    yield Stage("plots_page", None, frozenset(), (Work("start", 0.5),), 20, 6, "the page of the plots")
