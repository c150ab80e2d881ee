"""DVC's check of all stages, looking at each file once instead of once a stage.

Most stages depend on params.yaml, and many on the same data. DVC parses params.yaml, searches all of it for every
parameter, looks up the hash of every dependency and edits its file of locks three times, anew for each stage. Nothing
of this changes between two stages while the repository is locked, as nothing is run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from types import SimpleNamespace
from typing import Any

from dvc import rwlock
from dvc.dependency import param
from dvc.lock import LockError
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage

_search = param.dpath.get


@contextmanager
def each_file_once(repo: Repo, stages: Sequence[Stage]) -> Iterator[dict[str, Any]]:
    """While the repository is locked and no stage runs, let `stage.changed()` of `stages` share what it finds.

    Yields the hashes that are known by now, by absolute path; one that is put in counts in place of the file's.
    """
    hashes: dict[str, Any] = {}
    with ExitStack() as context:
        context.enter_context(replaced(param, "load_path", cache(param.load_path)))
        context.enter_context(replaced(param, "dpath", SimpleNamespace(get=parameter)))
        context.enter_context(replaced(Output, "get_hash", once_a_path(Output.get_hash, hashes)))
        files = [item.fs_path for stage in stages for item in (*stage.deps, *stage.outs)]
        hardlink = repo.config["core"].get("hardlink_lock", False)
        try:
            context.enter_context(rwlock.rwlock(repo.tmp_dir, repo.fs, "pipeline.jobs", files, [], hardlink))
        except LockError:
            pass  # a process is writing some of them: DVC has to ask stage by stage
        else:
            context.enter_context(replaced(rwlock, "rwlock", lambda *_: nullcontext()))
        yield hashes


def parameter(tree: Mapping[str, Any], key: str, separator: str) -> Any:  # noqa: ANN401 - from YAML
    """As `dpath.get`, which visits every value of the file, for a key without wildcards."""
    value: Any = tree
    try:
        for part in key.split(separator):
            value = value[part]
    except (KeyError, TypeError):
        return _search(tree, key, separator=separator)
    return value


def once_a_path(get_hash: Callable[[Any], Any], known: dict[str, Any]) -> Callable[[Any], Any]:
    """`Output.get_hash`, which a file or folder has in common with every stage that reads or writes it."""

    def get(output: Any) -> Any:  # noqa: ANN401 - dvc's types are unknown
        if (output.fs.protocol, output.hash_name) != ("local", "md5"):
            return get_hash(output)
        if output.fs_path not in known:
            known[output.fs_path] = get_hash(output)
        return known[output.fs_path]

    return get


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """`owner.name` is `value`."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
