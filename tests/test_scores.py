"""The score cache: nothing is computed twice, nothing computed is lost, and a cached run decides as a fresh one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.augment.gates import ChrF
from pipeline.augment.memory import CHUNK, ScoreCache, score_all
from pipeline.errors import InputError

ROOT = Path(__file__).parents[1]


class Counting:
    """Scores by length, in one direction, and remembers what it was asked."""

    name = "counting"

    def __init__(self, revision: str = "1", value: float | None = None) -> None:
        self.revision = revision
        self.value = value
        self.asked: list[list[tuple[str, str]]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked.append(list(pairs))
        return [len(first) / (1 + len(second)) if self.value is None else self.value for first, second in pairs]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ScoreCache]:
    with ScoreCache(tmp_path / "memory/scores.sqlite") as cache:
        yield cache


def test_scores_come_in_order_rounded_and_once(cache: ScoreCache) -> None:
    scorer = Counting()
    pairs = [("ab", "abcdef"), ("", "x"), ("abcdef", "ab"), ("ab", "abcdef")]
    assert score_all(pairs, scorer, cache) == [0.2857, 0.0, 2.0, 0.2857]
    assert score_all(pairs[::-1], scorer, cache) == [0.2857, 2.0, 0.0, 0.2857]
    assert sorted(sum(scorer.asked, [])) == sorted(set(pairs))
    assert score_all([], scorer, cache) == []


def test_a_score_belongs_to_scorer_revision_and_direction(cache: ScoreCache) -> None:
    pair = ("ab", "abcdef")
    assert score_all([pair], Counting("1", 0.1), cache) == [0.1]
    assert score_all([pair], Counting("2", 0.2), cache) == [0.2]
    assert score_all([pair[::-1]], Counting("1", 0.3), cache) == [0.3]
    other = Counting("1", 0.4)
    other.name = "other"
    assert score_all([pair], other, cache) == [0.4]
    assert score_all([pair], Counting("1", 0.9), cache) == [0.1]


def test_chunks_hold_texts_of_similar_length(cache: ScoreCache) -> None:
    scorer = Counting()
    pairs = [("x" * (7 * number % 300), str(number)) for number in range(2 * CHUNK + 5)]
    score_all(pairs, scorer, cache)
    assert [len(chunk) for chunk in scorer.asked] == [CHUNK, CHUNK, 5]
    lengths = [len(first) + len(second) for chunk in scorer.asked for first, second in chunk]
    assert lengths == sorted(lengths, reverse=True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=20), st.integers(0, 20))
def test_a_cached_run_gives_what_a_fresh_run_gives(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], known: int
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    with ScoreCache(folder / "cold.sqlite") as cold, ScoreCache(folder / "warm.sqlite") as warm:
        score_all(pairs[:known], ChrF(), warm)
        assert score_all(pairs, ChrF(), warm) == score_all(pairs, ChrF(), cold)


def test_what_was_scored_before_a_failure_is_kept(cache: ScoreCache) -> None:
    class Failing(Counting):
        def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            if len(self.asked) == 1:
                raise MemoryError
            return super().score(pairs)

    pairs = [(str(number), "b") for number in range(CHUNK + 9)]
    with pytest.raises(MemoryError):
        score_all(pairs, Failing(), cache)
    later = Counting()
    score_all(pairs, later, cache)
    assert [len(chunk) for chunk in later.asked] == [9]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused_and_not_stored(cache: ScoreCache, value: float) -> None:
    pair = ("Why?", "How?")
    with pytest.raises(InputError, match=r"counting 1: the score of \('Why\?', 'How\?'\) is (nan|inf)"):
        score_all([pair], Counting("1", value), cache)
    assert cache.look_up({pair: ("counting", "1", *pair)}) == {}


def test_a_scorer_that_drops_pairs_is_noticed(cache: ScoreCache) -> None:
    class Short(Counting):
        def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            return super().score(pairs)[1:]

    with pytest.raises(ValueError, match="shorter"):
        score_all([("a", "b"), ("c", "d")], Short(), cache)


SLOW = """
import sys, time
from pathlib import Path
from pipeline.augment import memory as scores
scores.CHUNK = 4
class Slow:
    name, revision = "slow", "1"
    def score(self, pairs):
        with open(sys.argv[2], "a") as log:
            log.writelines(f"{first}\\n" for first, _ in pairs)
        time.sleep(float(sys.argv[3]))
        return [int(first) / 7 for first, _ in pairs]
pairs = [(str(100 + number), "b") for number in range(40)]
with scores.ScoreCache(Path(sys.argv[1])) as cache:
    print(scores.score_all(pairs, Slow(), cache))
"""


def run_slow(tmp_path: Path, pause: float) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", SLOW, str(tmp_path / "scores.sqlite"), str(tmp_path / "log"), str(pause)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_a_killed_run_loses_one_chunk_at_most(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = run_slow(tmp_path, 0.1)
    deadline = time.monotonic() + 20
    while not (log.exists() and len(log.read_text().split()) >= 13) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    asked = log.read_text().split()
    assert 13 <= len(asked) < 40
    output, _ = run_slow(tmp_path, 0).communicate(timeout=20)
    assert output == f"{[round((100 + number) / 7, 4) for number in range(40)]}\n"
    again = log.read_text().split()
    assert len(set(again)) == 40
    assert len(again) - 40 <= 4


def test_two_processes_share_the_cache(tmp_path: Path) -> None:
    processes = [run_slow(tmp_path, 0.01) for _ in range(2)]
    outputs = [process.communicate(timeout=30)[0] for process in processes]
    assert outputs == [f"{[round((100 + number) / 7, 4) for number in range(40)]}\n"] * 2
