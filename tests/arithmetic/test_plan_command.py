"""``python -m helpers plan``: the lesson's page from a terminal, for a name, a file or a folder, and without torch."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.arithmetic import MODELS, GiB, KVShape, Plan
from helpers.arithmetic.checkpoint import count_parameters
from helpers.arithmetic.plan_command import main
from helpers.arithmetic.plan_report import report
from tests.arithmetic.public_configs import PUBLIC

ROOT = Path(__file__).parents[2]
REASONER = ROOT / "helpers" / "models" / "reasoner"
CONFIG = MODELS["Qwen3-8B"].config
SMALL = CONFIG | {"vocab_size": 64}  # so that its files may be small
WORDS = ["qwen3-8b", "--card", "rtx 4090", "--context", "8192", "--sequences", "3", "--kv-format", "q8_0"]
PLAN = Plan("Qwen3-8B", "q4_k_m", "RTX 4090", "q8_0", 8_192, 3)
BLOCKED = """
import runpy, sys
sys.modules["torch"] = sys.modules["transformers"] = sys.modules["numpy"] = None
sys.argv = ["helpers", "plan", *sys.argv[1:]]
runpy.run_module("helpers", run_name="__main__", alter_sys=True)
"""


def test_it_prints_the_page_of_the_lesson_where_neither_torch_nor_transformers_nor_numpy_is():
    done = subprocess.run([sys.executable, "-c", BLOCKED, *WORDS], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", report(PLAN) + "\n")


def test_what_is_no_plan_needs_torch_and_so_the_blocking_blocks():
    code = BLOCKED.replace('"plan", ', "")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "torch" in done.stderr


def test_every_option_reaches_the_plan(capsys):
    more = ["--weights", "bf16", "--kept", "4,096", "--shared-prefix", "512", "--context", "16_384"]
    more += ["--overhead", "0.25-2", "--draft-tokens", "3", "--acceptance", ".6"]
    assert main([*WORDS, *more]) == 0
    band, drafts = (GiB / 4, 2.0 * GiB), {"draft_tokens": 3, "acceptance": 0.6}
    plan = Plan("Qwen3-8B", "bf16", "RTX 4090", "q8_0", 16_384, 3, 512, overhead=band, kept=4_096, **drafts)
    assert capsys.readouterr().out == report(plan) + "\n"
    assert main([*WORDS, "--overhead", "0.8"]) == 0
    assert "| overhead | 819.2 MiB |" in capsys.readouterr().out


def test_a_reader_who_has_had_enough_ends_it_without_a_traceback():
    code = "import sys; from helpers.arithmetic.plan_command import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, *WORDS], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as plan:
        plan.stdout.close()  # before it can have written
        assert plan.stderr.read() == b"" and plan.wait() == 0


def test_json_has_the_figures_of_the_page(capsys):
    main([*WORDS, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["overhead"] == [GiB / 2, 1.5 * GiB] and found["fit"] == "fits"
    assert found["total"] == [size + found["weights"] + found["cache"] for size in found["overhead"]]
    assert found["spare"] == [found["memory"] - total for total in reversed(found["total"])]
    assert found["room"] == [*PLAN.room] and found["weights_read"] == 8_190_735_360 - 151_936 * 4_096
    assert (found["cache"], found["verdict"]) == (PLAN.cache, PLAN.verdict)
    assert [*found["settings"]] == ["vLLM", "llama.cpp", "SGLang", "TensorRT-LLM"]
    assert all(text in report(PLAN) for text in found["settings"].values())


def write_safetensors(path, tensors):
    header = json.dumps({"__metadata__": {"format": "pt"}} | tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def tensor(*shape, dtype="BF16"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, 0]}


@pytest.fixture
def folder(tmp_path):
    """A model of one's own: Qwen3-8B's config, and weights in two files of which an index tells."""
    path = tmp_path / "my-model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(SMALL))
    write_safetensors(path / "one.safetensors", {"a": tensor(1_000, 4_000), "b": tensor(7)})
    write_safetensors(path / "two.safetensors", {"c": tensor(3, 3, dtype="F32")})
    write_safetensors(path / "model.safetensors", {"not in the index": tensor(5)})
    index = {"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


@pytest.mark.parametrize("inside", ["", "config.json"])
def test_a_folder_or_its_config_is_planned_with_the_parameters_that_its_files_hold(folder, inside, capsys):
    main([str(folder / inside), "--card", "L4", "--context", "4096", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["parameters"]) == ("my-model", 4_000_016)
    assert found["cache"] == Plan("Qwen3-8B", "bf16", "L4", context=4_096).cache


def test_a_config_alone_of_another_family_needs_to_be_told_how_many(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(MODELS["gpt-oss-20b"].config))
    with pytest.raises(SystemExit):
        main([str(path), "--card", "RTX 4090"])
    assert "say how many with --parameters" in capsys.readouterr().err


def test_a_config_alone_may_be_told_how_many(tmp_path, capsys):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(CONFIG))
    main([str(path), "--card", "RTX 4090", "--context", "8192", "--parameters", "8190735360"])
    page = capsys.readouterr().out
    assert (
        page.replace("own", "Qwen3-8B").splitlines()[2:9]
        == report(Plan("Qwen3-8B", "q4_k_m", "RTX 4090", context=8_192)).splitlines()[2:9]
    )
    assert "8,190,735,360 parameters" in page
    main([str(path), "--card", "RTX 4090", "--json"])  # of a plain family it can be counted
    assert json.loads(capsys.readouterr().out)["parameters"] == 8_190_735_360
    main([str(path), "--card", "RTX 4090", "--parameters", "8.2b", "--json"])
    assert json.loads(capsys.readouterr().out)["parameters"] == 8_200_000_000


def test_the_reasoner_s_parameters_are_those_of_its_model():
    from helpers.models import load_reasoner

    count = sum(parameter.numel() for parameter in load_reasoner().model.parameters())
    assert count_parameters(REASONER / "config.json") == count


CARD = ["--card", "H200"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Qwen4-8B", *CARD], "the closest is 'Qwen3-8B'"),
        (["Qwen/Qwen3-8B", *CARD], "and there is no file or folder of that name"),
        (["Qwen3-8B", "--card", "H201"], "no card 'H201'; the closest is 'H200'"),
        (["Qwen3-8B"], "the following arguments are required: --card"),
        ([str(ROOT / "README.md"), *CARD], "README.md is no JSON"),
        ([str(ROOT / "helpers"), *CARD], "no config.json in that folder"),
        ([str(REASONER / "training.json"), *CARD], "the config names no model_type"),
        (
            ["Qwen3-8B", *CARD, "--context", "0"],
            "argument --context: it is '0'; it must be a whole number of 1 or more",
        ),
        (["Qwen3-8B", *CARD, "--context", "-8"], "argument --context: it is '-8'"),
        (["Qwen3-8B", *CARD, "--sequences", "1.5"], "argument --sequences: it is '1.5'"),
        (["Qwen3-8B", *CARD, "--sequences", "9" * 40], "argument --sequences: it is '999"),
        (["Qwen3-8B", *CARD, "--kept", "none"], "argument --kept: it is 'none'"),
        (["Qwen3-8B", *CARD, "--shared-prefix", "40000"], "--shared-prefix is 40,000; it may be at most --context"),
        (["Qwen3-8B", *CARD, "--kv-format", "fp7"], "argument --kv-format: invalid choice: 'fp7'"),
        (["Qwen3-8B", *CARD, "--weights", "int3"], "argument --weights: invalid choice: 'int3'"),
        (["Qwen3-8B", *CARD, "--parameters", "8B"], "the catalog knows those of Qwen3-8B"),
        ([str(REASONER), *CARD, "--parameters", "many"], "it may be a number such as 8.2B"),
        (["gpt-oss-20b", *CARD, "--kept", "500"], "kept is 500; gpt-oss-20b has layers"),
        (["Qwen3-8B", *CARD, "--overhead", "2-1"], "argument --overhead: it is '2-1'; it may be GiB such as 0.8"),
        (["Qwen3-8B", *CARD, "--draft-tokens", "-1"], "argument --draft-tokens: it is '-1'"),
        (["Qwen3-8B", *CARD, "--acceptance", "70%"], "argument --acceptance: it is '70%'; it must be a share from 0"),
        (["Qwen3-8B", *CARD, "--yaml"], "unrecognized arguments: --yaml"),
    ],
)
def test_a_mistake_is_answered_in_one_line_with_exit_code_2(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    out, error = capsys.readouterr()
    assert end.value.code == 2 and out == ""
    assert said in error and error.count("\n") == 1 and error.startswith("python -m helpers plan: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "two.safetensors").unlink(), "two.safetensors is not there, so the parameters"),
        (lambda folder: (folder / "two.safetensors").write_bytes(b"\xff" * 40), "two.safetensors is no safetensors"),
        (lambda folder: (folder / "two.safetensors").write_bytes(b""), "two.safetensors is no safetensors file"),
        (
            lambda folder: write_safetensors(folder / "two.safetensors", {"q": tensor(8, dtype="I32")}),
            "holds quantized weights (q is I32), so the parameters cannot be counted: say how many with --parameters",
        ),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("[]"), "is no index of safetensors files"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "foo"}'),
            "no rule is known for its family",
        ),
        (lambda folder: (folder / "config.json").write_text("[1]"), "holds a JSON list"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "is no JSON"),
        (
            lambda folder: (folder / "config.json").write_text(
                json.dumps(CONFIG | {"model_type": "mixtral", "num_local_experts": 8})
            ),
            "how many experts a token chooses is unclear (num_local_experts 8)",
        ),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | {"moe_num_experts": 64})),
            "no rule is known for its experts, moe_num_experts",
        ),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | {"ffn": {"moe_num_experts": 64}})),
            "no rule is known for its experts, moe_num_experts",
        ),
        (
            lambda folder: (folder / "config.json").write_text(
                json.dumps(CONFIG | {"model_type": "mixtral", "num_experts": 512, "num_experts_per_token": 2})
            ),
            "its experts and embeddings exceed 4,000,016 parameters (num_experts 512, vocab_size 151936)",
        ),
    ],
)
def test_so_is_a_folder_with_something_broken(folder, change, said, capsys):
    change(folder)
    with pytest.raises(SystemExit) as end:
        main([str(folder), *CARD])
    out, error = capsys.readouterr()
    assert end.value.code == 2 and out == "" and said in error and error.count("\n") == 1


@pytest.mark.parametrize("public", [p for p in PUBLIC if isinstance(p.fields, dict)], ids=lambda public: public.name)
def test_a_published_config_is_planned_or_refused_in_one_line(public, tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"vocab_size": 1_000} | public.fields | public.extra))
    try:
        main([str(path), *CARD, "--context", "4096", "--parameters", "700B", "--json"])
    except SystemExit:
        assert "experts" in capsys.readouterr().err  # every cache can be counted; what is read of experts not always
    else:
        found = json.loads(capsys.readouterr().out)
        shape = KVShape.from_config(public.fields | public.extra)
        assert found["cache"] == shape.bytes(4_096) + shape.fixed_bytes and found["speed"] > 0
