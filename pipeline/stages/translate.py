"""Translate one shard's part of the selected training sentences into another language and back.

Reads block `back_translation`, data/prepared/paraphrase/train.csv, data/raw/translations.tsv (recorded translations,
where there are any) and the translation memory; writes data/augmented/translations/<language>/<shard>. Every sentence
is translated once in the life of the memory. Shards run at the same time, on one machine or on several.
"""

from pathlib import Path

from pipeline.augment.back_translation import SENTENCES, TRANSLATIONS, blocks_of, distinct_sentences, select_sentences
from pipeline.augment.memory import ScoreCache, TranslationMemory, score_all
from pipeline.augment.translate import back_translate, open_backend
from pipeline.config.base import named
from pipeline.config.params import load_params
from pipeline.files import new_folder, write_jsonl
from pipeline.text.prepared import PREPARED, read_pairs


def main(language: str, shard: str) -> None:
    block, encoder = load_params().back_translation, None
    named(block.languages, language, "back_translation.languages")
    number = named(block.shards, shard, "back_translation.shards")
    selected = select_sentences(read_pairs(PREPARED / "paraphrase" / "train.csv"), block.selection, language)
    backend = open_backend(block.translator)
    if block.checks.similarity is not None:
        from pipeline.augment.encoder import Encoder
        from pipeline.compute.reproducible import make_deterministic

        make_deterministic(0, load_params().compute)
        encoder = Encoder()
    rows = []
    with TranslationMemory() as memory, ScoreCache() as cache:
        if (recorded := Path("data/raw/translations.tsv")).exists():
            memory.import_tsv(recorded)
        for sentences in blocks_of(distinct_sentences(selected), SENTENCES, number, len(block.shards)):
            found = back_translate(sentences, language, backend, memory)
            pairs = [(sentence, found[sentence] or "") for sentence in sentences]
            similarities = score_all(pairs, encoder, cache) if encoder else [None] * len(pairs)
            for (source, back), similarity in zip(pairs, similarities, strict=True):
                rows.append({"source": source, "translation": back, "similarity": similarity})
    with new_folder(TRANSLATIONS / language / shard) as folder:
        write_jsonl(folder / "translations.jsonl", rows)
