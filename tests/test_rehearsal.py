"""The dress rehearsal: the profile gpt2, all of its stages from download to report, as a user with a GPU runs it.

Its own params.yaml, in which only sizes are cut; raw files and models come from a server on this machine.
"""

import os
import subprocess
from pathlib import Path

from rehearsal import serve, small, write_models
from ruamel.yaml import YAML
from small_project import REPOSITORY

from pipeline.files import read_json


def test_the_profile_gpt2_runs_to_its_report(tmp_path: Path) -> None:
    project, yaml = tmp_path / "project", YAML(typ="safe")
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{REPOSITORY}", project], check=True)
    subprocess.run(
        ["cp", "-r", *(REPOSITORY / name for name in ("pipeline", "profiles", "dvc.yaml")), project], check=True
    )
    (project / "dvc.lock").unlink()
    params = small(yaml.load(project / "profiles/gpt2.yaml"))
    with serve(write_models(tmp_path / "models", params)) as server:
        (project / "manifest.yaml").write_text(server.manifest())
        params["data"]["path"] = "manifest.yaml"
        yaml.dump(params, project / "params.yaml")
        environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
        environment |= {"HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1", "STAGE_WARM": "1"}
        command = ["python", "-m", "pipeline.parallel", "--jobs", "2"]
        done = subprocess.run(command, cwd=project, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-6000:]
    metrics = {
        task: {path.stem for path in (project / "metrics" / task).glob("*.json")}
        for task in ("sentiment", "paraphrase", "sonnets")
    }
    assert metrics["sentiment"] >= params["sentiment"]["methods"].keys()
    assert metrics["paraphrase"] >= params["paraphrase"]["methods"].keys() | params["paraphrase"]["ensembles"].keys()
    assert metrics["sonnets"] >= params["sonnet"]["systems"].keys()
    baseline = read_json(project / "metrics/paraphrase/baseline.json")
    assert baseline["seeds"] == 3 and baseline["reported_accuracy"] == 0.9081
    assert "gpt2 at 607a30d" in (project / "metrics/summary.md").read_text()
    assert (project / "plots/report.html").stat().st_size > 100_000
    for model in server.models:  # the gates, both directions of six languages, the paraphraser and GPT-2
        assert any(f"/{model}/resolve/" in path for path in server.asked), model
