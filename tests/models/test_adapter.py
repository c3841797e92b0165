"""A low-rank adapter: no change at first, what it learned once merged, and only for the model that it is of."""

import pytest
import torch
from torch import nn

from helpers.models.adapter import Adapted, adapt, merge_adapter, save_adapter
from tests.families import build, plain

TOKENS = torch.arange(1, 13)[None]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build(plain("llama", head_dim=16, vocab_size=32)).eval()


def test_it_begins_as_no_change_and_learns_alone(model):
    before = model(TOKENS).logits
    learned = adapt(model, rank=2)
    assert torch.equal(model(TOKENS).logits, before)
    n_layers = len(model.model.layers)
    assert len(learned) == 2 * 7 * n_layers  # q, k, v, o, gate, up and down
    model(TOKENS).logits.sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set(learned)


def test_it_is_the_definition():
    torch.manual_seed(0)
    layer = Adapted(nn.Linear(5, 3, bias=False), rank=2)
    nn.init.normal_(layer.b)
    x = torch.randn(4, 5)
    assert torch.allclose(layer(x), x @ (layer.frozen.weight + layer.b @ layer.a).T, atol=1e-6)


def test_merged_it_says_what_it_said_before(model, tmp_path):
    state = {name: p.clone() for name, p in model.state_dict().items()}
    learned = adapt(model, rank=2)
    with torch.no_grad():
        for p in learned.values():
            p.copy_(torch.randn_like(p).bfloat16())  # what can be saved without rounding
    said = model(TOKENS).logits
    save_adapter(learned, tmp_path / "adapter.safetensors")
    merged = build(plain("llama", head_dim=16, vocab_size=32)).eval()
    merged.load_state_dict(state)
    merge_adapter(merged, tmp_path / "adapter.safetensors")
    assert torch.allclose(merged(TOKENS).logits, said, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("other", [{"num_hidden_layers": 4}, {"intermediate_size": 24}])
def test_another_models_is_refused_in_one_line_and_changes_nothing(model, tmp_path, other):
    learned = adapt(build(plain("llama", head_dim=16, vocab_size=32) | other), rank=2)
    for p in learned.values():
        nn.init.normal_(p)
    save_adapter(learned, tmp_path / "adapter.safetensors")
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"'; it adapts model.layers.\d+\S+ of \[\d+, \d+\], which this model has not"):
        merge_adapter(model, tmp_path / "adapter.safetensors")
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
