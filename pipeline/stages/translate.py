"""Translate one shard's part of the selected training sentences into another language and back.

    python -m pipeline.stages translate <language> <shard>

Reads block `back_translation`, data/prepared/paraphrase/train.csv, data/raw/translations.tsv (recorded translations,
where there are any) and the translation memory; writes data/augmented/translations/<language>/<shard>. Every sentence
is translated once in the life of the memory. Shards run at the same time, on one machine or on several.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.augment.back_translation import (
    SENTENCES,
    TRANSLATIONS,
    Translation,
    blocks_of,
    distinct_sentences,
    select_sentences,
    write_translations,
)
from pipeline.augment.memory import TranslationMemory
from pipeline.augment.scores import ScoreCache, Scorer, score_all
from pipeline.augment.translate import back_translate, open_backend
from pipeline.config.augmentation import named_language, read_shard
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import new_folder
from pipeline.text.prepared import PREPARED, read_pairs

RECORDED = Path("data/raw/translations.tsv")


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        raise InputError("usage: python -m pipeline.stages translate <language> <shard>")
    block = load_params().back_translation
    language = named_language(arguments[0], block)
    shard = read_shard(arguments[1], block.shards, "back_translation.shards")
    selected = select_sentences(read_pairs(PREPARED / "paraphrase" / "train.csv"), block.selection, language)
    blocks = blocks_of(distinct_sentences(selected), SENTENCES, shard, len(block.shards))
    backend = open_backend(block.translator)
    encoder = open_encoder() if block.checks.similarity is not None else None
    translations: list[Translation] = []
    with TranslationMemory() as memory, ScoreCache() as cache:
        if RECORDED.exists():
            memory.import_tsv(RECORDED)
        for sentences in blocks:
            found = back_translate(sentences, language, backend, memory)
            pairs = [(sentence, found[sentence] or "") for sentence in sentences]
            similarities = score_all(pairs, encoder, cache) if encoder else [None] * len(pairs)
            translations += [Translation(*pair, score) for pair, score in zip(pairs, similarities, strict=True)]
    with new_folder(TRANSLATIONS / language / str(shard)) as folder:
        write_translations(folder, translations)


def open_encoder() -> Scorer:
    """The sentence encoder, which needs torch."""
    from pipeline.augment.encoder import Encoder
    from pipeline.compute.reproducible import make_deterministic

    make_deterministic(0, load_params().compute)
    return Encoder()
