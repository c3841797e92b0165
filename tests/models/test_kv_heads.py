"""Twins with other KV heads: more of them say the same, the rest of the weights is shared, nonsense is refused."""

import pytest
import torch

from helpers.models import load_reasoner
from helpers.models.kv_heads import with_kv_heads
from tests.families import EXTRA, build


def remake(matrix, n_heads, now, then):
    """As lesson 02 has it."""
    kept = matrix.unflatten(0, (now, -1))
    own = kept.repeat_interleave(n_heads // now, dim=0)
    return own.unflatten(0, (then, -1)).mean(1).flatten(0, 1)


@pytest.mark.parametrize("model", [load_reasoner().model, build(EXTRA["Qwen2, window named, not used"])])
def test_a_twin_in_which_nothing_is_shared_says_the_same(model):
    twin = with_kv_heads(model, model.config.num_attention_heads, remake)
    ids = torch.randint(3, 60, (1, 20), generator=torch.manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(twin(ids).logits, model(ids).logits, atol=1e-4)


def test_the_model_stays_as_it_is_and_shares_its_other_weights():
    model = load_reasoner().model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    twin = with_kv_heads(model, 2, remake)
    assert (model.config.num_key_value_heads, twin.config.num_key_value_heads) == (4, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert twin.model.embed_tokens.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert twin.model.layers[0].self_attn.k_proj.weight.shape[0] == 2 * 32


@pytest.mark.parametrize("wished", [0, 3, 16])
def test_heads_that_cannot_share_evenly_are_refused(wished):
    with pytest.raises(ValueError, match="8 query heads cannot share so many evenly"):
        with_kv_heads(load_reasoner().model, wished, remake)


def test_a_model_that_makes_keys_otherwise_is_refused(monkeypatch):
    model = load_reasoner().model
    monkeypatch.setattr(model, "state_dict", dict)
    with pytest.raises(ValueError, match="no k_proj and v_proj"):
        with_kv_heads(model, 2, remake)
