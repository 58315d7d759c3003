"""Transforms for tiny networks: every place's choices, and plans made of them."""

import torch

from qcore.models.families import family_of
from qcore.models.plan import BlockPlan, Plan
from qcore.models.regions import dimensions
from qcore.transforms.algebra import Transform, head_transforms
from qcore.transforms.hadamard import block_rotation, full_rotation
from qcore.transforms.permutation import permute, permute_heads

# What stands for each place; widths follow the network. Sizes above the width are expansion.
RESIDUAL = ("none", "folded", "permuted", "rotated", "permuted and rotated")
VALUES = ("none", "permuted", "rotated", "permuted and rotated")
ATTENTION_OUTPUT = ("none", "block", "expanded")
MLP_HIDDEN = ("none", "permuted", "full", "block", "permuted block", "expanded", "expanded block")


def channel_order(width, block, seed=0, slots=None):
    """A random order, different for every seed."""
    return permute("random", torch.ones(width), block, seed=seed, slots=slots)


def residual(choice, size):
    if choice == "none":
        return None
    order = channel_order(size.hidden, 8) if "permuted" in choice else None
    rotation = full_rotation(size.hidden, seed=1) if "rotated" in choice else None
    return Transform(size.hidden, order, rotation)


def values(choice, size, block):
    if choice == "none":
        return ()
    counts = {"heads": size.heads, "kv_heads": size.kv_heads}
    mean = torch.ones(size.attention)
    order = permute_heads("random", mean, 4, **counts, seed=10 * block)
    rotation = full_rotation(size.head_dim, seed=2) if "rotated" in choice else None
    return head_transforms(
        size.head_dim, size.kv_heads, rotation, order if "permuted" in choice else None
    )


def attention_output(choice, size):
    width = size.attention
    rotations = {
        "block": lambda: block_rotation(width, 4),
        "expanded": lambda: full_rotation(width + width // 4, seed=4),
    }
    return None if choice == "none" else Transform(width, None, rotations[choice]())


def mlp_hidden(choice, size, block):
    if choice == "none":
        return None
    width = size.intermediate
    rotation, slots = None, width
    if choice == "full":
        rotation = full_rotation(width, seed=5)
    elif choice == "expanded":
        rotation = full_rotation(width + 4, seed=6)
    elif "block" in choice:
        slots = 80 if "expanded" in choice else width
        rotation = block_rotation(slots, 16, seed=7)
    permuted = "permuted" in choice or choice == "expanded block"
    order = channel_order(width, 16, block, slots) if permuted else None
    return Transform(width, order, rotation)


def plan_for(model, residual_choice, values_choice, output_choice, hidden_choice):
    """A plan whose permutations differ from block to block."""
    size = dimensions(model)
    return Plan(
        residual(residual_choice, size),
        tuple(
            BlockPlan(
                values(values_choice, size, block),
                attention_output(output_choice, size),
                mlp_hidden(hidden_choice, size, block),
            )
            for block in range(size.blocks)
        ),
    )


def everything(model):
    """A plan with something of every kind that the network has a place for, expansion included."""
    both = "permuted and rotated"
    stream = both if family_of(model).rotates_residual else "none"
    return plan_for(model, stream, both, "expanded", "expanded block")
