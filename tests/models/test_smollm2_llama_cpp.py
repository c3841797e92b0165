"""SmolLM2 in transformers says what llama.cpp says, on the same weights and on the 4-bit file that they come from.

In a GGUF of this architecture the rows of query and key weights are in another order, and must be put back; a model in
which they were not still speaks, badly. Here llama.cpp, which reads the file as it is, is the judge.
"""

import importlib.util

import gguf
import pytest
import torch
from transformers import DynamicCache

from helpers.decoding import replay
from helpers.decoding.conversation import turn_ids
from helpers.engines import LlamaCpp
from helpers.models import load_smollm2, smollm2
from tests.models.test_smollm2 import needs_smollm2

pytestmark = [
    needs_smollm2,
    pytest.mark.skipif(not importlib.util.find_spec("xllamacpp"), reason="xllamacpp is not installed"),
]
LEAD = 0.02  # nats, between the likeliest token and the next; where it is less, rounding may decide
TEXTS = [
    "A library keeps a card for each of its books. When a reader asks for a book, the librarian looks for the card, "
    "reads on which shelf the book stands, and fetches it. The cards fill drawers, the drawers fill cabinets, and in "
    "the end the cards need a room of their own. What should be thrown away first: the cards of old books, the cards "
    "that nobody has asked for in a year, or every second card?",
    "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n\n"
    "print(mean([1, 2, 3, 4]))\n# In 2024 it rained on 131 days, 7 more than in the year before; the mean of ten "
    "years is 118.5.\nThe river rose by two metres in one night, and the bridge was closed until noon.",
]
SPLIT = [
    "In  2024 it was 12.5 or\n    131, don't  you   see?\n\n\n  Café 😀 naïve x=3",
    "<|im_start|>user\n1  2<|im_end|>\n",
]
QUESTIONS = [
    "What is the capital of France?",
    "Write two sentences about the sea.",
    "Name three fruits.",
    "Why is the sky blue?",
    "Translate 'good morning' into Spanish.",
    "Tell me a short story about a cat.",
    "How do I boil an egg?",
    "What does a librarian do?",
]


@pytest.fixture(scope="module")
def smol():
    return load_smollm2()


@pytest.fixture(scope="module")
def f32_file(tmp_path_factory):
    """The package's GGUF with every tensor taken out of its 4 bits: its own order of rows, so nothing of ours in it."""
    source = gguf.GGUFReader(smollm2.gguf_path())
    path = tmp_path_factory.mktemp("gguf") / "f32.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in source.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            kinds = field.types
            writer.add_key_value(name, field.contents(), kinds[0], sub_type=kinds[-1] if len(kinds) > 1 else None)
    for tensor in source.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    yield path
    path.unlink()  # 540 MB


def ask(model, prompts, max_tokens=1):
    """What llama.cpp says to each prompt of token ids, greedily, over rows of K and V in float32."""
    with LlamaCpp(model, 512, "fp32", flash_attention=False) as engine:  # with it, fp32 rows are read as fp16
        return [list(engine.ask(prompt, max_tokens).tokens) for prompt in prompts]


@pytest.fixture(scope="module")
def places(smol):
    """Beginnings of the texts, as token ids; for each the next token in transformers, and its lead in nats."""
    prompts, following, leads = [], [], []
    for text in TEXTS:
        ids = smol.tokenizer(text, return_tensors="pt").input_ids[:, :100]
        with torch.inference_mode():
            best = smol.model(ids).logits[0].log_softmax(-1).topk(2)
        prompts += [ids[0, : i + 1].tolist() for i in range(ids.shape[1])]
        following += best.indices[:, 0].tolist()
        leads += (best.values[:, 0] - best.values[:, 1]).tolist()
    return prompts, following, leads


def test_the_tokens_are_llama_cpp_s(smol):
    with LlamaCpp(smollm2.gguf_path(), 512) as engine:
        for text in [*SPLIT, *TEXTS]:
            asked = {"content": text, "parse_special": True}
            assert engine._post("/tokenize", asked)["tokens"] == smol.tokenizer(text).input_ids


def test_the_same_next_token_as_llama_cpp_on_the_same_weights(places, f32_file):
    prompts, ours, leads = places
    theirs = [said[0] for said in ask(f32_file, prompts)]
    differ = [lead for a, b, lead in zip(ours, theirs, leads, strict=True) if a != b]
    print(f"next tokens on the same weights: {len(ours) - len(differ)} of {len(ours)} equal; leads where not: {differ}")
    assert len(ours) > 180 and sum(lead > LEAD for lead in leads) > 0.95 * len(ours)  # else it would prove little
    assert max(differ, default=0) <= LEAD


@pytest.fixture(scope="module")
def replies(smol, f32_file):
    """Eight prompts ``[1, length]``, and the greedy reply of llama.cpp to each, on the same weights."""
    prompts = [turn_ids(smol, question, is_first=True) for question in QUESTIONS]
    return prompts, ask(f32_file, [ids[0].tolist() for ids in prompts], 64)


def test_64_greedy_tokens_are_llama_cpp_s_on_eight_prompts(smol, replies):
    """Its text is read by our model: where that would have said each token next, it would have written the same."""
    for ids, reply in zip(*replies, strict=True):
        text = torch.cat([ids, ids.new_tensor([reply])], dim=1)
        said = replay(smol.model, text, ids.shape[1], DynamicCache(config=smol.model.config)).tokens[0]
        assert said[: len(reply)] == reply
        assert len(reply) == 64 or smol.tokenizer.eos_token_id in (reply[-1], said[-1])
    assert sum(map(len, replies[1])) > 200


def test_on_the_4_bit_file_95_in_100_next_tokens_of_its_replies_are_the_same(replies):
    """The price of arithmetic with quantized numbers, on what the model itself writes, as it is used.

    On English that others wrote, next tokens are less certain, and it costs more: 618 of 649 were equal, in five texts.
    """
    prompts, following = [], []
    for ids, reply in zip(*replies, strict=True):
        prompts += [ids[0].tolist() + reply[:i] for i in range(len(reply))]
        following += reply
    theirs = [said[0] for said in ask(smollm2.gguf_path(), prompts)]
    equal = sum(a == b for a, b in zip(following, theirs, strict=True))
    print(f"next tokens on the 4-bit file: {equal} of {len(following)} equal")
    assert equal >= 0.95 * len(following)


def test_on_the_4_bit_file_no_token_differs_that_was_clear(places):
    prompts, ours, leads = places
    theirs = [said[0] for said in ask(smollm2.gguf_path(), prompts)]
    differ = [round(lead, 3) for a, b, lead in zip(ours, theirs, leads, strict=True) if a != b]
    print(f"on other English: {len(ours) - len(differ)} of {len(ours)} equal; leads where not, in nats: {differ}")
    assert max(differ, default=0) < 0.5  # 0.3 was the most of 649
