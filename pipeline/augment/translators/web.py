"""Backends `google`, `libre` and `mymemory`: web services, through deep-translator.

Sentences leave this machine, each service has terms of use of its own, and its model may change from day to day: record
once, keep the memory. A LibreTranslate server can be one's own. Its key is read from LIBRETRANSLATE_API_KEY.
"""

import html
import os
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Literal
from urllib.parse import urlsplit

from deep_translator import GoogleTranslator, LibreTranslator, MyMemoryTranslator
from deep_translator.constants import GOOGLE_LANGUAGES_TO_CODES, LIBRE_LANGUAGES_TO_CODES, MY_MEMORY_LANGUAGES_TO_CODES
from deep_translator.exceptions import AuthorizationException

from pipeline.augment.network import PoliteAsker, Unusable
from pipeline.config.augmentation import Network
from pipeline.errors import InputError

KEY = "LIBRETRANSLATE_API_KEY"
NO_KEY = "none"  # LibreTranslator insists on one; servers that need none ignore it
Ask = Callable[[str], str | None]
_CODES = {
    "google": GOOGLE_LANGUAGES_TO_CODES.values(),
    "libre": LIBRE_LANGUAGES_TO_CODES.values(),
    "mymemory": MY_MEMORY_LANGUAGES_TO_CODES.values(),
}
_MAX_CHARACTERS = {"google": 5000, "libre": None, "mymemory": 500}
# MyMemory reports its errors as translations, with status 200.
_MYMEMORY_ERRORS = ("MYMEMORY WARNING", "QUERY LENGTH LIMIT", "INVALID LANGUAGE PAIR", "NO QUERY SPECIFIED")


class WebTranslator:
    """One of the services."""

    def __init__(self, name: Literal["google", "libre", "mymemory"], params: Network) -> None:
        self.name: str = name
        self.batch_size = params.batch_size
        self._url = params.url.rstrip("/") + "/"
        self._asker = PoliteAsker(name, params, _MAX_CHARACTERS[name])

    def revision(self, source: str, target: str) -> str:
        """The services have none: the client's version and, for LibreTranslate, the server's host."""
        client = f"deep-translator {version('deep-translator')}"
        return f"{client} {urlsplit(self._url).hostname}" if self.name == "libre" else client

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Translate one by one; None for what is too long or failed in every attempt."""
        return self._asker.translate(texts, self._open(self._code(source), self._code(target)))

    def _open(self, source: str, target: str) -> Ask:
        if self.name == "google":
            return GoogleTranslator(source=source, target=target).translate
        if self.name == "mymemory":
            return _mymemory(MyMemoryTranslator(source=source, target=target))
        key = os.environ.get(KEY) or NO_KEY
        return _libre(LibreTranslator(source=source, target=target, api_key=key, custom_url=self._url))

    def _code(self, language: str) -> str:
        code = find_code(language, _CODES[self.name])
        if code is None:
            known = ", ".join(sorted({code.split("-")[0] for code in _CODES[self.name]} - {"en"}))
            raise InputError(f"back_translation.languages: {self.name} has no {language!r}; it has {known}")
        return code


def find_code(language: str, codes: Iterable[str]) -> str | None:
    """The service's spelling of a language: zh -> zh-CN, de -> de-DE; the main country before the first listed."""
    ordered = list(codes)
    main = {"en": "en-GB", "zh": "zh-CN"}.get(language, f"{language}-{language.upper()}")
    spelt = {code.lower(): code for code in ordered}
    found = spelt.get(language) or spelt.get(main.lower())
    return found or next((code for code in ordered if code.lower().startswith(f"{language}-")), None)


def _libre(translator: LibreTranslator) -> Ask:
    def ask(text: str) -> str | None:
        try:
            return translator.translate(text)
        except AuthorizationException:  # its message shows the key
            raise InputError(f"libre: the server refuses the key (403): set the environment variable {KEY}") from None

    return ask


def _mymemory(translator: MyMemoryTranslator) -> Ask:
    # The library's address is unencrypted.
    translator._base_url = translator._base_url.replace("http://api.mymemory", "https://api.mymemory")

    def ask(text: str) -> str | None:
        answer = translator.translate(text)
        if isinstance(answer, str) and answer.lstrip().upper().startswith(_MYMEMORY_ERRORS):
            raise Unusable(" ".join(answer.split())[:80])
        return html.unescape(answer) if isinstance(answer, str) else None  # it sends &#39; for an apostrophe

    return ask
