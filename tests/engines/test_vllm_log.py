"""vLLM's own words, as it printed them: its size, why it did not start, its counters."""

import pytest

from helpers.arithmetic import KVShape, MiB, vllm_blocks
from helpers.engines import read_metrics, read_settings
from helpers.engines.vllm_log import STAGES, first_complaint, plain, read_log, read_size, stages_done

SMOLLM2 = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
STAMP = "(EngineCore pid=7) INFO 11-27 15:52:38 [kv_cache_utils.py:2327] "
LINE = "CPU KV cache size: {} tokens, Maximum concurrency for {} tokens per request: {}x"
RAISED = "(EngineCore pid=7) ERROR 11-27 15:56:30 [core.py:1510] "
METRICS = """# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="model"} 0.008264462809917328
vllm:prefix_cache_hits_total{engine="0",model_name="model"} 256.0
vllm:prefix_cache_hits_created{engine="0",model_name="model"} 1.79579476033843e+09
vllm:request_success_total{engine="0",finished_reason="stop",model_name="model"} 2.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="model"} 3.0
vllm:kv_block_lifetime_seconds_bucket{engine="0",le="0.001",model_name="model"} 1.0
vllm:kv_block_lifetime_seconds_count{engine="0",model_name="model"} 13.0
vllm:cache_config_info{block_size="32",engine="0",kv_cache_max_concurrency="1.0625",num_gpu_blocks="17"} 1.0
python_gc_objects_collected_total{generation="0"} 9.0
"""


# What a vLLM 0.32.0 printed for SmolLM2, by MiB, block and longest sequence.
PRINTED = {
    (1024, 128, 4096): ("46,592", "4,096", "11.38"),
    (1024, 16, 4096): ("46,592", "4,096", "11.38"),
    (2048, 128, 4096): ("93,184", "4,096", "22.75"),
    (2048, 16, 4096): ("93,200", "4,096", "22.75"),
    (12, 32, 512): ("544", "512", "1.06"),
}


@pytest.mark.parametrize(("mib", "block", "longest"), PRINTED)
def test_the_line_of_the_start_is_read_and_is_what_is_predicted(mib, block, longest):
    said = f"{STAMP}{LINE.format(*PRINTED[mib, block, longest])}\n"
    tokens, of, concurrency = read_size(said)
    predicted = vllm_blocks(SMOLLM2, mib * MiB, longest, "bf16", block=block)
    assert (predicted.tokens, round(predicted.concurrency, 2)) == (tokens, pytest.approx(concurrency, abs=0.006))
    figures = read_log(said, mib * MiB)
    assert (figures.room.tokens, figures.room.kv_mib, of) == (tokens, mib, longest)
    assert figures.words == (LINE.format(*PRINTED[mib, block, longest]),)


def test_colours_are_no_part_of_a_line():
    said = "\x1b[0;36m(EngineCore pid=7)\x1b[0;0m \x1b[32mINFO\x1b[0m \x1b[90m11-27 15:52:38\x1b[0m "
    said += f"\x1b[90m[kv_cache_utils.py:2327]\x1b[0m {LINE.format('544', '512', '1.06')}\n"
    assert read_log(plain(said), 12 * MiB).words == (LINE.format("544", "512", "1.06"),)


def test_before_it_says_its_size_there_is_nothing_to_read():
    assert read_size("") is None and read_log("version 0.32.0", 1) is None


def test_the_first_error_is_the_cause_and_advice_is_left_out():
    log = "\n".join(
        [
            "(APIServer pid=1) WARNING 11-27 15:55:40 [system_utils.py:255] errors like `OSError: [Errno 24] Too many`",
            f"{RAISED}Traceback (most recent call last):",
            f"{RAISED}    raise ValueError(",
            f"{RAISED}ValueError: To serve at least one request, 0.09 GiB is needed. Try increasing `x`. See https://y.",
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        ]
    )
    assert first_complaint(log) == "To serve at least one request, 0.09 GiB is needed."
    assert first_complaint("usage: x\napi_server.py: error: argument --port: invalid") == "argument --port: invalid"
    assert first_complaint("all is well") is None


def test_the_stages_of_a_start_are_counted_as_they_come():
    log = ""
    for done, stage in enumerate(STAGES):
        assert stages_done(log) == done
        log += f"{STAMP}{stage} ...\n"
    assert stages_done(log) == len(STAGES)


def test_counters_are_read_by_name_and_summed_over_labels_without_buckets():
    assert read_metrics(METRICS) == {
        "vllm:kv_cache_usage_perc": 0.008264462809917328,
        "vllm:prefix_cache_hits_total": 256,
        "vllm:request_success_total": 5,
        "vllm:kv_block_lifetime_seconds_count": 13,
        "vllm:cache_config_info": 1,
    }


def test_settings_are_the_labels_of_one_line():
    assert read_settings(METRICS) | {"engine": "0"} == {
        "block_size": "32",
        "engine": "0",
        "kv_cache_max_concurrency": "1.0625",
        "num_gpu_blocks": "17",
    }
    assert read_settings("") == {}
