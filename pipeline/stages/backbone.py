"""Put the language model that every row starts from into models/backbone.

    python -m pipeline.stages backbone

Reads block `backbone` and, with `source: scratch`, data/prepared; writes models/backbone (a `from_pretrained` folder)
and plots/curves/backbone (empty unless it was trained here).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.compute.processes import in_processes, rank
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.backbone import Backbone
from pipeline.config.base import load_block, load_seed
from pipeline.config.training import Compute
from pipeline.files import new_folder
from pipeline.models.backbone import from_hub, from_path, from_scratch, save
from pipeline.text.prepared import PREPARED
from pipeline.training.loop import scratch_folder, write_curves

OUT, CURVES = Path("models/backbone"), Path("plots/curves/backbone")


@in_processes
def main(arguments: Sequence[str]) -> None:
    params, compute, seed = load_block("backbone", Backbone), load_block("compute", Compute), load_seed()
    make_deterministic(seed, compute)
    run = scratch_folder("backbone", "scratch", [params.model_dump(), compute.model_dump(), seed], [PREPARED])
    trained = None
    if params.source == "scratch":
        trained = from_scratch(params.scratch, PREPARED, run, compute.precision, seed)
    if rank() > 0:
        return
    with new_folder(OUT) as folder, new_folder(CURVES) as curves:
        if trained:
            save(*trained, folder)
        elif params.source == "hub":
            from_hub(params.hub, folder)
        else:
            from_path(Path(params.path), folder)
        write_curves(run, curves)
    shutil.rmtree(run, ignore_errors=True)
