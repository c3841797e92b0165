"""A conversation over a small random model: what a turn reads, what is streamed, what happens to a reply cut off."""

import pytest
import torch
from transformers import DynamicCache

from helpers.arithmetic import KVShape
from helpers.cache import PagedCache
from helpers.decoding import chat
from helpers.decoding.conversation import REPLY, turn_ids
from helpers.eviction import Compressor, KeyNorm
from helpers.models.loading import Loaded
from helpers.models.tokenizer import WORDS, make_tokenizer
from tests.families import build, plain

TEMPLATE = (
    "{{ bos_token }} {% for m in messages %}{{ '?' if m['role'] == 'user' else ':' }} "
    "{{ m['content'] }} ; {% endfor %}:"
)


@pytest.fixture
def loaded():
    torch.manual_seed(3)
    model = build(plain("llama", head_dim=16, vocab_size=len(WORDS), initializer_range=0.5))
    model.generation_config.eos_token_id = None
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    return Loaded("small", model, tokenizer, KVShape.from_config(model.config))


def caches(loaded):
    return DynamicCache(config=loaded.model.config), PagedCache.for_model(loaded.model, 16, kv_format="fp32")


def words(ids):
    return " ".join(WORDS[i] for i in ids[0].tolist())


def test_a_turn_is_what_the_template_writes_behind_the_last_reply(loaded):
    assert words(turn_ids(loaded, "A B", is_first=True)) == "<bos> ? A B ; :"
    assert words(turn_ids(loaded, "C", is_first=False)) == "; ? C ; :"


def test_a_word_that_stands_for_the_reply_may_be_asked_for(loaded):
    assert words(turn_ids(loaded, f"A {REPLY} B", is_first=False)) == "; ? A <unk> B ; :"


@torch.inference_mode()
def next_words(loaded, ids, count):
    for _ in range(count):
        ids = torch.cat([ids, loaded.model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return ids


def test_replies_that_were_cut_off_go_on_as_if_all_were_read_at_once(loaded):
    """Two turns over either cache against the same text without any cache; no reply ends of its own accord."""
    for cache in caches(loaded):
        text, said = torch.empty(1, 0, dtype=torch.long), []
        for is_first, question in ((True, "A B"), (False, "C"), (False, "D E F")):
            ids = turn_ids(loaded, question, is_first)
            text = next_words(loaded, torch.cat([text, ids], dim=1), 5)
            said.append(loaded.tokenizer.decode(text[0, -5:], skip_special_tokens=True))
            assert chat(loaded, question, cache, max_new_tokens=5) == said[-1]
            assert cache.get_seq_length() == text.shape[1]  # the whole reply is read
        assert len(set(said)) == 3  # else it would prove little


def test_a_reply_that_ends_leaves_its_end_to_the_next_turn(loaded):
    free = next_words(loaded, turn_ids(loaded, "A", is_first=True), 6)[0, -6:].tolist()
    loaded.model.generation_config.eos_token_id = free[3]
    heard, seen, cache = [], [], DynamicCache(config=loaded.model.config)
    chat(loaded, "A", cache, heard.append, on_step=lambda trace: seen.append(len(trace.tokens[0])))
    assert seen == list(range(1, free.index(free[3]) + 2))
    assert cache.get_seq_length() == turn_ids(loaded, "A", is_first=True).shape[1] + free.index(free[3])


def test_pieces_come_as_they_are_said_and_whole(loaded):
    class Halves:
        """Every token is half a character, and the last of the reply stays one."""

        chat_template = TEMPLATE

        def __getattr__(self, name):
            return getattr(loaded.tokenizer, name)

        def __call__(self, *args, **kwargs):
            return loaded.tokenizer(*args, **kwargs)

        def decode(self, ids, skip_special_tokens):
            return "é" * (len(ids) // 2) + "\ufffd" * (len(ids) % 2)

    heard = []
    halves = Loaded("small", loaded.model, Halves(), loaded.shape)
    reply = chat(halves, "A", DynamicCache(config=loaded.model.config), heard.append, max_new_tokens=5)
    assert (heard, reply) == (["é", "é", "\ufffd"], "éé\ufffd")


def test_a_compressor_holds_a_reply_to_its_budget(loaded):
    _, cache = caches(loaded)
    compressor = Compressor(KeyNorm(), budget=8, interval=8, protect_recent=2)
    chat(loaded, "A B", cache, max_new_tokens=40, compressor=compressor)
    first = turn_ids(loaded, "A B", is_first=True).shape[1]
    assert first + 8 <= cache.alive() <= first + 16 < cache.get_seq_length()
    chat(loaded, "C", cache, max_new_tokens=20, compressor=compressor)


def test_a_model_without_a_chat_template_is_refused(loaded):
    loaded.tokenizer.chat_template = None
    with pytest.raises(ValueError, match="small is no chat model: its tokenizer has no chat template"):
        chat(loaded, "A", DynamicCache(config=loaded.model.config))
