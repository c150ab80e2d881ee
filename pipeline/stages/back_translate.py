"""Translate training sentences into another language and back, and check what comes out.

    python -m pipeline.stages.back_translate <language>

Reads block `back_translation`, data/prepared/paraphrase/train.csv, data/raw/translations.tsv (recorded translations,
where there are any) and the translation memory; writes data/augmented/back_translation/<language>/candidates.csv and
metrics/augmentation/<language>.json. Every sentence is translated once in the life of the memory.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.augment import quality
from pipeline.augment.back_translation import Candidate, select, write_candidates
from pipeline.augment.memory import MEMORY, TranslationMemory
from pipeline.augment.surface.chrf import chrf
from pipeline.augment.translate import back_translate, open_translator
from pipeline.config.back_translation import Checks, Selection, Translator
from pipeline.config.base import check, load_block, read_params
from pipeline.config.training import Compute
from pipeline.errors import InputError, one_argument, stage_main
from pipeline.files import new_folder, write_json
from pipeline.text.prepared import PREPARED, Pair, read_pairs

RECORDED = Path("data/raw/translations.tsv")
OUT, METRICS = Path("data/augmented/back_translation"), Path("metrics/augmentation")


def main(arguments: Sequence[str]) -> None:
    language = one_argument(arguments, "language")
    block = read_params()["back_translation"]
    if not isinstance(block, dict) or language not in (block.get("languages") or []):
        raise InputError(f"params.yaml: back_translation.languages has no {language!r}")
    checks = check(block.get("checks"), Checks, "back_translation.checks")
    selection = check(block.get("selection"), Selection, "back_translation.selection")
    settings = check(block.get("translator"), Translator, "back_translation.translator")
    pairs = read_pairs(PREPARED / "paraphrase" / "train.csv")
    selected = select(pairs, selection, language)
    sources = [getattr(pair, sentence) for pair, sentence in selected]
    with TranslationMemory(MEMORY) as memory:
        if RECORDED.exists():
            memory.import_tsv(RECORDED)
        translator = open_translator(settings)
        translations = back_translate(sources, language, translator, memory)
    candidates = judge(selected, translations, checks)
    with new_folder(OUT / language) as folder:
        write_candidates(folder / "candidates.csv", candidates)
    figures = quality.summary(
        [row.source for row in candidates],
        [row.translation for row in candidates],
        [row.verdict for row in candidates],
        [row.similarity for row in candidates],
    )
    write_json(METRICS / f"{language}.json", {"backend": settings.backend, **figures})
    print(f"{language}: {figures['accepted']:,} of {figures['candidates']:,} back-translations accepted")


def judge(
    selected: Sequence[tuple[Pair, str]], translations: Mapping[str, str | None], checks: Checks
) -> list[Candidate]:
    """Every selected sentence with its back-translation, scores and verdict."""
    sources = [getattr(pair, sentence) for pair, sentence in selected]
    backs = [translations[source] or "" for source in sources]
    similarities = [None] * len(sources) if checks.similarity is None else _similarities(sources, backs)
    candidates = []
    for (pair, sentence), source, back, similarity in zip(selected, sources, backs, similarities, strict=True):
        verdict = quality.judge(source, back, similarity, checks.near_copy, checks.length_ratio, checks.similarity)
        other = pair.sentence2 if sentence == "sentence1" else pair.sentence1
        alike = chrf(source, back)
        candidates.append(
            Candidate(pair.id, sentence, pair.label or 0, source, back, other, similarity, alike, verdict)
        )
    return candidates


def _similarities(sources: Sequence[str], backs: Sequence[str]) -> list[float]:
    from pipeline.augment.encoder import Encoder
    from pipeline.augment.scores import ScoreCache, score_all
    from pipeline.determinism import make_deterministic

    make_deterministic(0, load_block("compute", Compute).threads)
    with ScoreCache() as cache:
        return score_all(list(zip(sources, backs, strict=True)), Encoder(), cache)


if __name__ == "__main__":
    stage_main(main)
