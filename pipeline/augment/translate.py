"""Translate sentences, each only once in the life of the translation memory, and back-translate them.

What is missing is translated shortest first, in batches that are committed as they come: a killed run loses at most the
batch in flight, and the next one goes on.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tqdm import tqdm

from pipeline.augment.memory import TranslationMemory
from pipeline.augment.translators.replay import Replay
from pipeline.augment.translators.stopped import Stopped
from pipeline.config.augmentation import Translator as TranslatorParams
from pipeline.errors import InputError


class Translator(Protocol):
    """Something that translates.

    name: the backend, as in the parameters and in the memory.
    batch_size: sentences between two commits.
    """

    name: str
    batch_size: int

    def revision(self, source: str, target: str) -> str:
        """What a translation in this direction depends on besides its text; cheap, since replays ask for it too."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Translate; None for what cannot be translated. `Stopped` carries what was done before a failure."""


def open_translator(params: TranslatorParams) -> Translator:
    """The translator that the parameters name."""
    if params.backend == "memory":
        return Replay()
    if params.backend == "apertium":
        from pipeline.augment.translators.apertium import Apertium

        return Apertium()
    if params.backend == "marian":
        from pipeline.augment.translators.marian import Marian

        return Marian(params.marian)
    from pipeline.augment.translators.web import WebTranslator

    return WebTranslator(params.backend, params.network)


def back_translate(
    texts: Sequence[str], language: str, translator: Translator, memory: TranslationMemory
) -> dict[str, str | None]:
    """English text -> its translation into `language` and back to English; None where either failed."""
    there = translate_all(texts, "en", language, translator, memory)
    back = translate_all([text for text in there.values() if text], language, "en", translator, memory)
    return {text: back[pivot] if pivot else None for text, pivot in there.items()}


def translate_all(
    texts: Sequence[str], source: str, target: str, translator: Translator, memory: TranslationMemory
) -> dict[str, str | None]:
    """Every distinct text -> its translation, from the memory or made now; None for what cannot be translated.

    A translator that stops in the middle is an InputError that says how much is done; all of it is in the memory.
    """
    wanted = list(dict.fromkeys(texts))
    revision = translator.revision(source, target)

    def look_up(some: Sequence[str]) -> dict[str, str]:
        if isinstance(translator, Replay):
            return memory.get_any(source, target, some)
        return memory.get(translator.name, revision, source, target, some)

    def keep(batch: Sequence[str], translations: Sequence[str | None]) -> dict[str, str]:
        memory.add(translator.name, revision, source, target, _usable(batch, translations))
        return look_up(batch)  # another process may have been first: its translation is the one that counts

    known = look_up(wanted)
    missing = sorted(
        (text for text in wanted if text not in known and text.strip()), key=lambda text: (len(text), text)
    )
    print(f"{source}-{target}: {len(known)} of {len(wanted)} sentences from memory, {len(missing)} to translate")
    with tqdm(total=len(missing), unit=" sentences", desc=f"{source}-{target}", disable=not missing) as bar:
        for start in range(0, len(missing), translator.batch_size):
            batch = missing[start : start + translator.batch_size]
            try:
                translations = translator.translate(batch, source, target)
            except Stopped as stopped:
                known |= keep(batch[: len(stopped.translations)], stopped.translations)
                done = f"{len(known)} of {len(wanted)} sentences from {source} to {target} are done and kept"
                raise InputError(f"{stopped}; {done}: run again to go on") from None
            known |= keep(batch, translations)
            bar.update(len(batch))
    return {text: known.get(text) for text in wanted}


def _usable(batch: Sequence[str], translations: Sequence[str | None]) -> Mapping[str, str]:
    """White space collapsed; without what is empty or not Unicode (half a surrogate pair)."""
    pairs = zip(batch, translations, strict=True)
    collapsed = {text: " ".join(new.replace("\0", " ").split()) for text, new in pairs if new}
    return {text: new for text, new in collapsed.items() if new and new == new.encode(errors="replace").decode()}
