"""A small made-up project for the tests of the report: all that the evaluation stages read, with hostile text in it."""

from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from small_project import evaluation_words

from pipeline.augment import adversarial
from pipeline.config.base import PARAMS, parse
from pipeline.evaluation.generation import tail
from pipeline.evaluation.predictions import write_predictions
from pipeline.files import write_csv, write_json, write_jsonl, write_text
from pipeline.stages import (
    ensemble,
    evaluate_floors,
    evaluate_paraphrase,
    evaluate_sentiment,
    evaluate_sonnets,
    report,
)
from pipeline.text.prepared import PREPARED, Pair, Poem, Sentence, lines_of, write_pairs, write_poems, write_sentences

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = "<script>alert('&')</script> | pipe"
KEPT = {"baseline", "last_pooling", "mean_pooling", "back_translation", "apt"}  # of the paraphrase rows
WORDS = "the rose of summer fades and day shall love thy beauty more than night can tell sweet time".split()


def make_project(folder: Path) -> None:
    """Everything the evaluation stages read, for the committed params.yaml with fewer rows, in the current folder."""
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    methods = params["paraphrase"]["methods"]
    for row in methods.keys() - KEPT:
        del methods[row]
    for name in ("ensemble", "ensemble_weighted"):
        params["paraphrase"]["ensembles"][name]["members"] = ["baseline", "last_pooling", "mean_pooling"]
    params["sentiment"]["methods"]["sst_head"]["seeds"] = [5]
    yaml.dump(params, folder / "params.yaml")
    write_text(folder / "profiles/sample.yaml", (ROOT / "profiles/sample.yaml").read_text(encoding="utf-8"))
    params, rng = parse(PARAMS), np.random.default_rng(0)
    _classifiers(params, rng)
    _sonnets(params, rng)
    _augmentation(params)
    for task, block in (("sentiment", "sentiment"), ("paraphrase", "paraphrase"), ("sonnet", "sonnet")):
        for row in params[block]["methods"]:
            _curves(Path("plots/curves") / task / row, "select_chrf" if task == "sonnet" else "select_accuracy", rng)
    write_json(Path("metrics/data.json"), {"sst": {"train": {"rows": 1200, "label_0": 0.25, "dropped_empty": 0}}})


def _classifiers(params: dict, rng: np.random.Generator) -> None:
    for dataset, classes in (("sst", 5), ("cfimdb", 2)):
        rows = [Sentence(f"{dataset}{index}", f"film {index} {HOSTILE}", index % classes) for index in range(120)]
        write_sentences(PREPARED / dataset / "dev.csv", rows)
    shared = ("", "is", "is odd", "is very odd")
    pairs = [
        Pair(f"q{index}", f"Is {index} odd?", f"{HOSTILE} {shared[index % 4]}", int(index % 3 == 0))
        for index in range(300)
    ]
    write_pairs(PREPARED / "paraphrase/dev.csv", pairs)
    for place, row in enumerate(params["paraphrase"]["methods"]):
        _predictions("paraphrase", row, [(pair.id, pair.label or 0) for pair in pairs], 2, 1.2 + 0.5 * place, rng)
    for seed in params["paraphrase"]["methods"]["baseline"]["seeds"]:
        _predictions("paraphrase", f"baseline/seed_{seed}", [(pair.id, pair.label or 0) for pair in pairs], 2, 1.2, rng)
    for row, own in params["sentiment"]["methods"].items():
        classes = 5 if own["dataset"] == "sst" else 2
        labels = [(f"{own['dataset']}{index}", index % classes) for index in range(120)]
        _predictions("sentiment", row, labels, classes, 1.5 if own["mode"] == "full" else 0.8, rng)
        for seed in own.get("seeds", []):
            _predictions("sentiment", f"{row}/seed_{seed}", labels, classes, 0.8, rng)


def _augmentation(params: dict) -> None:
    """What the augmentation stages leave behind: some of every verdict."""
    folder = Path("metrics/augmentation")
    for place, language in enumerate(params["back_translation"]["languages"]):
        counts = {"candidates": 200, "accepted": 120, "acceptance_rate": 0.6, "copy": 30 + place, "drift": 50 - place}
        means = {"mean_similarity": 0.9, "chrf_to_source": 0.6, "distinct_2": 0.5}
        write_json(folder / f"{language}.json", {"backend": "memory", **counts, **means})
    for name in params["training_sets"]:
        counts = {"rows": 400, "augmented": 100, "augmented_share": 0.25, "available": 120}
        write_json(folder / "sets" / f"{name}.json", {**counts, "label_1": 0.4, "label_1_before": 0.4})
    rows = [
        adversarial.Candidate(f"q{number} {HOSTILE}?", f"other {number}", "lm", number % 2, 0.9, 0.8, 0.3, verdict)
        for number, verdict in enumerate(adversarial.VERDICTS * 5)
    ]
    adversarial.write_candidates(Path("data/augmented/adversarial/candidates.csv"), rows)
    about = {"generator": "lm", "meaning_gate": f"stand-in {HOSTILE}", "surface_gate": "chrf"}
    write_json(folder / "apt.json", about | adversarial.search_figures(rows, 40))


def _predictions(
    task: str, row: str, labels: list[tuple[str, int]], classes: int, skill: float, rng: np.random.Generator
) -> None:
    for split in ("select", "dev", "test", *(("dev_swapped", "ap_h") if task == "paraphrase" else ())):
        scores = rng.normal(size=(len(labels), classes))
        scores[np.arange(len(labels)), [label for _, label in labels]] += skill
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        known = [None if split == "test" else label for _, label in labels]
        folder = Path("predictions") / task / row
        write_predictions(folder, split, [name for name, _ in labels], known, shares, "Header")


def _poem(number: int, rng: np.random.Generator) -> Poem:
    lines = [" ".join(rng.choice(WORDS, 8)) + "," for _ in range(14)]
    return Poem(number, "\n".join(lines[:3]), "\n".join(lines))


def _sonnets(params: dict, rng: np.random.Generator) -> None:
    train, select, dev = ([_poem(start + k, rng) for k in range(n)] for start, n in ((1, 10), (20, 3), (132, 4)))
    for split, poems in (("train", train), ("select", select), ("dev", dev)):
        write_poems(PREPARED / f"sonnets/{split}.jsonl", poems)
    folders = [f"sonnets/{name}" for name in params["sonnet"]["systems"]]
    for folder in (*folders, *(f"sonnets_ensembles/{name}" for name in params["sonnet"]["ensembles"])):
        poems = []
        for draw in range(3):
            for poem in dev:
                text = poem.prompt + f"\n{HOSTILE}\n" + lines_of(tail(train[draw]))[0] + tail(_poem(0, rng))[:200]
                poems.append({"id": poem.id, "draw": draw, "prompt": poem.prompt, "text": text})
        write_jsonl(Path("predictions") / folder / "dev.jsonl", poems)
        held_out = [{"id": poem.id, "draw": 0, "prompt": poem.prompt, "text": poem.prompt} for poem in select]
        write_jsonl(Path("predictions") / folder / "select.jsonl", held_out)


def _curves(folder: Path, score: str, rng: np.random.Generator) -> None:
    steps = np.arange(10, 400, 10)
    loss = 0.3 + np.exp(-steps / 120) + rng.normal(0, 0.03, len(steps))
    series = {
        "train_loss": list(zip(steps, loss, strict=True)),
        "select_loss": [(step, 0.4 + float(np.exp(-step / 120))) for step in range(60, 400, 60)],
        score: [(step, 0.8 - 0.4 * float(np.exp(-step / 120))) for step in range(60, 400, 60)],
        "grad_norm": [(10, 1.0)],
    }
    for name, points in series.items():
        rows = [[int(step), float(value)] for step, value in points]
        write_csv(folder / f"{name}.tsv", ["step", name], rows, delimiter="\t")


def run_all() -> None:
    """Every evaluation stage, then the report."""
    params = parse(PARAMS)
    for task in ("sentiment", "paraphrase"):
        for name in params[task]["ensembles"]:
            ensemble.main(task, name)
    for row in (*params["sentiment"]["methods"], *params["sentiment"]["ensembles"]):
        evaluate_sentiment.main(row, *evaluation_words())
    for row in (*params["paraphrase"]["methods"], *params["paraphrase"]["ensembles"]):
        evaluate_paraphrase.main(row, *evaluation_words())
    for system in (*params["sonnet"]["systems"], *params["sonnet"]["ensembles"]):
        evaluate_sonnets.main(system, *evaluation_words())
    evaluate_floors.main(*evaluation_words())
    report.main()
