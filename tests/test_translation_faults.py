"""Real faults around the translation memory: killed runs, damaged and locked files, full disks, two writers."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_disk import small_disk

from pipeline.augment import memory as store
from pipeline.augment.memory import COLUMNS, ScoreCache, Store, TranslationMemory
from pipeline.errors import InputError

REPOSITORY = Path(__file__).parents[1]
TEXTS = [f"sentence number {number}" for number in range(40)]
# A run that logs every sentence it translates: `run.py MEMORY LOG PAUSE BACKEND`.
RUN = """
import sys, time
from pathlib import Path
from pipeline.augment.memory import TranslationMemory
from pipeline.augment.translate import translate_all

class Slow:
    name, batch_size = sys.argv[4], 4
    def revision(self, source, target):
        return "1"
    def translate(self, texts, source, target):
        answers = []
        for text in texts:
            with open(sys.argv[2], "a") as log:
                log.write(text + "\\n")
            time.sleep(float(sys.argv[3]))
            answers.append(text.upper())
        return answers

def main(arguments):
    texts = [f"sentence number {number}" for number in range(40)]
    with TranslationMemory(Path(sys.argv[1])) as memory:
        assert translate_all(texts, "en", "es", Slow(), memory) == {text: text.upper() for text in texts}

from pipeline.errors import stage_main
stage_main(main)
"""


def start(memory: Path, log: Path, pause: float = 0.0, backend: str = "slow") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(memory), str(log), str(pause), backend]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code, output + errors
    return output + errors


def test_a_killed_run_loses_the_batch_in_flight(tmp_path: Path) -> None:
    path, log = tmp_path / "memory.sqlite", tmp_path / "log"
    process = start(path, log, pause=0.02)
    while not log.exists() or log.read_text().count("\n") < 14:  # the fourth batch of four
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed_at = log.read_text().splitlines()
    with TranslationMemory(path) as memory:
        kept = memory.get("en", "es", TEXTS, "slow", "1")
    assert list(kept.values()) == [text.upper() for text in kept]
    assert len(kept) == len(killed_at) // 4 * 4 or len(kept) == (len(killed_at) - 1) // 4 * 4
    assert "sentences from memory" in finish(start(path, log))
    again = log.read_text().splitlines()[len(killed_at) :]
    assert set(again) == set(TEXTS) - set(kept)
    assert len(again) == len(set(again)) == len(TEXTS) - len(kept)


def test_two_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new/memory.sqlite"  # both create it
    runs = [start(path, tmp_path / f"log{number}", 0.001, f"slow{number}") for number in range(2)]
    for run in runs:
        finish(run)
    with TranslationMemory(path) as memory:
        for number in range(2):
            assert memory.get("en", "es", TEXTS, f"slow{number}", "1") == {text: text.upper() for text in TEXTS}


def test_a_creator_waits_for_another(tmp_path: Path) -> None:
    """SQLite itself does not wait here: the journal's mode cannot change while another connection is about to write."""
    other = sqlite3.connect(tmp_path / "memory.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE other (a)")
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.close)
    release.start()
    with TranslationMemory(tmp_path / "memory.sqlite") as memory:
        memory.add("slow", "1", "en", "es", {"a": "b"})
    release.join()


def write_memory(path: Path) -> bytes:
    with TranslationMemory(path) as memory:
        memory.add("slow", "1", "en", "es", {text: text * 40 for text in TEXTS})
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["first page", "half", "last page", "zeros in the middle", "not a database"])
def test_a_damaged_memory_is_named_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "memory.sqlite"
    whole = write_memory(path)
    middle = len(whole) // 2
    content = {
        "first page": whole[:2000],
        "half": whole[:middle],
        "last page": whole[:-4096],
        "zeros in the middle": whole[:middle] + bytes(6000) + whole[middle + 6000 :],
        "not a database": b"source\ttarget\ttext" * 99,
    }[damage]
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"memory.sqlite: damaged, or not a database: move it away .*\.recover"
    ) as error:
        TranslationMemory(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_a_memory_locked_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "memory.sqlite"
    write_memory(path)
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE'); print(flush=True); "
    code += "input()"
    locker = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert locker.stdout is not None
    locker.stdout.readline()
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    for use in (lambda: TranslationMemory(path), lambda: ScoreCache(path)):
        with pytest.raises(InputError, match=r"memory.sqlite: locked by another process for 0.2 s: wait for"):
            use()
    monkeypatch.setattr(store, "PATIENCE", 20.0)
    waiting = start(path, tmp_path / "log", backend="patient")
    time.sleep(0.6)
    locker.communicate(b"\n")  # lets go
    finish(waiting)


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory.sqlite").mkdir()
    with pytest.raises(
        InputError, match="memory.sqlite: unable to open database file: free some space, or make the file and its"
    ):
        TranslationMemory(tmp_path / "memory.sqlite")


def test_bugs_stay_bugs(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        Store(tmp_path / "a.sqlite", "no name", COLUMNS)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "1m") as folder:
        yield folder


def test_a_full_disk_keeps_what_was_committed(disk: Path) -> None:
    path = disk / "memory.sqlite"
    with TranslationMemory(path) as memory:
        kept = 0
        with pytest.raises(
            InputError, match=r"memory.sqlite: (database or disk is full|disk I/O error): free some space, or make"
        ):
            for kept in range(100):
                memory.add("slow", "1", "en", "es", {f"{kept} {text}": text * 20 for text in TEXTS})
        assert 2 < kept < 99
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    with TranslationMemory(path) as memory:
        for number in range(kept):
            assert len(memory.get("en", "es", [f"{number} {text}" for text in TEXTS])) == len(TEXTS)
        assert memory.get("en", "es", [f"{kept} {text}" for text in TEXTS]) == {}
        memory.add("slow", "1", "en", "es", {"room": "again"})


def test_a_read_only_disk_is_named(disk: Path) -> None:
    path = disk / "memory.sqlite"
    write_memory(path)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with TranslationMemory(path) as memory:
        assert len(memory.get("en", "es", TEXTS)) == len(TEXTS)
        with pytest.raises(
            InputError, match="memory.sqlite: attempt to write a readonly database: free some space, or"
        ):
            memory.add("slow", "1", "en", "es", {"new": "nuevo"})
