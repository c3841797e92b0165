"""An engine on the scales: what its process holds, and what of that it names itself."""

from pathlib import Path

import pytest

from helpers.arithmetic import MiB
from helpers.engines import predict_room
from helpers.engines.engine import Figures, KVRoom
from helpers.engines.weighed import Weighed, weigh
from helpers.models import load_reasoner
from helpers.models.smollm2 import gguf_path


def test_what_the_engine_says_nothing_of_is_the_program():
    said = Figures(KVRoom(64, 1, 4.0), compute_mib=2.0, model_mib=3.0, decode_speed=None, words=())
    engine = Weighed(file=3 * MiB, held=10 * MiB, figures=said)
    assert engine.terms == {"the program": MiB, "compute buffer": 2 * MiB, "weights": 3 * MiB, "KV cache": 4 * MiB}
    assert engine.overhead == 3 * MiB
    on_a_gpu = Weighed(file=3 * MiB, held=1 * MiB, figures=said)  # of which the system counts nothing
    assert on_a_gpu.terms["the program"] == 0


def test_a_weighed_engine_holds_what_it_says_and_more(reasoner_gguf):
    engine = weigh(reasoner_gguf, context=512, sequences=2)
    assert engine.file == Path(reasoner_gguf).stat().st_size
    assert engine.figures.room == predict_room(load_reasoner().shape, 512, sequences=2)
    assert sum(engine.terms.values()) == pytest.approx(engine.held)


def test_without_flash_attention_the_compute_buffer_is_larger():
    buffers = [weigh(gguf_path(), context=8_192, flash_attention=on).figures.compute_mib for on in (True, False)]
    assert buffers[1] > 5 * buffers[0]
