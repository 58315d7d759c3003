"""From a Recipe to a Report: resolve → load → capture → quantize → evaluate, cached by content.

`run` tells the story, `ensure` as much of it as one stage needs; `plan` and `preview` tell what a
run would reuse before it starts. `STAGES` is the table that all of them read.
"""

from qcore.pipeline.inputs import Resolved, resolve_inputs
from qcore.pipeline.keys import Keys, block_key
from qcore.pipeline.planning.plan import PlannedStage
from qcore.pipeline.planning.preview import Preview, plan, preview
from qcore.pipeline.run import ensure, require_stage, run
from qcore.pipeline.session import Session
from qcore.pipeline.stage import STAGES, Stage, stage_names

__all__ = [
    "STAGES",
    "Keys",
    "PlannedStage",
    "Preview",
    "Resolved",
    "Session",
    "Stage",
    "block_key",
    "ensure",
    "plan",
    "preview",
    "require_stage",
    "resolve_inputs",
    "run",
    "stage_names",
]
