"""llama.cpp's sizes read from its log, and predicted; no engine is run here."""

from dataclasses import replace

import pytest

from helpers.arithmetic import KVShape
from helpers.engines import KVRoom, predict_room
from helpers.engines.llama_cpp_log import first_complaint, read_log

SMOLLM2 = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
# As printed by the version that the course pins, with a trial fit before the real thing.
LOG = """\
0.00.344.960 I load_tensors:          CPU model buffer size =     0.00 MiB
0.00.346.799 I llama_kv_cache: size =   22.50 MiB (  1024 cells,  30 layers,  1/1 seqs), \
K (f16):   11.25 MiB, V (f16):   11.25 MiB
0.00.354.940 I sched_reserve:        CPU compute buffer size =    15.64 MiB
0.00.602.930 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.602.931 I load_tensors:        CUDA0 model buffer size =    10.00 MiB
0.00.660.527 I llama_kv_cache: size =    9.14 MiB (   256 cells,  30 layers,  4/4 seqs), \
K (q8_0):    5.98 MiB, V (q4_0):    3.16 MiB
0.00.660.597 I llama_kv_cache: n_rot_k = 64, n_embd_head_k_all = 64
0.00.693.726 I sched_reserve:        CPU compute buffer size =    14.92 MiB
0.00.693.727 I sched_reserve:      CUDA0 compute buffer size =     1.50 MiB
"""
REFUSED = """\
0.00.566.212 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.572.320 E llama_init_from_model: quantized V cache requires flash_attn to be enabled
0.00.572.337 E cmn  common_init_: failed to create context with model 'model.gguf'
"""


def test_the_last_line_on_the_cache_counts():
    figures = read_log(LOG)
    assert figures.room == KVRoom(cells=256, caches=4, kv_mib=9.14, k_mib=5.98, v_mib=3.16)
    assert figures.room.tokens == 1024
    assert figures.model_mib == 102.1, "one line per device, and not the trial's"
    assert figures.compute_mib == 16.42
    assert figures.decode_speed is None


def test_its_own_words_come_along():
    words = read_log(LOG).words
    assert len(words) == 6
    assert words[2].startswith("llama_kv_cache: size =    9.14 MiB")
    assert "llama_kv_cache: n_rot_k = 64, n_embd_head_k_all = 64" in words, "quantized rows are rotated first"


def test_a_log_without_sizes_is_refused():
    with pytest.raises(ValueError, match="says nothing of its KV cache"):
        read_log("0.00.001.000 I srv init: loading model\n")


def test_the_first_complaint_is_the_cause():
    assert first_complaint(REFUSED) == "quantized V cache requires flash_attn to be enabled"
    assert first_complaint("0.00.000.001 E srv    load_model: no room") == "no room"
    assert first_complaint(LOG) is None


@pytest.mark.parametrize(
    ("kv_format", "context", "printed"),
    [
        ("fp16", 4096, (90.00, 45.00, 45.00)),
        ("q8_0", 4096, (47.81, 23.91, 23.91)),
        ("q4_0", 4096, (25.31, 12.66, 12.66)),
        (("q8_0", "q4_0"), 2048, (18.28, 11.95, 6.33)),
    ],
)
def test_figures_seen_by_hand(kv_format, context, printed):
    room = predict_room(SMOLLM2, context, kv_format)
    assert (room.cells, room.caches) == (context, 1)
    assert (room.kv_mib, room.k_mib, room.v_mib) == printed


@pytest.mark.parametrize(
    ("context", "sequences", "unified", "cells", "caches"),
    [
        (1000, 1, False, 1024, 1),
        (1, 1, False, 256, 1),
        (1100, 4, False, 512, 4),
        (1100, 4, True, 1280, 1),
        (1000, 4, False, 256, 4),
        (768, 3, False, 256, 3),
        (100, 3, False, 256, 3),
    ],
)
def test_cells_come_in_steps_of_256_in_all_and_in_each_cache(context, sequences, unified, cells, caches):
    room = predict_room(SMOLLM2, context, "fp16", sequences, unified)
    assert (room.cells, room.caches, room.tokens) == (cells, caches, cells * caches)


def test_without_padding_it_is_the_plain_formula():
    assert predict_room(SMOLLM2, 4096, "q5_0").kv_mib == round(SMOLLM2.bytes(4096, kv_format="q5_0") / 2**20, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"context": 0}, "context is 0"),
        ({"context": 256, "sequences": 0}, "sequences is 0"),
        ({"context": 256, "kv_format": "nvfp4"}, "kv_format is 'nvfp4'; llama.cpp is run here with fp32, fp16, q8_0"),
        ({"context": 256, "kv_format": ("fp16", "f16")}, "kv_format is"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, said):
    with pytest.raises(ValueError, match=said):
        predict_room(SMOLLM2, **arguments)


def test_other_layers_than_full_ones_are_refused():
    config = {"model_type": "mistral", "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 128}
    with pytest.raises(ValueError, match="layers that are not full"):
        predict_room(KVShape.from_config(config | {"sliding_window": 64}), 256)


@pytest.mark.parametrize("beside", [{"index_dim": 16}, {"state": 1024}])
def test_layers_that_keep_more_than_keys_and_values_are_refused(beside):
    plain = KVShape(2, 2, 16)
    more = replace(plain, layers=(plain.layers[0], replace(plain.layers[1], **beside)))
    with pytest.raises(ValueError, match="not full attention and nothing else"):
        predict_room(more, context=256)
