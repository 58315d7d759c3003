import pytest
import torch
from transformers import PreTrainedModel

from tests.models.factories import WORDS, tiny_llama


@pytest.fixture(scope="session")
def model() -> PreTrainedModel:
    return tiny_llama(0)


@pytest.fixture(scope="session")
def other() -> PreTrainedModel:
    """The same network with a little noise on its weights: what quantization does."""
    noisy = tiny_llama(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in noisy.named_parameters():
            if "proj" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise * 0.02)
    return noisy


@pytest.fixture(scope="session")
def windows() -> torch.Tensor:
    return torch.randint(0, WORDS, (3, 40), generator=torch.Generator().manual_seed(2))
