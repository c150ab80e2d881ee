"""Bring the raw files to data/raw: all of them, verified, or none.

Reads `data.path` of params.yaml: a folder in the course layout, or a manifest such as data/sources/course.yaml.
"""

import shutil
from pathlib import Path

from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import new_folder
from pipeline.text.download import DOWNLOADS, RAW, fetch, find_in_folder, read_manifest


def main() -> None:
    path = Path(load_params().data.path)
    if path.is_dir():
        files = find_in_folder(path)
    elif path.is_file():
        files = {name: fetch(name, source) for name, source in read_manifest(path).items()}
    else:
        raise InputError(f"data.path: {path} does not exist; name a folder in the course layout or a manifest (.yaml)")
    with new_folder(RAW) as folder:
        for name, file in files.items():
            shutil.copyfile(file, folder / name)
    if path.is_file():
        shutil.rmtree(DOWNLOADS, ignore_errors=True)  # kept until here, so that a failed run does not start over
    for name in files:
        print(f"{(RAW / name).stat().st_size:>12,} bytes  {RAW / name}")
    print(f"{len(files)} files from {path}")
