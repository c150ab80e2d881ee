"""Translate one shard's part of the selected training sentences into another language and back.

    python -m pipeline.stages translate <language> <shard>

Reads block `back_translation`, data/prepared/paraphrase/train.csv, data/raw/translations.tsv (recorded translations,
where there are any) and the translation memory; writes data/augmented/translations/<language>/<shard>. Every sentence
is translated once in the life of the memory. Shards run at the same time, on one machine or on several.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pipeline.augment.back_translation import TRANSLATIONS, Translation, distinct_sentences, select, write_translations
from pipeline.augment.memory import MEMORY, TranslationMemory
from pipeline.augment.shards import SENTENCES, blocks_of
from pipeline.augment.translate import back_translate, open_translator
from pipeline.config.augmentation import BackTranslation, named_language, read_shard
from pipeline.config.base import load_block
from pipeline.config.training import Compute
from pipeline.errors import InputError
from pipeline.files import new_folder
from pipeline.text.prepared import PREPARED, read_pairs

RECORDED = Path("data/raw/translations.tsv")
Compare = Callable[[Sequence[tuple[str, str]]], Sequence[float | None]]


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        raise InputError("usage: python -m pipeline.stages translate <language> <shard>")
    block = load_block("back_translation", BackTranslation)
    language = named_language(arguments[0], block)
    shard = read_shard(arguments[1], block.shards, "back_translation.shards")
    selected = select(read_pairs(PREPARED / "paraphrase" / "train.csv"), block.selection, language)
    blocks = blocks_of(distinct_sentences(selected), SENTENCES, shard, len(block.shards))
    translator = open_translator(block.translator)
    translations: list[Translation] = []
    with TranslationMemory(MEMORY) as memory, comparison(block.checks.similarity is not None) as compare:
        if RECORDED.exists():
            memory.import_tsv(RECORDED)
        for sentences in blocks:
            found = back_translate(sentences, language, translator, memory)
            backs = [found[sentence] or "" for sentence in sentences]
            similarities = compare(list(zip(sentences, backs, strict=True)))
            translations += map(Translation, sentences, backs, similarities)
    with new_folder(TRANSLATIONS / language / str(shard)) as folder:
        write_translations(folder, translations)


@contextmanager
def comparison(wanted: bool) -> Iterator[Compare]:
    """The similarity of each (source, back-translation), None if it is not `wanted`."""
    if not wanted:
        yield lambda pairs: [None] * len(pairs)
        return
    from pipeline.augment.encoder import Encoder
    from pipeline.augment.scores import ScoreCache, score_all
    from pipeline.compute.reproducible import make_deterministic

    make_deterministic(0, load_block("compute", Compute))
    with ScoreCache() as cache:
        yield partial(score_all, scorer=Encoder(), cache=cache)
