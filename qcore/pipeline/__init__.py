"""From a Recipe to a Report: resolve → load → capture → quantize → evaluate, cached by content.

`run` tells the story; `plan` and `preview` tell what a run would reuse before it starts.
"""

from qcore.pipeline.keys import Keys, Resolved, resolve_inputs
from qcore.pipeline.planning.preview import Preview, plan, preview
from qcore.pipeline.run import run
from qcore.pipeline.session import Workbench
from qcore.pipeline.stage import PlannedStage

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
