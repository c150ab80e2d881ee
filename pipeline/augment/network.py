"""Ask a web service sentence by sentence, politely and patiently: retries, a rate limit, and an end to a lost cause.

deep-translator (which does the asking) has no retries, no pauses and no time limit, raises exceptions without a common
base, may return None, and lets one bad sentence spoil a batch. All of that is dealt with here.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from pipeline.augment.translators.stopped import Stopped
from pipeline.config.augmentation import Network
from pipeline.errors import InputError

TIMEOUT = 30.0  # seconds to connect, and between two packets of an answer
LONGEST_PAUSE = 300.0  # seconds between two attempts
_TAG = re.compile(r"<(!doctype|/?(html|head|body|title|div|span|script|a|p|br|b|i)\b)", re.IGNORECASE)


class Unusable(Exception):
    """The service answered, but not with a translation."""


class PoliteAsker:
    """Translates texts with `ask`, one request a text.

    Args:
        service: its name, for messages.
        params: rate, retries, and after how many failed sentences in a row to give up.
        max_characters: a text of so many or more is not sent; None: no limit.
    """

    def __init__(self, service: str, params: Network, max_characters: int | None) -> None:
        self._service, self._params, self._max_characters = service, params, max_characters
        self._next_request = 0.0  # monotonic seconds
        self._failures = 0  # sentences in a row, over the borders of batches

    def translate(self, texts: Sequence[str], ask: Callable[[str], str | None]) -> list[str | None]:
        """The translations; None where the text is too long or every attempt failed. `Stopped` when giving up."""
        done: list[str | None] = []
        for text in texts:
            if self._max_characters is not None and len(text) >= self._max_characters:
                done.append(None)
                continue
            try:
                done.append(self._try_hard(text, ask))
                self._failures = 0
            except RetryError as error:
                done.append(None)
                self._failures += 1
                if self._failures >= self._params.give_up_after:
                    reason = describe(error.last_attempt.exception())
                    message = f"{self._service}: no translation for {self._failures} sentences in a row ({reason})"
                    raise Stopped(message, done) from None
            except InputError as error:
                raise Stopped(str(error), done) from None
        return done

    def _try_hard(self, text: str, ask: Callable[[str], str | None]) -> str:
        patience = Retrying(
            stop=stop_after_attempt(self._params.retries + 1),
            wait=wait_exponential_jitter(
                multiplier=self._params.backoff, max=LONGEST_PAUSE, jitter=self._params.backoff
            ),
            retry=retry_if_exception(_may_pass),
        )
        return patience(self._ask_once, text, ask)

    def _ask_once(self, text: str, ask: Callable[[str], str | None]) -> str:
        pause = self._next_request - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        self._next_request = time.monotonic() + 1 / self._params.requests_per_second
        with time_limit(TIMEOUT):
            answer = ask(text)
        if not isinstance(answer, str) or not answer.strip():
            raise Unusable("an empty answer")
        if _TAG.search(answer) and not _TAG.search(text):
            raise Unusable("a web page instead of a translation")
        return answer


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give every request of the block that has no time limit this one.

    deep-translator passes none, and urllib3 then overrides the sockets' default.
    """
    send = HTTPAdapter.send

    def send_in_time(
        self: HTTPAdapter,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        **options: object,
    ) -> requests.Response:
        return send(self, request, stream=stream, timeout=timeout or seconds, **options)

    HTTPAdapter.send = send_in_time
    try:
        yield
    finally:
        HTTPAdapter.send = send


def _may_pass(error: BaseException) -> bool:
    """deep-translator's exceptions have no common base; an InputError is what the user has to repair."""
    return isinstance(error, Exception) and not isinstance(error, InputError)


def describe(error: BaseException | None) -> str:
    """A few words, without what deep-translator adds over several lines and without the sentence."""
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, requests.JSONDecodeError | KeyError | AttributeError):
        return "an answer in another format"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()  # TooManyRequests -> too many requests
