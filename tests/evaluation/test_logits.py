"""Sequences side by side in one pass are scored as each would be alone."""

import pytest
import torch

from qcore.evaluation.logits import final_hidden
from tests.models.factories import VARIANTS, tiny_model, tiny_windows


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_sequences_behind_one_mask_do_not_see_each_other_nor_beyond_a_sliding_window(variant):
    family, more = VARIANTS[variant]
    model = tiny_model(family, torch.float64, **more)
    first, second = tiny_windows(2, 20)
    alone = torch.cat([final_hidden(model, first), final_hidden(model, second)])
    causal = torch.ones(20, 20, dtype=torch.bool).tril()
    sees = torch.block_diag(causal, causal).bool()
    positions = torch.arange(20).repeat(2)
    packed = final_hidden(model, torch.cat([first, second]), positions=positions, sees=sees)
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
