"""Put the language model that every row starts from into models/backbone.

Reads block `backbone` and, with `source: scratch`, data/prepared; writes models/backbone (a `from_pretrained` folder)
and plots/curves/backbone (empty unless it was trained here).
"""

from pathlib import Path

from pipeline.compute.processes import in_processes, rank
from pipeline.config.params import load_params
from pipeline.models.backbone import from_hub, from_path, save
from pipeline.text.prepared import PREPARED
from pipeline.training.pretrain import from_scratch
from pipeline.training.run import Run


@in_processes
def main() -> None:
    backbone = load_params().backbone
    run = Run("backbone", backbone.scratch, [PREPARED])
    trained = from_scratch(backbone.scratch, PREPARED, run) if backbone.source == "scratch" else None
    if rank() > 0:
        return
    with run.outputs() as folder:
        if trained:
            save(*trained, folder)
        elif backbone.source == "hub":
            from_hub(backbone.hub, folder)
        else:
            from_path(Path(backbone.path), folder)
