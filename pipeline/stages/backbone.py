"""Put the language model that every row starts from into models/backbone.

Reads block `backbone` and data/prepared; writes models/backbone (a `from_pretrained` folder)
and plots/curves/backbone (empty unless it was trained here).
"""

from pipeline.compute.processes import in_processes, rank
from pipeline.config.params import load_params
from pipeline.models.backbone import save
from pipeline.models.pretrained import adopt
from pipeline.text.prepared import PREPARED, read_pairs, read_poems
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
        else:
            adopt(backbone, held_out(), folder)


def held_out() -> list[str]:
    """Questions and poems that no row is trained on."""
    pairs, poems = read_pairs(PREPARED / "paraphrase/select.csv"), read_poems(PREPARED / "sonnets/select.jsonl")
    return [*(pair.sentence1 for pair in pairs), *(poem.text for poem in poems if poem.text)]
