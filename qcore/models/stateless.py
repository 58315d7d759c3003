"""A network whose output depends on its input alone.

Rotary embeddings of type "dynamic" grow their frequencies with the longest sequence seen, and keep
them for shorter ones that are still beyond `max_position_embeddings`; type "longrope" switches
between two sets. What such a module does must not depend on which texts, or which stages of a run,
came before: every use begins with the module as it was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `resolve` imports this module's user, and needs no torch
    from torch import nn


def forget_between_calls(model: nn.Module) -> int:
    """Let every module with frequencies that change begin each call anew; returns how many."""
    changing = [module for module in model.modules() if _changes(module)]
    for module in changing:
        module.register_forward_pre_hook(_reset_to(module))
    return len(changing)


def _changes(module: nn.Module) -> bool:
    kinds = getattr(module, "rope_type", None)
    kinds = kinds.values() if isinstance(kinds, dict) else (kinds,)
    return any(
        isinstance(kind, str) and ("dynamic" in kind or kind == "longrope") for kind in kinds
    )


def _reset_to(module: nn.Module) -> Any:
    """A hook that puts back what `module` holds now."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers(recurse=False)}
    values = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, int | float) and name != "training"
    }

    def reset(module: nn.Module, _: tuple[Any, ...]) -> None:
        for name, kept in buffers.items():
            now = module.get_buffer(name)
            module.register_buffer(name, kept.to(now.device, copy=True), persistent=False)
        for name, value in values.items():
            setattr(module, name, value)

    return reset
