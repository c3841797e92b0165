"""The whole path of a hub model: a folder, calibration on a text file, a compressed thought, blocks that return.

Once with Qwen3-0.6B's own configuration, to the last number of its vocabulary (random weights); long on a GPU, short on
a CPU. And once in float16, which is what a card computes that does not know bfloat16.
"""

import shutil

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from helpers.arithmetic import MODELS
from helpers.cache import PagedCache, blocks_for
from helpers.decoding import generate
from helpers.eviction import Compressor, TriAttention
from helpers.models import load_model
from tests.families import build, plain

ON_GPU = torch.cuda.is_available()
TEXT = """Of all the notes that a model keeps, which will it look at again? A thought goes on for thousands of words,
and nobody can tell from one word alone. "Ask the queries," said the first engineer; they come late, 24,000 tokens late.
The second counted blocks: sixteen slots, one tenant, no vacancy. Naïve? Perhaps; 3 + 4 = 7 was never in doubt.
"""


def byte_tokenizer():
    """A byte-level BPE, the kind that Qwen's is, trained on the text itself."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core)


def save_exact(folder, config):
    """A folder as the hub has it: ``config.json``, weights in bfloat16 (a short noise, repeated), a tokenizer."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.bfloat16)
    model = model.to_empty(device="cpu")
    model.tie_weights()
    noise = 0.02 * torch.randn(1_000_003, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.no_grad():
        for parameter in model.parameters():
            flat = parameter.view(-1)
            for first in range(0, len(flat), len(noise)):
                piece = flat[first : first + len(noise)]
                piece.copy_(noise[: len(piece)] if parameter.ndim > 1 else torch.ones(()))
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_qwen3_0_6b_s_own_configuration_from_folder_to_freed_blocks(tmp_path, text, monkeypatch):
    monkeypatch.delenv("COURSE_MODEL", raising=False)
    published = MODELS["Qwen3-0.6B"]
    folder = save_exact(tmp_path / "qwen", published.config)
    try:
        loaded = load_model(folder)
    finally:
        shutil.rmtree(folder)  # more than a gigabyte
    assert sum(p.numel() for p in loaded.model.parameters()) == published.n_params
    token_ids = loaded.text_ids(text, most=128)
    assert token_ids.shape == (1, 128)
    policy = TriAttention.calibrate(loaded.model, token_ids, horizon=1024)
    budget, interval, block_size, fired = (256, 128, 16, 10) if ON_GPU else (8, 8, 8, 3)
    prompt = token_ids[:, :8]
    peak = prompt.shape[1] + budget + interval
    cache = PagedCache.for_model(loaded.model, blocks_for(peak, block_size), block_size, loaded.element_format)
    compressor = Compressor(policy, budget, interval, protect_recent=4)
    loaded.model.generation_config.eos_token_id = None
    trace = generate(loaded.model, prompt, cache, compressor, max_new_tokens=1 + budget + fired * interval)
    assert [c.blocks_freed for c in trace.compressions.values()] == [interval // block_size] * fired
    assert trace.bytes_freed == loaded.shape.bytes(fired * interval, kv_format=loaded.element_format)
    assert (cache.tokens_seen, cache.alive()) == (peak + (fired - 1) * interval, peak - interval)
    assert max(trace.blocks_held) == cache.pool.num_blocks
    cache.pool.check_integrity(cache.tables)
    assert cache.token_index(27)[0, :, :8].tolist() == [list(range(8))] * 8  # the prompt is where it was


class NoBFloat16(TorchDispatchMode):
    """Fails at the first operation that makes a bfloat16 tensor."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            assert not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.bfloat16, f"bfloat16 from {operation}"
        return made


def run_in(dtype, tmp_path, text, monkeypatch):
    build(plain("qwen3", head_dim=16, vocab_size=300), torch.float32).save_pretrained(tmp_path / "small")
    byte_tokenizer().save_pretrained(tmp_path / "small")
    monkeypatch.setattr("helpers.models.loading.pick_device", lambda: "cpu")
    monkeypatch.setattr("helpers.models.loading.pick_dtype", lambda device: dtype)
    with NoBFloat16():
        loaded = load_model(str(tmp_path / "small"))
        policy = TriAttention.calibrate(loaded.model, loaded.text_ids(text))
        cache = PagedCache.for_model(loaded.model, 6, 8, loaded.element_format)
        compressor = Compressor(policy, budget=16, interval=8, protect_recent=4)
        return loaded, generate(loaded.model, loaded.text_ids(text, most=8), cache, compressor, max_new_tokens=41)


def test_a_card_without_bfloat16_meets_none(tmp_path, text, monkeypatch):
    loaded, trace = run_in(torch.float16, tmp_path, text, monkeypatch)
    assert (loaded.model.dtype, loaded.element_format) == (torch.float16, "fp16")
    assert [c.blocks_freed for c in trace.compressions.values()] == [1, 1, 1]


def test_the_guard_against_bfloat16_bites(tmp_path, text, monkeypatch):
    with pytest.raises((AssertionError, ValueError), match="bfloat16 from"):
        run_in(torch.bfloat16, tmp_path, text, monkeypatch)


# --- Calibration from a text file ------------------------------------------------------------------------------------
@pytest.fixture
def small(tmp_path, monkeypatch):
    build(plain("qwen3", head_dim=16, vocab_size=300)).save_pretrained(tmp_path / "small")
    byte_tokenizer().save_pretrained(tmp_path / "small")
    return load_model(str(tmp_path / "small"))


def test_a_text_file_s_tokens_are_the_text_s(small, text):
    ids = small.text_ids(text)
    assert small.tokenizer.decode(ids[0]) == TEXT
    assert ids.device == small.model.device
    assert small.text_ids(str(text), most=40).tolist() == ids[:, :40].tolist()


def test_of_a_long_file_only_the_beginning_is_read(small, tmp_path):
    long = tmp_path / "long.txt"
    with long.open("wb") as file:
        file.write(TEXT.encode() + b" " * 10_000 + b"\xff")  # the end is no text, and is not reached
    assert small.text_ids(long, most=20).tolist() == small.text_ids(long, most=30)[:, :20].tolist()


def test_a_file_that_is_not_there_or_no_text_is_refused_in_one_line(small, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\xff\xfe")
    for path, word in ((tmp_path / "nowhere.txt", "no such text"), (tmp_path, "no such text"), (picture, "UTF-8")):
        with pytest.raises(ValueError, match=word) as error:
            small.text_ids(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="most is 0"):
        small.text_ids(picture, most=0)


def test_too_short_a_text_is_refused_by_the_calibration(small, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("too short")
    with pytest.raises(ValueError, match="calibration needs 128"):
        TriAttention.calibrate(small.model, small.text_ids(short))
