"""A project's user, who types commands of DVC, git and make."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from ruamel.yaml import YAML


class Copy:
    """A folder with a project, and its user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str, code: int = 0) -> str:
        """What a command of the cookbook prints."""
        return self.call("bash", "-c", command, code=code)

    def call(self, *command: str, code: int = 0) -> str:
        """What any command prints."""
        user = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {**os.environ, **user, "COLUMNS": "200"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, timeout=600, text=True, stdout=-1, stderr=subprocess.STDOUT
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def commit(self) -> None:
        self.call("git", "add", "-A")
        self.call("git", "commit", "-qm", "results")

    def duplicate(self, folder: Path) -> "Copy":
        """The project as it stands, with its cache."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Copy(folder)

    def edit(self, group: str, row: str, **values: float) -> None:
        """Change parameters of a row."""
        params = self.params()
        params[group]["methods"][row].update(values)
        self.write(params)

    def params(self) -> dict:
        return YAML(typ="safe").load(self.folder / "params.yaml")

    def write(self, params: dict) -> None:
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        with open(self.folder / "params.yaml", "w") as file:
            yaml.dump(params, file)

    def named(self, word: str) -> set[str]:
        """The files with the word in their path, apart from DVC's and git's own, the code and its lists."""
        paths = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        return {path for path in paths if word in path and not path.startswith((".", "pipeline", "code"))}


def ran(output: str) -> set[str]:
    """The stages that DVC ran."""
    return set(re.findall(r"Running stage '([^']+)'", output))
