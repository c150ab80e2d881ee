"""Backend `apertium`: rule-based translation without a network (Forcada et al. 2011, doi:10.1007/s10590-011-9090-0).

The programs of a mode are started once and fed through NUL flushes, 1000 sentences a second and more, where a process
per sentence manages one or two; the result is that of `apertium -u <mode>`, with white space collapsed. It is a rough
translator: unknown words stay as they are, and Spanish, Galician and Esperanto are the languages that Debian packages
pair with English.
"""

import contextlib
import hashlib
import os
import re
import select
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.augment.translators.stopped import Stopped
from pipeline.errors import InputError

MODES = Path("/usr/share/apertium/modes")
PATIENCE = 60.0  # seconds without an answer after which the programs count as hanging
PACKAGES = {"es": "apertium-eng-spa", "gl": "apertium-en-gl", "eo": "apertium-eo-en"}  # Debian, Ubuntu
_CODES = {"es": ("eng", "spa"), "gl": ("en", "gl"), "eo": ("en", "eo")}
_RESERVED = re.compile(r"[\[\]{}^$/\\@<>]")
_BLANK = re.compile(r" ?~[ ~]*")  # what the text format takes for formatting, where single spaces are the only others
_FORMATTED = re.compile(r"\.\[\]|\\(.)|\[((?:\\.|[^\]\\])*)\]", re.DOTALL)


class Apertium:
    """Translates between English and the languages of PACKAGES; keeps one pipeline a direction running."""

    name = "apertium"
    batch_size = 256

    def __init__(self) -> None:
        self._pipelines: dict[str, Pipeline] = {}

    def revision(self, source: str, target: str) -> str:
        """The version of the programs and a digest of the mode and its dictionaries and rules."""
        mode = find_mode(source, target)
        version = subprocess.run(["apertium", "-V"], capture_output=True, encoding="utf-8").stdout.split()[-1]
        digest = hashlib.sha256(mode.read_bytes())
        for word in shlex.split(mode.read_text(encoding="utf-8")):
            if word.startswith("/"):
                digest.update(_read(Path(word), source, target))
        return f"{version} sha256:{digest.hexdigest()[:16]}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Translate; a blank answer is None. Programs that die or hang are a `Stopped` with what they had done."""
        mode = find_mode(source, target)
        if mode.stem not in self._pipelines:
            self._pipelines[mode.stem] = Pipeline(mode)
        done: list[str | None] = []
        try:
            for answer in self._pipelines[mode.stem].answers(list(map(deformat, texts))):
                done.append(reformat(answer) or None)
        except PipelineError as error:
            self._pipelines.pop(mode.stem).stop()
            raise Stopped(f"apertium {mode.stem}: {error}, at {texts[len(done)]!r}", done) from None
        return done

    def close(self) -> None:
        """Stop all programs; they also end with this process."""
        while self._pipelines:
            self._pipelines.popitem()[1].stop()


class PipelineError(Exception):
    """A program of the pipeline died or hangs."""


class Pipeline:
    """The running programs of a mode, each reading what the one before writes."""

    def __init__(self, mode: Path) -> None:
        # Debian's own `apertium -z` puts gawk at both ends, which holds every answer back until the next question.
        command = ["apertium-wblank-mode", "-z", str(mode)]
        script = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
        # $1 says how to show unknown words (-n: without marks), $2 is an option of the tagger (none).
        commands = [shlex.split(command.replace("$1", "-n").replace("$2", "")) for command in script.stdout.split("|")]
        self._errors = tempfile.TemporaryFile()
        self._programs: list[subprocess.Popen[bytes]] = []
        for command in commands:
            self._programs.append(self._start(command))
        self._input, self._output = self._programs[0].stdin, self._programs[-1].stdout

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        before = self._programs[-1].stdout if self._programs else None
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        try:
            program = subprocess.Popen(
                command,
                stdin=before or subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the caller
            )
        except FileNotFoundError:
            self.stop()
            raise InputError(f"{command[0]}: no such program; run `apt-get install --reinstall apertium`") from None
        if before:
            before.close()  # held here too, it would hide the end of its reader
        return program

    def answers(self, questions: Sequence[str]) -> Iterator[str]:
        """The answer to every question, in order; both are NUL-terminated on the wire and hold no NUL."""
        # A thread writes: the pipes hold 64 KiB, and who writes a batch before reading would wait for himself.
        tagged = [f"{question}[#{number}]".encode(errors="replace") for number, question in enumerate(questions)]
        writer = threading.Thread(target=self._write, args=(tagged,), daemon=True)
        writer.start()
        # When a program dies, those behind it end the answer at hand, cut off as it is, with a NUL of their own: an
        # answer counts only with the number of its question, which as formatting is passed on unchanged.
        for number, answer in zip(range(len(questions)), self._read(), strict=False):
            tag = f"[#{number}]"
            if not answer.endswith(tag):
                raise PipelineError(f"a program ended ({self._last_words()})")
            yield answer.removesuffix(tag)
        writer.join()

    def _read(self) -> Iterator[str]:
        assert self._output is not None
        rest = b""
        while True:
            if not select.select([self._output], [], [], PATIENCE)[0]:
                raise PipelineError(f"no answer for {PATIENCE:g} s")
            block = os.read(self._output.fileno(), 65_536)
            if not block:
                raise PipelineError(f"a program ended ({self._last_words()})")
            *complete, rest = (rest + block).split(b"\0")
            yield from (answer.decode(errors="replace") for answer in complete)

    def stop(self) -> None:
        """Kill the programs."""
        for program in self._programs:
            program.kill()
        for program in self._programs:
            program.wait()
            for stream in (program.stdin, program.stdout):
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        self._errors.close()

    def _write(self, questions: Sequence[bytes]) -> None:
        assert self._input is not None
        with contextlib.suppress(OSError, ValueError):  # the programs are gone, which the reader notices
            for question in questions:
                self._input.write(question + b"\0")
            self._input.flush()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "without a message")


def find_mode(source: str, target: str) -> Path:
    """The mode file of a direction; an InputError says which package to install."""
    language = target if source == "en" else source
    if "en" not in (source, target) or language not in _CODES:
        raise InputError(
            f"back_translation.languages: apertium has no pair of en and {language!r}; it has {', '.join(PACKAGES)}"
        )
    names = _CODES[language] if source == "en" else reversed(_CODES[language])
    mode = MODES / f"{'-'.join(names)}.mode"
    if not mode.is_file():
        raise InputError(f"{mode}: no such file; run `apt-get install {PACKAGES[language]}`")
    return mode


def deformat(text: str) -> str:
    """What apertium-destxt makes of `text` (white space collapsed, NUL bytes taken for spaces)."""
    collapsed = " ".join(text.replace("\0", " ").split())
    escaped = _RESERVED.sub(r"\\\g<0>", collapsed)
    body = escaped.rstrip("~ ")
    trailing = escaped[len(body) :]
    # The full stop lets the rules see the end of the sentence; `.[]` is taken out again afterwards.
    return _BLANK.sub(r"[\g<0>]", body) + ".[]" + (f"[{trailing}]" if trailing else "")


def reformat(translation: str) -> str:
    """What apertium-retxt makes of `translation`, with white space collapsed."""
    return " ".join(_FORMATTED.sub(lambda match: match[1] or match[2] or "", translation).split())


def _read(path: Path, source: str, target: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        package = PACKAGES[target if source == "en" else source]
        raise InputError(f"{path}: no such file; run `apt-get install --reinstall {package}`") from None
