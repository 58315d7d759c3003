"""What it costs to rotate, permute and expand the whole demo model, and its moments with it.

Each plan is carried out and taken back; H stands for a capture of the site's width. Beside it, how
far the float logits move. Making the permutations is `benchmarks.permutation`. Brevitas 0.13.4 took
17 to 19 s to rotate, permute and expand the same model on two cores.

    python -m benchmarks.transformation
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from benchmarks._measure import interleave, save, table
from qcore.machine.home import home
from qcore.models.families import linear_module, sites
from qcore.models.loading import load, resolve
from qcore.models.plan import BlockPlan, Plan
from qcore.models.regions import Dimensions, dimensions
from qcore.models.transformation import Transformed, transform
from qcore.recipe import ModelRef
from qcore.transforms.algebra import Transform, head_transforms, site_transform
from qcore.transforms.expansion import admissible_sizes
from qcore.transforms.hadamard import full_rotation


def plan(size: Dimensions, *, block: int | None, permuted: bool, steps: int) -> Plan:
    """R1 and R2 full, R4 as asked, expansion at down_proj and, with it, by one step at o_proj."""
    width = size.intermediate
    wider = next(itertools.islice(itertools.chain([width], admissible_sizes(width)), steps, None))
    online = full_rotation(next(admissible_sizes(size.attention)))

    def one(index: int) -> BlockPlan:
        mean = torch.rand(width, generator=torch.Generator().manual_seed(index))
        method = "massdiff" if permuted else "identity"
        hidden = site_transform(width, block=block, size=wider, method=method, mean=mean)
        output = Transform(size.attention, None, online) if steps else None
        values = head_transforms(size.head_dim, size.kv_heads, full_rotation(size.head_dim))
        return BlockPlan(values, output, hidden)

    residual = Transform(size.hidden, None, full_rotation(size.hidden, seed=0))
    return Plan(residual, tuple(one(index) for index in range(size.blocks)))


def measure(model: nn.Module, name: str, given: Plan, text: Tensor) -> dict[str, object]:
    """CPU seconds for the weights and for the moments, and the change of the logits."""
    moments = {}
    for site in sites(model):
        width = linear_module(model, site.linears[0]).in_features
        moments[site.name] = torch.eye(width) + 0.1

    def weights() -> None:
        transform(model, given).restore()

    def all_moments(transformed: Transformed) -> None:
        for site in sites(model):
            transformed.moment(site, moments[site.name])

    with torch.no_grad():
        before = model(text).logits
        with transform(model, given) as transformed:
            after = model(text).logits
            seconds = interleave({"moments": lambda: all_moments(transformed)}, repeats=3)
    seconds |= interleave({"weights": weights}, repeats=3)
    return {
        "plan": name,
        "weights_cpu_s": seconds["weights"],
        "moments_cpu_s": seconds["moments"],
        "logits_relative_change": float((after - before).norm() / before.norm()),
    }


def main() -> None:
    model = load(resolve(ModelRef(), home()), home()).model
    size = dimensions(model)
    text = torch.arange(128).view(2, 64) * 350
    plans = {
        "R1 R2 R4": plan(size, block=None, permuted=False, steps=0),
        "R1 R2 R4/32": plan(size, block=32, permuted=False, steps=0),
        "R1 R2 MassDiff R4/32": plan(size, block=32, permuted=True, steps=0),
        "R1 R2 R4 + 5 steps": plan(size, block=None, permuted=False, steps=5),
    }
    rows = [measure(model, name, given, text) for name, given in plans.items()]
    print(table(rows))
    print(save("transformation", rows).name)


if __name__ == "__main__":
    main()
