"""From a Recipe to a Report: resolve → load → capture → quantize → evaluate, cached by content.

`run` tells the story; `plan` and `preview` tell what a run would reuse before it starts.
"""

from qcore.pipeline.keys import Keys, PlannedStage, Resolved, resolve_inputs
from qcore.pipeline.preview import Preview, plan, preview
from qcore.pipeline.run import run
from qcore.pipeline.workbench import Workbench

__all__ = [
    "Keys",
    "PlannedStage",
    "Preview",
    "Resolved",
    "Workbench",
    "plan",
    "preview",
    "resolve_inputs",
    "run",
]
