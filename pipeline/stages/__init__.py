"""One module per stage of dvc.yaml: read parameters, call the library, write outputs.

What torch and transformers make while they are imported stays to the end. Python's search for cyclic garbage would go
through it again and again, for a quarter of the time. A command that runs a stage does without until all is imported,
then errors.stage_main puts what is there out of its reach and lets it begin.
"""

import gc
import sys

if sys.argv[:1] == ["-m"]:  # as `python -m` has it before it has found the module
    gc.disable()
