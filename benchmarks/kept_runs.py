"""The results of a profile that runs for longer than one machine is at hand: what runs leave behind, put together.

    python -m benchmarks.kept_runs keep smollm2 RUN      # a folder in which rows of the profile were run and evaluated
    python -m benchmarks.kept_runs build smollm2 DATA    # the data of these runs, a folder in the course layout

`keep` takes the metrics, the submissions and the answers of all rows of RUN to profiles/results/<profile>. Answers hold
nothing of the data: probabilities in the order of data/prepared, and poems without their given lines. `build` averages
the members of ensembles whose answers are there, scores them, and writes summary.md with the paired tests. A row of
which there are metrics alone is in its table, and in no test.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.config.base import PARAMS, parse
from pipeline.errors import InputError
from pipeline.evaluation.generation import read_generated
from pipeline.evaluation.predictions import HEADERS, METRICS, folder_of, read_any_predictions, write_predictions
from pipeline.files import new_folder, read_jsonl, write_jsonl, write_text
from pipeline.report import answers, page
from pipeline.report.augmentation import Augmentation, load_augmentation
from pipeline.report.results import Results, load_results
from pipeline.stages import download, ensemble, evaluate_floors, evaluate_paraphrase, evaluate_sentiment, prepare
from pipeline.text.prepared import PREPARED, read_pairs, read_poems, read_sentences

ROOT = Path(__file__).parents[1]
EVALUATE = {"sentiment": evaluate_sentiment.main, "paraphrase": evaluate_paraphrase.main}
TABLES = {"sentiment": "methods", "paraphrase": "methods", "sonnet": "systems"}


def main(command: str, profile: str, source: str) -> None:
    folder = ROOT / "profiles/results" / profile
    if command == "keep":
        keep(Path(source), folder)
    else:
        build(source, folder, parse(ROOT / f"profiles/{profile}.yaml"))


def keep(run: Path, folder: Path) -> None:
    """Take over every row that was run here: a clone has metrics of all rows, which are those of the sample."""
    for task in (*HEADERS, "sonnets"):
        for part in (folder / task, folder / "answers" / task, folder / "predictions" / task):
            part.mkdir(parents=True, exist_ok=True)
        for metrics in sorted((run / METRICS / task).glob("*.json")):
            row, written = metrics.stem, run / folder_of(task, metrics.stem)
            if not written.exists():
                continue
            if metrics.stat().st_mtime < written.stat().st_mtime:
                raise InputError(f"{metrics}: older than {written}; evaluate the row first")
            shutil.copy(metrics, folder / task)
            if task in HEADERS:
                files = [path for path in sorted(written.glob("*.csv")) if path.stem != "submission"]
                found = {path.stem: read_any_predictions(path).probabilities.astype(np.float32) for path in files}
                save_file(found, folder / f"answers/{task}/{row}.safetensors")
                shutil.copy(written / "submission.csv", folder / f"predictions/{task}/{row}.csv")
            else:
                poems = chain(*read_generated(written / "dev.jsonl").values())
                completions = (asdict(one) | {"prompt": "", "text": one.completion} for one in poems)
                write_jsonl(folder / f"answers/{task}/{row}.jsonl", completions)


def build(data: str, folder: Path, params: dict[str, Any]) -> None:
    """Prepare the data, and write what is made of the answers, and summary.md."""
    source = {"data": {"path": str(Path(data).absolute())}}
    with tempfile.TemporaryDirectory() as work, contextlib.chdir(work):
        shutil.copytree(folder, METRICS)
        PARAMS.write_text(json.dumps(with_answers(params, folder) | source))  # JSON is YAML
        download.main()
        prepare.main()
        evaluate_floors.main(*evaluation(params))
        for figures in ("data.json", "sonnets/floors.json"):
            shutil.copy(METRICS / figures, folder / figures)
        assemble(folder, params)
        write_text(folder / "summary.md", summary(load_results(params | {"data": {"path": data}})))


def with_answers(params: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The parameters with the rows that have metrics, and with ensembles of those that have answers, at least two."""
    for block, table in TABLES.items():
        task = "sonnets" if block == "sonnet" else block
        known = {path.stem for path in (folder / task).glob("*.json")}
        params[block][table] = {name: row for name, row in params[block][table].items() if name in known}
        kept = {path.stem for path in (folder / "answers" / task).glob("*.safetensors")}
        ensembles = {name: own | {"members": [row for row in own.get("members", []) if row in kept]}
                     for name, own in params[block]["ensembles"].items()}  # fmt: skip
        params[block]["ensembles"] = {name: own for name, own in ensembles.items() if len(own["members"]) > 1}
    return params


def assemble(folder: Path, params: dict[str, Any]) -> None:
    """The predictions of all rows with answers, here, and the ensembles, also in `folder`."""
    for task in HEADERS:
        for path in (folder / "answers" / task).glob("*.safetensors"):
            restore(path, task, (params[task]["methods"][path.stem] or {}).get("dataset", task))
        for name in params[task]["ensembles"]:
            ensemble.main(task, name)
            EVALUATE[task](name, *evaluation(params))
            shutil.copy(METRICS / task / f"{name}.json", folder / task)
            submission = folder_of(task, name, params[task]["ensembles"]) / "submission.csv"
            shutil.copy(submission, folder / f"predictions/{task}/{name}.csv")
    prompts = {poem.id: poem.prompt for poem in read_poems(PREPARED / "sonnets/dev.jsonl")}
    for path in (folder / "answers/sonnets").glob("*.jsonl"):
        given = ((row, prompts[row["id"]]) for row in read_jsonl(path))
        with new_folder(folder_of("sonnets", path.stem)) as written:
            poems = (row | {"prompt": prompt, "text": prompt + row["text"]} for row, prompt in given)
            write_jsonl(written / "dev.jsonl", poems)


def evaluation(params: dict[str, Any]) -> list[str]:
    """The options of the stages that evaluate."""
    return [f"--{key}={value}" for key, value in {"seed": params["seed"], **params["evaluation"]}.items()]


def restore(path: Path, task: str, corpus: str) -> None:
    """Write the predictions of a row again, with the ids and labels of the data."""
    with new_folder(folder_of(task, path.stem)) as folder:
        for name, probabilities in load_file(path).items():
            place, split = ("ap_h", "dev") if name == "ap_h" else (corpus, name.removesuffix("_swapped"))
            read = read_pairs if task == "paraphrase" else read_sentences
            rows = read(PREPARED / place / f"{split}.csv")
            known = probabilities.astype(np.float64)
            write_predictions(folder, name, [row.id for row in rows], [row.label for row in rows], known, HEADERS[task])


def summary(results: Results) -> str:
    """summary.md with the tests of the rows whose answers are there."""
    params, rows, systems = results.params, results.paraphrase.rows["name"], results.sonnets.rows
    files = {row: folder_of("paraphrase", row, params["paraphrase"]["ensembles"]) / "dev.csv" for row in rows}
    dev = {row: answers.read_predictions(path) for row, path in files.items() if path.exists()}
    resamples, confidence = params["evaluation"]["bootstrap"], results.confidence
    kept = systems[[(folder_of("sonnets", name) / "dev.jsonl").exists() for name in systems["name"]]]
    tests = {
        "paraphrase": answers.paired_tests(dev, resamples, confidence, params["seed"]),
        "sonnets": answers.sonnet_tests(replace(results, sonnets=replace(results.sonnets, rows=kept)), resamples),
    }
    augmented = load_augmentation(params) if (METRICS / "augmentation").exists() else Augmentation({}, {}, {})
    return page.summary(results, tests, augmented)


if __name__ == "__main__":
    main(*sys.argv[1:])
