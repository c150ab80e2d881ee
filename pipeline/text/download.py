"""Get the raw files: copied from a folder in the course layout, or downloaded from the mirrors of a manifest.

A manifest is a YAML mapping from file name to `urls` (mirrors, tried in order), `sha256` or `git_blob` (the id that
`git hash-object` prints) and, if known, `size`. A broken download goes on where it stopped, also in a later run; a file
gets its name only once its content is verified.
"""

import hashlib
import time
from pathlib import Path
from typing import Annotated

import requests
from pydantic import Field, model_validator
from tqdm import tqdm

from pipeline.config.base import Block, check, parse
from pipeline.errors import InputError, listed
from pipeline.files import naming

RAW = Path("data/raw")
DOWNLOADS = Path("checkpoints/download")
REQUIRED = (
    *(f"{name}-{split}.csv" for name in ("quora", "ids-sst", "ids-cfimdb")
      for split in ("train", "dev", "test-student")),
    "sonnets.txt", "sonnets_held_out.txt", "sonnets_held_out_dev.txt", "TRUE_sonnets_held_out_dev.txt",
)  # fmt: skip
OPTIONAL = ("ETPC.xml", "ap-h-train.csv", "plays.txt", "translations.tsv")
ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt at a mirror, doubled each time
TIMEOUT = (10, 60)  # seconds to connect and between two packets


class Source(Block):
    urls: list[Annotated[str, Field(pattern=r"^https?://[^/\s]+/\S+$")]] = Field(min_length=1)
    size: int | None = Field(default=None, gt=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    git_blob: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")

    @model_validator(mode="after")
    def one_hash(self) -> "Source":
        if (self.sha256 is None) == (self.git_blob is None):
            raise ValueError("expected either sha256 or git_blob")
        return self


def read_manifest(path: Path) -> dict[str, Source]:
    """The checked manifest: only known file names, all required ones."""
    files = parse(path, "file names to urls and hashes")
    # Names become paths below data/raw, so only known ones are let through.
    if unknown := [repr(name) for name in files if name not in (*REQUIRED, *OPTIONAL)]:
        raise InputError(f"{path}: unknown file name {listed(unknown)}; docs/data.md has the known names")
    if missing := [name for name in REQUIRED if name not in files]:
        raise InputError(f"{path}: no entry for {listed(missing)}; add its urls and hash")
    return {name: check(entry, Source, name, path) for name, entry in files.items()}


def find_in_folder(folder: Path) -> dict[str, Path]:
    """The course files of a folder."""
    if missing := [name for name in REQUIRED if not (folder / name).is_file()]:
        raise InputError(f"{folder}: no file {listed(missing)}; data.path must name a folder with all course files")
    return {name: folder / name for name in (*REQUIRED, *OPTIONAL) if (folder / name).is_file()}


def fetch(name: str, source: Source, downloads: Path = DOWNLOADS, present: Path = RAW) -> Path:
    """A verified local copy of the file: one that is there already, or a new one in `downloads`."""
    for path in (downloads / name, present / name):
        if path.is_file() and defect(path, source) is None:
            return path
    downloads.mkdir(parents=True, exist_ok=True)
    partial, problems = downloads / f"{name}.part", []
    for url in source.urls:
        try:
            _complete(url, partial, source, partial.exists())
            return partial.replace(downloads / name)
        except (InputError, requests.RequestException) as error:
            problems.append(f"{url}: {error}")
    raise InputError(f"{name}: could not be fetched: {'; '.join(problems)}; check the manifest and the connection")


def defect(path: Path, source: Source) -> str | None:
    """What is wrong with a downloaded file, None if it is the expected one."""
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        return f"expected {source.size} bytes, got {size}"
    expected, name = (source.sha256, "sha256") if source.sha256 else (source.git_blob, "git blob id")
    start = hashlib.sha256() if source.sha256 else hashlib.sha1(b"blob %d\0" % size)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: start)
    return None if digest.hexdigest() == expected else f"expected {name} {expected}, got {digest.hexdigest()}"


def _complete(url: str, partial: Path, source: Source, resumed: bool) -> None:
    """Complete and verify `partial`, with longer and longer pauses; an InputError rules this mirror out."""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
        try:
            problem = _go_on(url, partial, source)
        except (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            problem = "no answer in time" if isinstance(error, requests.Timeout) else "no connection"
        if not problem:
            break
    else:
        raise InputError(f"{problem}, tried {ATTEMPTS} times")
    if wrong := defect(partial, source):
        partial.unlink()
        if not resumed:
            raise InputError(wrong)
        _complete(url, partial, source, False)  # it was the rest of another version of the file


def _go_on(url: str, partial: Path, source: Source) -> str | None:
    """Ask for what is missing from `partial` and append it; the trouble of a server that may go on later."""
    start = partial.stat().st_size if partial.exists() else 0
    # Compressed bytes could not be appended to the plain ones that are there.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status = f"{response.status_code} {response.reason}"
        if start and response.status_code == requests.codes.requested_range_not_satisfiable:
            return None  # nothing is missing, or the verification will tell
        if response.status_code >= 500 or response.status_code == requests.codes.too_many_requests:
            return status
        if not response.ok:
            raise InputError(status)
        start = start if response.headers.get("Content-Range", "").startswith(f"bytes {start}-") else 0
        total = start + int(response.headers.get("Content-Length", 0)) or None
        with (
            naming(partial),
            open(partial, "ab" if start else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=partial.stem, disable=None) as progress,
        ):
            for block in response.iter_content(1 << 16):
                file.write(block)
                progress.update(len(block))
                if source.size is not None and file.tell() > source.size:
                    break  # the verification reports it; no need to wait for an endless body
    return None
