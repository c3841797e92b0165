"""Loading other models than the reasoner, what the machine is said to be, and one clear line when something fails."""

import importlib.metadata
import json
import os
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from helpers.arithmetic import MODELS, GiB, KVShape, format_bytes
from helpers.decoding import generate
from helpers.machine.device import free_memory, pick_device, pick_dtype
from helpers.measuring import layer_bytes, state_bytes, weight_bytes
from helpers.models import load_model, load_reasoner, loading, make_worksheets, smollm2
from helpers.models.tokenizer import WORDS, make_tokenizer
from helpers.widgets.memory import wall_frame
from tests.families import FAMILIES, build, plain

SHEET = make_worksheets(1, n_lines=3, seed=5)[0]
TEMPLATE = "{{ bos_token }} ? {% for m in messages %}{{ m['content'] }}{% endfor %} answer"
BOS = WORDS.index("<bos>")


@pytest.fixture(autouse=True)
def no_model_from_outside(monkeypatch):
    monkeypatch.delenv("COURSE_MODEL", raising=False)


def save(folder, config, template=None, dtype=torch.float32):
    """A folder in Hugging Face format: random weights and the reasoner's tokenizer."""
    build(config, dtype).save_pretrained(folder)
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return str(folder)


def small(family, **fields):
    return plain(family, head_dim=16, vocab_size=len(WORDS), **fields)


SAVED = {
    "Llama": small("llama"),
    "Qwen3": small("qwen3", tie_word_embeddings=True),
    "Mistral": small("mistral", sliding_window=None),
}


@pytest.fixture(params=SAVED)
def folder(request, tmp_path):
    return save(tmp_path / request.param, SAVED[request.param])


# --- Loading ---------------------------------------------------------------------------------------------------------
def test_a_folder_loads_by_path_and_runs(folder):
    loaded = load_model(folder)
    assert (loaded.name, loaded.is_reasoner, loaded.model.training) == (folder, False, False)
    assert loaded.model.device.type == pick_device()
    assert loaded.model.dtype == pick_dtype(pick_device())
    ids = loaded.prompt_ids(SHEET)
    cache = DynamicCache(config=loaded.model.config)
    trace = generate(loaded.model, ids, cache, max_new_tokens=3)
    assert trace.bytes_held[-1] == loaded.shape.bytes(ids.shape[1] + 2, kv_format=loaded.element_format)
    assert trace.bytes_held[-1] == sum(layer_bytes(cache))


def test_a_folder_loads_through_the_variable(folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", folder)
    assert load_model().name == folder


def test_a_folder_loads_by_a_relative_path(tmp_path, monkeypatch):
    save(tmp_path / "mine", SAVED["Llama"])
    monkeypatch.chdir(tmp_path)
    assert [load_model(name).shape.n_layers for name in ("mine", "./mine")] == [3, 3]


@pytest.mark.parametrize("named", [None, ""])
def test_without_a_name_it_is_smollm2(named, monkeypatch):
    if named is not None:
        monkeypatch.setenv("COURSE_MODEL", named)
    assert load_model().name == "smollm2"


def test_the_reasoner_is_named_like_any_other(monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", "reasoner")
    loaded = load_model()
    assert loaded.is_reasoner
    assert (loaded.model.dtype, loaded.model.device.type, loaded.element_format) == (torch.float32, "cpu", "fp32")


def test_a_name_in_the_call_beats_the_variable(folder, monkeypatch):
    monkeypatch.setenv("COURSE_MODEL", "./no-such-folder")
    assert load_model(folder).name == folder
    assert load_model("reasoner").is_reasoner


def test_the_shape_of_a_hybrid_counts_the_state_as_it_is_loaded(tmp_path):
    loaded = load_model(save(tmp_path, FAMILIES["Qwen3-Next-80B"] | {"vocab_size": len(WORDS)}, dtype=torch.bfloat16))
    cache = DynamicCache(config=loaded.model.config)
    generate(loaded.model, loaded.prompt_ids(SHEET), cache, max_new_tokens=1)
    assert loaded.shape.fixed_bytes == state_bytes(cache)


# --- Prompts ---------------------------------------------------------------------------------------------------------
def test_the_reasoner_reads_the_worksheet_and_nothing_else():
    loaded = load_reasoner()
    ids = loaded.prompt_ids(SHEET)[0].tolist()
    assert ids == [BOS, *(WORDS.index(word) for word in SHEET.prompt.split())]


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["without a template", "with a chat template"])
def test_another_model_reads_instructions_first_and_one_start_token(tmp_path, template):
    loaded = load_model(save(tmp_path, SAVED["Llama"], template))
    text = f"{loading.INSTRUCTION} {SHEET.prompt}".split()
    if template:
        text = ["?", *text, "answer"]
    words = [WORDS.index(word) if word in WORDS else WORDS.index("<unk>") for word in text]
    ids = loaded.prompt_ids(SHEET)
    assert ids.shape == (1, 1 + len(words))
    assert ids[0].tolist() == [BOS, *words]


# --- Device and dtype ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        ((6, 1), torch.float16),
        ((7, 5), torch.float16),
        ((8, 0), torch.bfloat16),
        ((8, 9), torch.bfloat16),
        ((12, 0), torch.bfloat16),
    ],
)
def test_dtype_by_compute_capability(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    assert pick_dtype("cuda") == dtype


def test_dtype_without_a_card():
    assert (pick_dtype("mps"), pick_dtype("cpu")) == (torch.float16, torch.float32)


@pytest.mark.parametrize(
    ("cuda", "mps", "device"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_first_device_that_the_machine_has(monkeypatch, cuda, mps, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device() == device


def test_free_memory_of_a_card_is_what_the_driver_leaves(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (5 * GiB, 24 * GiB))
    assert free_memory("cuda") == 5 * GiB


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float32, "fp32"), (torch.float16, "fp16"), (torch.bfloat16, "bf16")]
)
def test_element_format_is_the_model_s_dtype(dtype, name):
    model = build(SAVED["Llama"], dtype)
    assert loading.Loaded("x", model, None, KVShape.from_config(model.config)).element_format == name


# --- What the machine is ---------------------------------------------------------------------------------------------
def test_python_m_helpers_fits_into_one_screen_and_names_every_model(capsys):
    runpy.run_module("helpers", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    words = {word.strip(",") for line in lines for word in line.split()}
    assert set(MODELS) <= words


@pytest.mark.parametrize("gib", [0, 8, 24, 128, 2_000])
def test_it_fits_into_one_screen_on_every_machine(gib, monkeypatch):
    monkeypatch.setattr("helpers.__main__.free_memory", lambda device: gib * GiB)
    lines = models_report().splitlines()
    assert len(lines) <= 40
    assert set(MODELS) <= {word.strip(",") for line in lines for word in line.split()}


def test_the_report_s_figures_are_the_formula_s(monkeypatch):
    monkeypatch.setattr("helpers.__main__.free_memory", lambda device: 24 * GiB)
    text = models_report()
    least, most = ((24 - overhead) * GiB - 32_762_123_264 * 4.82 / 8 for overhead in (1.5, 0.5))
    line = next(line for line in text.splitlines() if line.startswith("Qwen3-32B"))
    assert f" {int(least // (256 * 1024)):,} to {int(most // (256 * 1024)):,} tokens" in line
    assert "24.0 GiB are free" in text
    assert "Llama-3.1-405B" in text.split("What does not fit: ")[1]


def test_the_report_says_what_there_is_of_smollm2(monkeypatch, tmp_path):
    monkeypatch.setattr(smollm2, "FOLDER", tmp_path)
    monkeypatch.setattr(smollm2, "gguf_path", lambda: tmp_path)
    assert (
        "SmolLM2     is installed, not converted yet: python -m helpers.models.smollm2" in models_report().splitlines()
    )
    (tmp_path / "config.json").touch()
    assert "SmolLM2     135M-Instruct is here, as float32" in models_report().splitlines()
    monkeypatch.undo()
    monkeypatch.setattr(smollm2, "FOLDER", tmp_path / "nowhere")
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    line = next(line for line in models_report().splitlines() if line.startswith("SmolLM2"))
    assert line.endswith(smollm2.COMMAND) and len(line) <= 100


@pytest.mark.parametrize(("found", "said"), [("2026.1", "xllamacpp 2026.1"), (None, "xllamacpp is not installed")])
def test_the_report_says_which_llama_cpp_there_is(monkeypatch, found, said):
    def version(name):
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr("helpers.__main__.version", version)
    assert f"llama.cpp   {said}" in models_report().splitlines()


def models_report():
    from helpers.__main__ import report

    return report()


# --- Errors: one line each -------------------------------------------------------------------------------------------
def one_line(kind, call):
    """The message of the error that the call raises; it must be of this kind and one line long."""
    with pytest.raises(kind) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c", "~/nowhere", "../nowhere"])
def test_no_such_folder(name):
    message = one_line(ValueError, lambda: load_model(name))
    assert "no such model" in message
    assert repr(name) in message


def test_not_enough_memory_names_the_predicted_bytes(folder, monkeypatch):
    loaded = load_model(folder)
    weights = weight_bytes(loaded.model)
    cache = loaded.shape.bytes(4_096, kv_format=loaded.element_format)
    monkeypatch.setattr(loading, "free_memory", lambda device: weights + cache)
    assert load_model(folder).shape == loaded.shape  # just enough
    (Path(folder) / "model.safetensors").unlink()  # it says so before it reads the weights
    monkeypatch.setattr(loading, "free_memory", lambda device: weights + cache - 1)
    message = one_line(MemoryError, lambda: load_model(folder))
    for part in (folder, format_bytes(weights), format_bytes(cache), "4,096 tokens", format_bytes(weights + cache - 1)):
        assert part in message


def test_a_model_without_rope(tmp_path):
    config = GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=len(WORDS), n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    message = one_line(ValueError, lambda: load_model(str(tmp_path)))
    assert "gpt2" in message
    assert "no RoPE" in message


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "no_such_type"}'), "no_such_type"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not weights"), ""),
        (lambda folder: [path.unlink() for path in folder.glob("tokenizer*")], ""),
    ],
    ids=["no config", "broken config", "unknown type", "no weights", "broken weights", "no tokenizer"],
)
def test_a_spoilt_folder(tmp_path, spoil, word):
    folder = save(tmp_path, SAVED["Llama"])
    spoil(tmp_path)
    message = one_line(ValueError, lambda: load_model(folder))
    assert folder in message
    assert word in message
    assert len(message) < 400


CODE = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
SEEING = {"model_type": "qwen3_vl", "architectures": ["Qwen3VLForConditionalGeneration"], "text_config": small("llama")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(SEEING), "is no model of text alone"),
        (json.dumps({"model_type": "own", "auto_map": CODE}), "brings code of its own"),
        ('{"model_type": "llama",\n}', "config.json is no JSON: "),
        ('["llama"]', "config.json holds a JSON list"),
        ("", "config.json is no JSON: "),
    ],
    ids=["sees", "code of its own", "trailing comma", "a list", "empty"],
)
def test_a_wrong_folder_is_refused_in_one_line_and_asks_nothing(tmp_path, monkeypatch, text, words):
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "configuration_own.py").write_text("raise SystemExit('this ran')\n")
    monkeypatch.setattr("builtins.input", lambda *prompt: pytest.fail("it asks on the terminal"))
    message = one_line(ValueError, lambda: load_model(str(tmp_path)))
    assert words in message and str(tmp_path) in message
    assert len(message) < 400


def test_a_model_whose_layers_cannot_be_counted(tmp_path):
    config = small("llama") | {"architectures": ["LlamaForCausalLM"], "layer_types": ["conv"] * 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "conv" in one_line(ValueError, lambda: load_model(str(tmp_path)))


def test_an_unknown_card():
    choice = {"model": "Qwen3-8B", "weight_format": "bf16", "kv_format": "fp16", "context": 1_024, "sequences": 1}
    message = one_line(ValueError, lambda: wall_frame(card="RTX 9090", **choice))
    assert "'RTX 9090'" in message
    assert "RTX 3090" in message


# The hub client reads its settings once, at import: hence processes of their own.
TRY = """
import sys
from helpers.models.loading import load_model
for name in sys.argv[1:]:
    try:
        load_model(name)
    except Exception as error:
        print(type(error).__name__, error, sep="|", end="\\0")
"""


def try_names(names, home, first="", **environment):
    """What ``load_model`` raises for each name, ``(kind, message)``, in a fresh process with an empty model cache.

    ``first`` is code that runs before.
    """
    settings = os.environ | {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"}
    fresh = [sys.executable, "-c", first + TRY, *names]
    root = Path(__file__).parents[2]
    done = subprocess.run(fresh, cwd=root, env=settings | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [tuple(said.split("|", 1)) for said in done.stdout.split("\0")[:-1]]


@pytest.fixture
def hub():
    """A hub of our own, which knows no model but a gated one."""

    class Hub(BaseHTTPRequestHandler):
        def answer(self):
            gated = self.path.startswith(("/nobody/gated", "/api/models/nobody/gated"))
            self.send_response(403 if gated else 404)
            self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = answer  # noqa: N815 - the names that http.server asks for

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing"])
def test_no_such_model_on_the_hub(hub, tmp_path, name):
    [(kind, message)] = try_names([name], tmp_path, HF_ENDPOINT=hub)
    assert kind == "ValueError"
    assert "no such model" in message
    assert repr(name) in message
    assert "\n" not in message


def test_a_model_behind_a_licence_is_not_called_missing(hub, tmp_path):
    [(kind, message)] = try_names(["nobody/gated"], tmp_path, HF_ENDPOINT=hub)
    assert kind == "ValueError"
    assert "no such model" not in message
    assert "gated" in message.replace("nobody/gated", "")
    assert "\n" not in message


def test_no_network(tmp_path):
    [(kind, message)] = try_names(["nobody/nothing"], tmp_path, HF_HUB_OFFLINE="1")
    assert kind == "ConnectionError"
    assert "no network" in message
    assert "'nobody/nothing'" in message
    assert "\n" not in message
