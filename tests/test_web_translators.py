"""deep-translator against a local server that misbehaves: slow, refusing, answering with pages, nonsense or nothing."""

import html
import http.server
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from deep_translator import google, mymemory

from pipeline.augment import web
from pipeline.augment.memory import TranslationMemory
from pipeline.augment.translate import translate_all
from pipeline.augment.web import find_code
from pipeline.config.augmentation import Network
from pipeline.errors import InputError

PAGE = "<!DOCTYPE html><html><body>Please solve this captcha</body></html>"


class Server(http.server.ThreadingHTTPServer):
    """Answers in the format of the service that is asked; `faults` are used up one a request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[str] = []
        self.always: dict[str, str] = {}  # text -> fault
        self.asked: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []
        self.times: list[float] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        text = query["q"]
        self.server.asked[text] += 1
        self.server.queries.append(query)
        self.server.times.append(time.monotonic())
        fault = self.server.always.get(text) or (self.server.faults.pop(0) if self.server.faults else "")
        if fault == "slow":
            time.sleep(1.5)
        self.answer(int(fault) if fault.isdigit() else 200, self.body(fault, text.upper()))

    do_POST = do_GET

    def body(self, fault: str, translation: str) -> str:
        plain = {
            "empty body": "",
            "page": PAGE,
            "broken JSON": '{"translatedText": "HA',
            "other JSON": '{"error": "no"}',
        }
        if fault in plain:
            return plain[fault]
        given = {"page inside": PAGE, "empty": "", "null": None, "quota": "MYMEMORY WARNING: YOU USED ALL"}
        value = given.get(fault, translation)
        if self.path.startswith("/google"):
            return f'<div class="result-container">{html.escape(value or "")}</div>'
        if self.path.startswith("/mymemory"):
            return json.dumps({"responseData": {"translatedText": value}, "matches": []})
        return json.dumps({"translatedText": value})

    def answer(self, status: int, body: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())
        except BrokenPipeError:
            pass  # the client did not want to wait


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(params=["google", "libre", "mymemory"])
def name(request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the services, at the local server."""
    monkeypatch.setitem(google.BASE_URLS, "GOOGLE_TRANSLATE", f"{server.url}/google")
    monkeypatch.setitem(mymemory.BASE_URLS, "MYMEMORY", f"{server.url}/mymemory")
    monkeypatch.setattr(web, "TIMEOUT", 1.0)
    return request.param


class WebTranslator(web.WebTranslator):
    """What it yields, as a list; `done` has what it gave before it stopped."""

    def translate(self, texts: list[str], source: str, target: str) -> list[str | None]:  # type: ignore[override]
        self.done: list[str | None] = []
        self.done.extend(super().translate(texts, source, target))
        return self.done


def params(server: Server, **changes: object) -> Network:
    values = {"url": f"{server.url}/libre", "batch_size": 3, "requests_per_second": 1000.0, "retries": 2}
    return Network.model_validate({**values, "backoff": 0.0, "give_up_after": 2, **changes})


def test_texts_are_translated(server: Server, name: str) -> None:
    translator = WebTranslator(name, params(server))
    texts = ["what is this?", "it's <b>bold</b> & new", "100 %", "ünïcode 日本"]
    assert translator.translate(texts, "en", "es") == [text.upper() for text in texts]
    assert translator.translate(["uno"], "es", "en") == ["UNO"]
    assert server.asked == Counter([*texts, "uno"])


FAULTS = ["slow", "429", "500", "page", "page inside", "empty body", "empty", "null", "broken JSON", "other JSON"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_sat_out(server: Server, name: str, fault: str) -> None:
    server.faults = [fault, fault]
    assert WebTranslator(name, params(server)).translate(["one", "two"], "en", "es") == ["ONE", "TWO"]
    assert server.asked == {"one": 3, "two": 1}


@pytest.mark.parametrize("fault", ["500", "page inside", "null"])
def test_a_bad_sentence_costs_only_itself(server: Server, name: str, fault: str) -> None:
    server.always = {"bad": fault}
    assert WebTranslator(name, params(server)).translate(["one", "bad", "two"], "en", "es") == ["ONE", None, "TWO"]
    assert server.asked == {"one": 1, "bad": 3, "two": 1}


def test_a_lost_cause_is_given_up(server: Server, name: str, tmp_path: Path) -> None:
    server.always = {letter: "429" for letter in "efghi"}
    with TranslationMemory(tmp_path / "memory.sqlite") as memory:
        with pytest.raises(InputError) as error:
            translate_all(list("abcdefghi"), "en", "es", web.WebTranslator(name, params(server)), memory)
        reason = "server exception" if name == "libre" else "too many requests"
        assert str(error.value) == (
            f"{name}: no translation for 2 sentences in a row ({reason}); "
            "4 of 9 sentences from en to es are done and kept: run again to go on"
        )
        assert server.asked == {**dict.fromkeys("abcd", 1), "e": 3, "f": 3}
        server.always = {}
        translations = translate_all(list("abcdefghi"), "en", "es", web.WebTranslator(name, params(server)), memory)
    assert translations == {letter: letter.upper() for letter in "abcdefghi"}
    assert server.asked == {**dict.fromkeys("abcdghi", 1), "e": 4, "f": 4}


def test_failures_count_over_batches_and_a_success_resets_them(server: Server) -> None:
    server.always = dict.fromkeys("abde", "500")
    translator = WebTranslator("libre", params(server, retries=0, give_up_after=3))
    assert translator.translate(list("abc"), "en", "es") == [None, None, "C"]
    assert translator.translate(list("de"), "en", "es") == [None, None]
    with pytest.raises(InputError):
        translator.translate(list("a"), "en", "es")


@pytest.mark.parametrize(("name", "limit"), [("google", 5000), ("mymemory", 500)], indirect=["name"])
def test_a_long_text_is_not_sent(server: Server, name: str, limit: int) -> None:
    translator = WebTranslator(name, params(server, give_up_after=1))
    texts = ["x" * limit, "x" * (limit - 1)]
    assert translator.translate(texts, "en", "es") == [None, texts[1].upper()]
    assert sum(server.asked.values()) == 1


@pytest.mark.parametrize("name", ["mymemory"], indirect=True)
def test_mymemory_s_quota_notice_is_no_translation(server: Server, name: str) -> None:
    server.always = {"one": "quota"}
    with pytest.raises(InputError, match=r"mymemory: .*MYMEMORY WARNING: YOU USED ALL"):
        WebTranslator(name, params(server, give_up_after=1)).translate(["one"], "en", "es")


def test_libre_sends_the_key_and_says_when_it_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBRETRANSLATE_API_KEY", "secret")
    translator = WebTranslator("libre", params(server))
    translator.translate(["one"], "en", "es")
    assert server.queries[-1] == {"q": "one", "source": "en", "target": "es", "format": "text", "api_key": "secret"}
    server.always = {"two": "403"}
    with pytest.raises(InputError, match="set the environment variable LIBRETRANSLATE_API_KEY") as stopped:
        translator.translate(["one", "two"], "en", "es")
    assert translator.done == ["ONE"] and "secret" not in str(stopped.value)
    assert server.asked["two"] == 1
    monkeypatch.delenv("LIBRETRANSLATE_API_KEY")
    WebTranslator("libre", params(server)).translate(["three"], "en", "es")  # deep-translator refuses an empty key


def test_requests_keep_their_distance(server: Server) -> None:
    server.faults = ["500"]  # a second attempt is a request too
    WebTranslator("libre", params(server, requests_per_second=5.0)).translate(list("abc"), "en", "es")
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert len(gaps) == 3 and min(gaps) > 0.1  # of 0.2: on a busy machine a request may arrive late


def test_pauses_grow(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    server.always = {"one": "500"}
    translator = WebTranslator("libre", params(server, retries=5, backoff=8.0, requests_per_second=1e6))
    assert translator.translate(["one"], "en", "es") == [None]
    limits = [(8, 16), (16, 24), (32, 40), (64, 72), (128, 136)]
    assert len(pauses) == 5
    assert all(low <= pause <= high for pause, (low, high) in zip(pauses, limits, strict=True)), pauses


def test_an_interrupt_is_not_retried(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupt(*_: object, **__: object) -> None:
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("deep_translator.LibreTranslator.translate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        WebTranslator("libre", params(server)).translate(["one"], "en", "es")
    assert len(calls) == 1


def test_a_service_that_never_answers_does_not_hold_up_the_end() -> None:
    """A request that hangs is given up in time, and what is left of it does not keep the process alive."""
    code = """
import socket
from pipeline.augment import web
from pipeline.config.augmentation import Network
with socket.create_server(("127.0.0.1", 0)) as deaf:
    url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
    network = Network(url=url, batch_size=1, requests_per_second=99, retries=1, backoff=0, give_up_after=1)
    web.TIMEOUT = 0.2
    try:
        list(web.WebTranslator("libre", network).translate(["one"], "en", "es"))
    except web.InputError as error:
        print(error, flush=True)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], input="\n", capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "libre: no translation for 1 sentences in a row (timeout error)\n", done.stderr
    assert done.returncode == 0


def test_sentences_reach_mymemory_encrypted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(url: str, **_: object) -> None:
        asked.append(url)
        raise ConnectionError

    monkeypatch.setattr("requests.get", get)
    with pytest.raises(ConnectionError):
        web.WebTranslator("mymemory", params(server)).ask("one", "en-GB", "es-ES")
    assert asked == ["https://api.mymemory.translated.net/get"]


def test_an_unreachable_server_is_named(server: Server) -> None:
    translator = WebTranslator("libre", params(server, url="http://127.0.0.1:1", retries=0))
    with pytest.raises(InputError, match=r"libre: no translation for 2 sentences in a row \(connection error\)"):
        translator.translate(["one", "two"], "en", "es")


@pytest.mark.parametrize("name", ["google", "mymemory", "libre"])
def test_a_language_that_a_service_lacks_is_named(server: Server, name: str) -> None:
    with pytest.raises(
        InputError, match=f"back_translation.languages: {name} has no 'xx'; it has [a-z]+, .*and [0-9]+ more"
    ):
        WebTranslator(name, params(server)).translate(["one"], "en", "xx")


def test_languages_are_spelt_as_the_service_does() -> None:
    assert [find_code("google", language) for language in ("en", "es", "zh", "zh-tw")] == ["en", "es", "zh-CN", "zh-TW"]
    codes = [find_code("mymemory", language) for language in ("en", "de", "pt", "zh", "ar", "gl")]
    assert codes == ["en-GB", "de-DE", "pt-PT", "zh-CN", "ar-SA", "gl-ES"]


def test_revisions(server: Server) -> None:
    libre = WebTranslator("libre", params(server, url="https://user:word@example.org:5000/x")).revision("en", "es")
    assert libre == "deep-translator 1.11.4 example.org"
    assert WebTranslator("google", params(server)).revision("en", "es") == "deep-translator 1.11.4"
