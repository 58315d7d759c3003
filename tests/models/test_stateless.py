"""A network's output depends on its input alone, whatever it has read before."""

import itertools

import pytest
import torch

from qcore.models.loading import load, resolve
from qcore.models.stateless import forget_between_calls
from tests.models.factories import VOCABULARY, tiny_model
from tests.models.folders import edit, ref, write_folder

LENGTHS = (8, 24, 33, 40, 96, 128)
ROPES = {
    "dynamic": {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 1e4},
    "longrope": {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 8.0,
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [2.0, 4.0, 6.0, 8.0],
        "original_max_position_embeddings": 32,
    },
    "yarn": {"rope_type": "yarn", "factor": 8.0, "rope_theta": 1e4},
}


def network(rope):
    return tiny_model("llama", max_position_embeddings=32, rope_parameters=dict(ROPES[rope]))


def text(length):
    generator = torch.Generator().manual_seed(length)
    return torch.randint(0, VOCABULARY, (1, length), generator=generator)


def logits(model, length):
    with torch.no_grad():
        return model(text(length), use_cache=False).logits


@pytest.mark.parametrize("rope", ROPES)
def test_what_a_network_says_of_a_text_does_not_depend_on_the_texts_before(rope):
    fresh = {}
    for length in LENGTHS:
        model = network(rope)
        forget_between_calls(model)
        fresh[length] = logits(model, length)
    model = network(rope)
    forget_between_calls(model)
    orders = list(itertools.permutations(LENGTHS))[:: 720 // 12]
    for length in itertools.chain.from_iterable(orders):
        assert torch.equal(logits(model, length), fresh[length]), length


def test_frequencies_that_grow_are_kept_by_the_network_as_its_library_made_it():
    # The state that is forgotten above is real: without forgetting, the order matters.
    model = network("dynamic")
    before = logits(model, 40)
    logits(model, 128)
    assert not torch.equal(logits(model, 40), before)


def test_a_network_without_such_frequencies_gets_no_hook():
    model = tiny_model()
    assert forget_between_calls(model) == 0
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_loaded_network_forgets(tmp_path):
    rope = dict(ROPES["dynamic"])
    folder = write_folder(tmp_path / "m", max_position_embeddings=32, rope_parameters=rope)
    model = load(resolve(ref(folder), tmp_path), tmp_path).model
    before = logits(model, 40)
    logits(model, 128)
    assert torch.equal(logits(model, 40), before)


@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
def test_only_networks_whose_outcomes_changed_have_another_digest(tmp_path, key):
    from qcore.models.folder import examine
    from qcore.models.source import digest_files

    folder = write_folder(tmp_path / "m")
    plain = resolve(ref(folder), tmp_path).digest
    assert plain == digest_files(examine(folder).files, tmp_path)
    edit(folder / "config.json", **{key: ROPES["dynamic"]})
    assert resolve(ref(folder), tmp_path).digest != digest_files(examine(folder).files, tmp_path)
    edit(folder / "config.json", **{key: ROPES["yarn"]})
    assert resolve(ref(folder), tmp_path).digest == digest_files(examine(folder).files, tmp_path)
