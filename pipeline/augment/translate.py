"""Translate sentences, each only once in the life of the translation memory, and back-translate them.

What is missing is translated shortest first, in batches that are committed as they come: a killed run loses at most the
batch in flight, and the next one goes on.
"""

from collections.abc import Mapping, Sequence

from tqdm import tqdm

from pipeline.augment.memory import TranslationMemory
from pipeline.augment.translators import Backend, Replay, Stopped
from pipeline.config.augmentation import Translator
from pipeline.errors import InputError


def open_backend(params: Translator) -> Backend:
    """The backend that the parameters name."""
    if params.backend == "memory":
        return Replay()
    if params.backend == "apertium":
        from pipeline.augment.translators.apertium import ApertiumTranslator

        return ApertiumTranslator()
    if params.backend == "marian":
        from pipeline.augment.translators.marian import MarianTranslator

        return MarianTranslator(params.marian)
    from pipeline.augment.translators.web import WebTranslator

    return WebTranslator(params.backend, params.network)


def back_translate(
    texts: Sequence[str], language: str, backend: Backend, memory: TranslationMemory
) -> dict[str, str | None]:
    """English text -> its translation into `language` and back to English; None where either failed."""
    there = translate_all(texts, "en", language, backend, memory)
    back = translate_all([text for text in there.values() if text], language, "en", backend, memory)
    return {text: back[pivot] if pivot else None for text, pivot in there.items()}


def translate_all(
    texts: Sequence[str], source: str, target: str, backend: Backend, memory: TranslationMemory
) -> dict[str, str | None]:
    """Every distinct text -> its translation, from the memory or made now; None for what cannot be translated.

    A backend that stops in the middle is an InputError that says how much is done; all of it is in the memory.
    """
    wanted = list(dict.fromkeys(texts))
    revision = backend.revision(source, target)

    def look_up(some: Sequence[str]) -> dict[str, str]:
        if isinstance(backend, Replay):
            return memory.get_any(source, target, some)
        return memory.get(backend.name, revision, source, target, some)

    def keep(batch: Sequence[str], translations: Sequence[str | None]) -> dict[str, str]:
        memory.add(backend.name, revision, source, target, _usable(batch, translations))
        return look_up(batch)  # another process may have been first: its translation is the one that counts

    known = look_up(wanted)
    wanting = (text for text in wanted if text not in known and text.strip())
    missing = sorted(wanting, key=lambda text: (len(text), text))
    print(f"{source}-{target}: {len(known)} of {len(wanted)} sentences from memory, {len(missing)} to translate")
    with tqdm(total=len(missing), unit=" sentences", desc=f"{source}-{target}", disable=not missing) as bar:
        for start in range(0, len(missing), backend.batch_size):
            batch = missing[start : start + backend.batch_size]
            try:
                translations = backend.translate(batch, source, target)
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
