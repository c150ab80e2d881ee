"""The sample from the beginning, ended by force again and again; what it then gives must be what is committed.

    make torture N=50

A clone without cache runs until it has been ended N times, at random moments: mostly by kill -9 of everything that it
started, sometimes by kill -9 of the runner alone, SIGTERM or Ctrl-C; now and then the cache loses a file, or a second
run is started beside it. Then it may run to its end, and git must find no difference, dvc.lock included.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp

COMMAND = [sys.executable, "-m", "pipeline.parallel"]
SHORTEST, LONGEST = 2.0, 30.0  # seconds between two ends
PATIENCE = 60  # seconds for a run to end after a signal that it may answer


def main(wanted: int, seed: int) -> None:
    rng, ends, begin = random.Random(seed), Counter[str](), time.monotonic()
    print(f"{wanted} ends, seed {seed}", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background; runs would inherit that
    while (left := wanted - sum(ends.values())) > 0:
        folder = Path(mkdtemp(prefix="torture-"))
        subprocess.run(["git", "clone", "-q", ".", folder], check=True)
        ends += run_and_end(folder, left, rng)
        if code := start(folder).wait():
            raise SystemExit(f"the last run ended with exit code {code}; see {folder}.log")
        changed = subprocess.run(
            ["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True
        )
        if changed.stdout:
            raise SystemExit(f"other results than an undisturbed run's, in {folder}:\n{changed.stdout}")
        shutil.rmtree(folder)
        print(f"no difference after {sum(ends.values())} ends, {time.monotonic() - begin:.0f} s", flush=True)
    for name, count in ends.most_common():
        print(f"{count:4} {name}")


def run_and_end(folder: Path, most: int, rng: random.Random) -> Counter[str]:
    """Start the run in a folder and end it, again and again, until it comes to its end; how it was ended."""
    ends = Counter[str]()
    while sum(ends.values()) < most:
        runs = [start(folder) for _ in range(1 + (rng.random() < 0.1))]
        end = rng.choices(["everything", "runner", "SIGTERM", "SIGINT"], [6, 2, 1, 1])[0]
        until = time.monotonic() + rng.uniform(SHORTEST, LONGEST)
        while time.monotonic() < until and all(run.poll() is None for run in runs):
            time.sleep(0.05)
        if failed := [run for run in runs if run.poll()]:
            raise SystemExit(f"a run ended by itself, with exit code {failed[0].returncode}; see {folder}.log")
        if any(run.poll() == 0 for run in runs):
            finish(runs, "everything")
            break
        finish(runs, end)
        print(".", end="", flush=True)
        ends[end + ", two runs at once" * (len(runs) > 1)] += 1
        if rng.random() < 0.1 and (cached := [path for path in (folder / ".dvc/cache").rglob("*") if path.is_file()]):
            rng.choice(sorted(cached)).unlink()
    return ends


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """A run in a session of its own; what it prints is added to a log beside the folder."""
    with open(f"{folder}.log", "ab") as log:
        return subprocess.Popen(COMMAND, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def finish(runs: "list[subprocess.Popen[bytes]]", end: str) -> None:
    """End them in this way, and wait until nothing is left of them."""
    for run in runs:
        for process in members(run.pid) if end == "everything" else [run.pid]:
            number = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}.get(end, signal.SIGKILL)
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
    until = time.monotonic() + PATIENCE
    for run in runs:
        run.wait(PATIENCE)
        while members(run.pid):
            if time.monotonic() > until:
                raise SystemExit(f"{PATIENCE} s after {end}, processes are left: {members(run.pid)}")
            time.sleep(0.05)


def members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, owner = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(owner) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
