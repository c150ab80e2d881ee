"""Backends `google`, `libre` and `mymemory`: web services, through deep-translator.

Sentences leave this machine, each service has terms of use of its own, and its model may change from day to day: record
once, keep the memory. deep-translator has no retries, no pauses and no time limit, raises exceptions without a common
base, may return None, and lets one bad sentence spoil a batch: all of that is dealt with here.
"""

import html
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from typing import Literal
from urllib.parse import urlsplit

from deep_translator import GoogleTranslator, LibreTranslator, MyMemoryTranslator, constants
from deep_translator.base import BaseTranslator
from deep_translator.exceptions import AuthorizationException
from tenacity import RetryError, Retrying, retry_if_not_exception_type, stop_after_attempt, wait_exponential_jitter

from pipeline.config.augmentation import Network
from pipeline.errors import InputError, listed

TIMEOUT = 60.0  # seconds for a sentence
KEY = "LIBRETRANSLATE_API_KEY"  # environment variable; a LibreTranslate server can be one's own
# The languages of each service, and how many characters are too many for it.
SERVICES = {
    "google": (constants.GOOGLE_LANGUAGES_TO_CODES, 5000),
    "libre": (constants.LIBRE_LANGUAGES_TO_CODES, 10**9),
    "mymemory": (constants.MY_MEMORY_LANGUAGES_TO_CODES, 500),
}
# MyMemory reports its errors as translations, with status 200.
MYMEMORY_ERRORS = ("MYMEMORY WARNING", "QUERY LENGTH LIMIT", "INVALID LANGUAGE PAIR", "NO QUERY SPECIFIED")
TAG = re.compile(r"<(!doctype|/?(html|head|body|title|div|span|script|a|p|br|b|i)\b)", re.IGNORECASE)


class WebTranslator:
    """One of the services."""

    def __init__(self, name: Literal["google", "libre", "mymemory"], params: Network) -> None:
        self.name: str = name
        self.params, self.batch_size = params, params.batch_size
        self.next_request = 0.0  # monotonic seconds
        self.failures = 0  # sentences in a row, over the borders of batches

    def revision(self, source: str, target: str) -> str:
        """The services have none: the client's version and, for LibreTranslate, the server's host."""
        host = f" {urlsplit(self.params.url).hostname}" if self.name == "libre" else ""
        return f"deep-translator {version('deep-translator')}{host}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> Iterator[str | None]:
        """Translate; None where the text is too long or every attempt failed, an InputError for a lost cause."""
        languages = find_code(self.name, source), find_code(self.name, target)
        patiently = Retrying(
            stop=stop_after_attempt(self.params.retries + 1),
            wait=wait_exponential_jitter(multiplier=self.params.backoff, max=300, jitter=self.params.backoff),
            retry=retry_if_not_exception_type((InputError, KeyboardInterrupt, SystemExit)),
        )
        for text in texts:
            translation = None
            if len(text) < SERVICES[self.name][1]:
                try:
                    translation = patiently(self.ask_politely, text, *languages)
                    self.failures = 0
                except RetryError as failed:
                    self.failures += 1
                    if self.failures >= self.params.give_up_after:
                        error = failed.last_attempt.exception()
                        name = re.sub("(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()  # too many requests
                        reason = str(error) if type(error) is ValueError else name
                        problem = f"no translation for {self.failures} sentences in a row ({reason})"
                        raise InputError(f"{self.name}: {problem}") from None
            yield translation

    def ask_politely(self, text: str, source: str, target: str) -> str:
        """One request, not before its time; a ValueError says why an answer is no translation."""
        if (pause := self.next_request - time.monotonic()) > 0:
            time.sleep(pause)
        self.next_request = time.monotonic() + 1 / self.params.requests_per_second
        future: Future[str | None] = Future()

        def work() -> None:
            try:
                future.set_result(self.ask(text, source, target))
            except BaseException as error:  # whatever it is, `result` below raises it in the caller's thread
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()  # one that hangs is left behind and ends with the process
        answer = future.result(TIMEOUT)
        if not isinstance(answer, str) or not answer.strip():
            raise ValueError("an empty answer")
        if self.name == "mymemory" and answer.lstrip().upper().startswith(MYMEMORY_ERRORS):
            raise ValueError(" ".join(answer.split())[:80])
        if TAG.search(answer) and not TAG.search(text):
            raise ValueError("a web page instead of a translation")
        return answer

    def ask(self, text: str, source: str, target: str) -> str | None:
        """What deep-translator gives."""
        if self.name == "google":
            return GoogleTranslator(source=source, target=target).translate(text)
        if self.name == "mymemory":
            answer = EncryptedMyMemory(source, target).translate(text)
            return answer and html.unescape(answer)  # it sends &#39; for an apostrophe
        key = os.environ.get(KEY) or "none"  # the client insists on one; servers that need none ignore it
        url = self.params.url.rstrip("/") + "/"
        try:
            return LibreTranslator(source=source, target=target, api_key=key, custom_url=url).translate(text)
        except AuthorizationException:  # its message shows the key
            raise InputError(f"libre: the server refuses the key (403): set the environment variable {KEY}") from None


class EncryptedMyMemory(MyMemoryTranslator):
    """MyMemory through TLS: the address that deep-translator gives it is unencrypted."""

    def __init__(self, source: str, target: str) -> None:
        super().__init__(source=source, target=target)
        address = constants.BASE_URLS["MYMEMORY"].replace("http://api.mymemory", "https://api.mymemory")
        BaseTranslator.__init__(self, address, SERVICES["mymemory"][0], source, target, payload_key="q")


def find_code(service: str, language: str) -> str:
    """The service's spelling of a language: zh -> zh-CN, de -> de-DE; the main country before the first listed."""
    codes = {code.lower(): code for code in SERVICES[service][0].values()}
    main = {"en": "en-gb", "zh": "zh-cn"}.get(language, f"{language}-{language}")
    spellings = [language, main, *(code for code in codes if code.startswith(f"{language}-"))]
    if found := next((codes[spelling] for spelling in spellings if spelling in codes), None):
        return found
    known = listed(sorted({code.split("-")[0] for code in codes.values()} - {"en"}))
    raise InputError(f"back_translation.languages: {service} has no {language!r}; it has {known}")
