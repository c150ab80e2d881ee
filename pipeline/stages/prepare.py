"""Read, check, normalise and split the raw corpora.

    python -m pipeline.stages prepare

Reads blocks `text` and `seed` of params.yaml and data/raw; writes data/prepared/<corpus> and metrics/data.json.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.config.params import load_params
from pipeline.files import new_folder, write_json, write_jsonl
from pipeline.text import corpora
from pipeline.text.corpora import AnyRow, Corpus, Figures
from pipeline.text.prepared import PREPARED, write_pairs, write_poems, write_sentences

RAW = Path("data/raw")  # what `download` writes
METRICS = Path("metrics/data.json")
NOTED = ("dropped_", "generated_", "renamed_", "conflicting_", "not_14_lines")  # figures that deserve a look


def main(arguments: Sequence[str]) -> None:
    text, seed = load_params().text, load_params().seed
    sentiment = {name: corpora.sentiment(RAW, name, text, seed) for name in ("sst", "cfimdb")}
    paraphrase = corpora.paraphrase(RAW, text, seed)
    sonnets = corpora.sonnets(RAW, text, seed)
    extra = {"etpc": corpora.etpc(RAW, text), "ap_h": corpora.ap_h(RAW, text, seed)}
    plays = corpora.plays(RAW)

    # Written only now: a bad file leaves the earlier outputs as they were.
    for name, sentences in sentiment.items():
        _write(name, sentences, write_sentences, "csv")
    _write("paraphrase", paraphrase, write_pairs, "csv")
    _write("sonnets", sonnets, write_poems, "jsonl")
    for name, pairs in extra.items():
        _write(name, pairs, write_pairs, "csv")
    _write("plays", plays, lambda path, texts: write_jsonl(path, ({"text": text} for text in texts)), "jsonl")
    figures = {name: sentences.figures for name, sentences in sentiment.items()}
    figures |= {"paraphrase": paraphrase.figures, "sonnets": sonnets.figures}
    figures |= {name: pairs.figures for name, pairs in extra.items()} | {"plays": plays.figures}
    write_json(METRICS, figures)
    _print_summary(figures)


def _write(name: str, corpus: Corpus[AnyRow], write: Callable[[Path, Iterable[AnyRow]], None], suffix: str) -> None:
    with new_folder(PREPARED / name) as folder:
        for split, rows in corpus.rows.items():
            write(folder / f"{split}.{suffix}", rows)


def _print_summary(figures: Mapping[str, Mapping[str, Figures]]) -> None:
    for name, corpus in figures.items():
        print(f"{name:11}" + "".join(f"  {split} {figure['rows']:<8,.0f}" for split, figure in corpus.items()).rstrip())
        for split, figure in corpus.items():
            notes = [f"{value:,.0f} {key}" for key, value in figure.items() if value and key.startswith(NOTED)]
            if notes:
                print(f"{'':11}    in {split}: {', '.join(notes)}")
