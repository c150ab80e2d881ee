"""Translate sentences, each only once in the life of the translation memory, and back-translate them.

A killed run loses at most the batch in flight, and the next one goes on. A new translator is a file beside this one,
with a class like `Backend`, a branch in `open_backend` and its name in config/augmentation.py.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from tqdm import tqdm

from pipeline.augment.memory import TranslationMemory
from pipeline.config.augmentation import Translator
from pipeline.errors import InputError


class Backend(Protocol):
    """Something that translates."""

    name: str  # as in the parameters and in the memory
    batch_size: int  # sentences between two commits

    def revision(self, source: str, target: str) -> str:
        """What a translation in this direction depends on besides its text; cheap, as it is asked for in every run."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> Iterable[str | None]:
        """Translations, None for what cannot be translated; those that come before an InputError are kept."""


def open_backend(params: Translator) -> Backend | None:
    """The backend that the parameters name; None for `memory`, which only repeats what was translated before."""
    match params.backend:
        case "memory":
            return None
        case "apertium":
            from pipeline.augment.apertium import ApertiumTranslator

            return ApertiumTranslator()
        case "marian":
            from pipeline.augment.marian import MarianTranslator

            return MarianTranslator(params.marian)
    from pipeline.augment.web import WebTranslator

    return WebTranslator(params.backend, params.network)


def back_translate(
    texts: Sequence[str], language: str, backend: Backend | None, memory: TranslationMemory
) -> dict[str, str | None]:
    """English text -> its translation into `language` and back to English; None where either failed."""
    there = translate_all(texts, "en", language, backend, memory)
    back = translate_all([text for text in there.values() if text], language, "en", backend, memory)
    return {text: back[pivot] if pivot else None for text, pivot in there.items()}


def translate_all(
    texts: Sequence[str], source: str, target: str, backend: Backend | None, memory: TranslationMemory
) -> dict[str, str | None]:
    """Every distinct text -> its translation, from the memory or made now; None for what cannot be translated.

    A backend that stops in the middle is an InputError that says how much is done; all of it is in the memory.
    """
    wanted = list(dict.fromkeys(texts))
    revision = backend.revision(source, target) if backend else ""
    version = (backend.name, revision) if backend else ()
    known = memory.get(source, target, wanted, *version)
    missing = sorted(filter(str.strip, set(wanted) - known.keys()), key=lambda text: (len(text), text))
    print(f"{source}-{target}: {len(known)} of {len(wanted)} sentences from memory, {len(missing)} to translate")
    if missing and not backend:
        raise InputError(
            f"data/memory: {len(missing)} translations from {source} to {target} are missing, the first of "
            f"{missing[0]!r}: set back_translation.translator.backend to one that translates and run `dvc repro`, or "
            "add an exported file with `python -m pipeline memory import FILE`"
        )
    size = backend.batch_size if backend else 1
    for start in tqdm(range(0, len(missing), size), f"{source}-{target}", unit="batch", disable=not missing):
        assert backend
        batch, done = missing[start : start + size], dict[str, str]()
        try:
            for text, translation in zip(batch, backend.translate(batch, source, target), strict=True):
                # White space collapsed; nothing for what is not Unicode (half a surrogate pair).
                line = " ".join((translation or "").replace("\0", " ").split())
                if line and line == line.encode(errors="replace").decode():
                    done[text] = line
        except InputError as error:
            kept = f"{len(known | done)} of {len(wanted)} sentences from {source} to {target} are done and kept"
            raise InputError(f"{error}; {kept}: run again to go on") from None
        finally:
            memory.add(backend.name, revision, source, target, done)
        known |= memory.get(source, target, batch, *version)  # another process's, if it was first: that one counts
    return {text: known.get(text) for text in wanted}
