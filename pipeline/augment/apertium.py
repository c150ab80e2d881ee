"""Backend `apertium`: rule-based translation without a network (Forcada et al. 2011, doi:10.1007/s10590-011-9090-0).

A batch goes through the programs of a mode at once, each sentence ended by a NUL byte, at which every program forgets
what came before: the result is that of `apertium -u <mode>` for each sentence by itself, with white space collapsed.
Unknown words stay as they are.
"""

import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path

from pipeline.errors import InputError

MODES = Path("/usr/share/apertium/modes")
PATIENCE = 120.0  # seconds for a batch, which takes about one; then the programs count as hanging
# The package of Debian and Ubuntu, and its names for English and the other language.
PACKAGES = {
    "es": ("apertium-eng-spa", "eng", "spa"),
    "gl": ("apertium-en-gl", "en", "gl"),
    "eo": ("apertium-eo-en", "en", "eo"),
}


class ApertiumTranslator:
    """Translates between English and the languages of PACKAGES."""

    name = "apertium"
    batch_size = 512  # starting the programs takes .3 s, as long as they need for 300 sentences

    def revision(self, source: str, target: str) -> str:
        """The version of the programs and a digest of the mode and its dictionaries and rules."""
        mode = find_mode(source, target)
        version = subprocess.run(["apertium", "-V"], capture_output=True, encoding="utf-8").stdout.split()[-1]
        digest = hashlib.sha256(mode.read_bytes())
        for file in filter(Path.is_absolute, map(Path, shlex.split(mode.read_text(encoding="utf-8")))):
            if not file.is_file():
                package = PACKAGES[target if source == "en" else source][0]
                raise InputError(f"{file}: no such file; run `apt-get install --reinstall {package}`")
            digest.update(file.read_bytes())
        return f"{version} sha256:{digest.hexdigest()[:16]}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> Iterator[str | None]:
        """Translate; a blank answer is None. Programs that die or hang are an InputError after what they had done."""
        mode = find_mode(source, target)
        # Debian's `apertium -z` cannot be used: its first and last programs drop the NUL bytes.
        command = ["apertium-wblank-mode", "-z", str(mode)]
        script = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
        # $1 says how to show unknown words (-n: without marks), $2 is an option of the tagger (none).
        script = script.replace("$1", "-n").replace("$2", "")
        # When a program dies, those behind it end the answer at hand, cut off as it is, with a NUL of their own: an
        # answer counts only with the number of its question, which as formatting is passed on unchanged.
        questions = "".join(f"{deformat(text)}[#{number}]\0" for number, text in enumerate(texts))
        command = ["timeout", "-k", "5", str(PATIENCE), "sh", "-c", script]  # ends all programs, not only the shell
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, input=questions.encode(errors="replace"), capture_output=True, env=environment)
        answers = done.stdout.decode(errors="replace").split("\0")
        for number, (text, answer) in enumerate(zip(texts, chain(answers, repeat("")), strict=False)):
            if not answer.endswith(f"[#{number}]"):
                message = done.stderr.decode(errors="replace").strip().split("\n")[-1] or "without a message"
                hung = done.returncode in (124, 137)  # of `timeout`, which the programs have heeded or not
                problem = f"no answer for {PATIENCE:g} s" if hung else f"a program ended ({message})"
                raise InputError(f"apertium {mode.stem}: {problem}, at {text!r}")
            yield reformat(answer.removesuffix(f"[#{number}]")) or None


def find_mode(source: str, target: str) -> Path:
    """The mode file of a direction; an InputError says which package to install."""
    language = target if source == "en" else source
    if "en" not in (source, target) or language not in PACKAGES:
        problem = f"apertium has no pair of en and {language!r}; it has {', '.join(PACKAGES)}"
        raise InputError(f"back_translation.languages: {problem}")
    package, *names = PACKAGES[language]
    mode = MODES / f"{'-'.join(names if source == 'en' else reversed(names))}.mode"
    if not mode.is_file():
        raise InputError(f"{mode}: no such file; run `apt-get install {package}`")
    return mode


def deformat(text: str) -> str:
    """What apertium-destxt makes of `text` (white space collapsed, NUL bytes taken for spaces)."""
    escaped = re.sub(r"[\[\]{}^$/\\@<>]", r"\\\g<0>", " ".join(text.replace("\0", " ").split()))
    body = escaped.rstrip("~ ")
    trailing = escaped[len(body) :]
    # Tildes count as formatting, where single spaces are the only other kind. The full stop lets the rules see the end
    # of the sentence; `.[]` is taken out again afterwards.
    return re.sub(r" ?~[ ~]*", r"[\g<0>]", body) + ".[]" + (f"[{trailing}]" if trailing else "")


def reformat(translation: str) -> str:
    """What apertium-retxt makes of `translation`, with white space collapsed."""
    formatting = re.compile(r"\.\[\]|\\(.)|\[((?:\\.|[^\]\\])*)\]", re.DOTALL)
    return " ".join(formatting.sub(lambda match: match[1] or match[2] or "", translation).split())
