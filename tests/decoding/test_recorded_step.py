"""The step that never changes: the same tokens as ordinary decoding, also when it is replayed from a recording.

A CPU has no CUDA graphs. Its stand-in here is ``make_fx``, which records the operations on tensors that one run does;
played again, it does the same operations on the same memory, and no Python of ours is run. What was a number of Python
when it was recorded (a length, a slot, a position) stays that number, as in a CUDA graph; so it must not be one.
"""

import warnings
from contextlib import contextmanager

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import scaled_dot_product_attention

from helpers.cache import OutOfBlocks, PagedCache, attending
from helpers.cache.paged_kernels import gather
from helpers.decoding import recorded_step
from helpers.decoding.loop import predict_next
from helpers.decoding.recorded_step import DecodeStep
from helpers.eviction import Compressor
from helpers.experiments.stand_ins import TINY_CONFIG, append_random, random_model, random_policy
from tests.cache.test_paged_cache import poison, shuffle

BATCH, ROWS, BUDGET, INTERVAL = 3, 20, 24, 8
MOST = BUDGET + INTERVAL


@pytest.fixture(scope="module")
def model():
    return random_model(TINY_CONFIG | {"initializer_range": 0.3})


def by_mask(query, blocks, scaling):
    """A reader of operations on tensors alone: all blocks of the table, with what is not there masked."""
    pools = (pool[blocks.block_table].nan_to_num(0) for pool in (blocks.keys, blocks.values))
    keys, values = (rows.flatten(1, 2).transpose(1, 2) for rows in pools)
    seen = torch.arange(keys.shape[2]) < blocks.lengths[:, None, None, None]
    return scaled_dot_product_attention(query, keys, values, seen, scale=scaling, enable_gqa=True)


class Replayed:
    """A recording that ``make_fx`` has made: what ``torch.cuda.CUDAGraph`` is on a GPU."""

    def __init__(self, step):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.program, self.plays = make_fx(lambda _: step._run())(torch.zeros(1)), 0
        self.following = step._run().clone()

    def replay(self):
        self.plays += 1
        self.following.copy_(self.program(torch.zeros(1)))


@pytest.fixture
def recording(monkeypatch):
    """``DecodeStep`` records with ``make_fx``; the recordings made."""
    made = []

    def record(step):
        made.append(Replayed(step))
        return made[-1], made[-1].following

    monkeypatch.setattr(DecodeStep, "_record", record)
    return made


def new_cache(model, seed=1):
    torch.manual_seed(seed)
    cache = PagedCache.for_model(model, 40, 4, "fp32", BATCH)
    shuffle(cache)
    return append_random(cache, model, ROWS, BATCH)


def new_compressor(model, cache):
    compressor = Compressor(random_policy(model), BUDGET, INTERVAL, protect_prompt=False, protect_recent=4)
    compressor.begin(cache, 0)
    return compressor


@contextmanager
def decoding(model, reader):
    with torch.inference_mode(), attending(model, reader=reader):
        yield


def decode(model, cache, step, steps, compressor=None):
    tokens, decoded = torch.tensor([1, 2, 3]), []
    for _ in range(steps):
        tokens = step(tokens).clone()
        decoded.append(tokens.tolist())
        if compressor:
            compressor.after_pass(cache)
    return decoded


def ordinary(model, cache):
    return lambda tokens: predict_next(model, tokens[:, None], cache)


def equal(cache, other):
    assert cache.stats() == other.stats()
    for layer in range(cache.shape.n_layers):
        assert torch.equal(cache.token_index(layer), other.token_index(layer))
        for rows, others in zip(cache.read(layer), other.read(layer), strict=True):
            assert torch.allclose(rows, others, atol=1e-4)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("evicting", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_it_decodes_what_ordinary_steps_decode(model, recording, evicting, recorded, seed):
    caches, decoded, steps = [], [], 70 if evicting else MOST - ROWS
    for way in ("ordinary", "fixed"):
        cache = new_cache(model, seed)
        compressor = new_compressor(model, cache) if evicting else None
        with decoding(model, None if way == "ordinary" else by_mask):
            step = ordinary(model, cache) if way == "ordinary" else DecodeStep(model, cache, MOST, recorded)
            decoded.append(decode(model, cache, step, steps, compressor))
        caches.append(cache)
    assert decoded[0] == decoded[1]
    equal(*caches)
    assert [each.plays for each in recording] == ([steps] if recorded else [])
    assert len({tuple(tokens) for tokens in decoded[0]}) > 5  # it does not say one word for ever


def test_a_recording_holds_no_number_of_python(model, recording):
    """With a length, a slot or a position that stays as recorded, the next steps go wrong: the stand-in can tell."""
    cache, wanted = new_cache(model), decode(model, cache := new_cache(model), ordinary_in(model, cache), 6)
    for fixed in ("lengths", "slots", "block_table"):
        cache = new_cache(model)
        with decoding(model, by_mask):
            step = DecodeStep(model, cache, MOST, recorded=True)
            fill = type(step.places).fill
            tokens, decoded = torch.tensor([1, 2, 3]), []
            for i in range(6):
                before = getattr(step.places, fixed).clone()
                tokens = step_with(step, tokens, fill, fixed, before if i else None).clone()
                decoded.append(tokens.tolist())
        assert decoded[0] == wanted[0]
        assert decoded != wanted, fixed


def ordinary_in(model, cache):
    def step(tokens):
        with decoding(model, None):
            return ordinary(model, cache)(tokens)

    return step


def step_with(step, tokens, fill, fixed, kept):
    """A step for which one of its tensors is not filled anew."""

    def partly(new, block_table, length):
        fill(step.places, new, block_table, length)
        if kept is not None:
            getattr(step.places, fixed).copy_(kept)

    step.places.fill = partly
    return step(tokens)


def test_blocks_shared_with_a_fork_are_copied_before_they_change(model, recording):
    cache = new_cache(model)
    fork = cache.fork()
    before = [part.clone() for part in fork.read(0)]
    with decoding(model, by_mask):
        got = decode(model, cache, DecodeStep(model, cache, MOST, recorded=True), 9)
        also = decode(model, fork, DecodeStep(model, fork, MOST, recorded=True), 9)
    assert got == also
    for rows, now in zip(before, fork.read(0), strict=True):
        assert torch.equal(rows, now[:, :, :ROWS])


def test_out_of_blocks_changes_nothing_and_the_step_can_go_on(model):
    cache = PagedCache.for_model(model, 5 * BATCH, 4, "fp32", BATCH)
    append_random(cache, model, ROWS, BATCH)
    with decoding(model, gather):
        step = DecodeStep(model, cache, MOST)
        for _ in range(2):
            before = cache.stats()
            with pytest.raises(OutOfBlocks):
                step(torch.tensor([1, 2, 3]))
            assert (cache.stats(), cache.places) == (before, None)
        cache.evict(torch.arange(8).expand(BATCH, 2, -1))
        cache.compact()
        step(torch.tensor([1, 2, 3]))
    assert (cache.alive(), cache.tokens_seen) == (9, ROWS + 1)


@pytest.mark.parametrize("trouble", ["holes", "packed"])
def test_rows_that_cannot_be_read_in_place_are_refused_in_one_line(trouble):
    model = random_model(TINY_CONFIG | {"head_dim": 32})
    cache = PagedCache.for_model(model, 40, 4, "q8_0" if trouble == "packed" else "fp32", BATCH)
    append_random(cache, model, ROWS, BATCH)
    if trouble == "holes":
        cache.evict(torch.arange(8).expand(BATCH, 2, -1))
    before = cache.stats()
    with decoding(model, gather), pytest.raises(ValueError, match="only rows in order") as error:
        DecodeStep(model, cache, MOST)(torch.tensor([1, 2, 3]))
    assert "\n" not in str(error.value)
    assert cache.stats() == before


@pytest.mark.parametrize(
    ("reader", "kv_format", "most", "words"),
    [
        (None, "fp32", MOST, "nobody reads in place"),
        (gather, "fp16", MOST, "the cache is in fp16, the model in torch.float32"),
        (gather, "fp32", ROWS, "holds 20 rows; most_rows has left room for 20"),
    ],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_what_a_recording_would_get_wrong_is_refused_before_anything_changes(
    model, recording, recorded, reader, kv_format, most, words
):
    cache = PagedCache.for_model(model, 40, 4, kv_format, BATCH)
    append_random(cache, model, ROWS, BATCH)
    before = cache.stats()
    with decoding(model, reader), pytest.raises(ValueError, match=words) as error:
        DecodeStep(model, cache, most, recorded)(torch.tensor([1, 2, 3]))
    assert "\n" not in str(error.value)
    assert (cache.stats(), recording) == (before, [])


def test_free_blocks_are_never_read(model):
    cache, twin = new_cache(model), new_cache(model)
    poison(cache)
    with decoding(model, gather):
        got = decode(model, cache, DecodeStep(model, cache, MOST), 8)
        wanted = decode(model, twin, DecodeStep(model, twin, MOST), 8)
    assert got == wanted


def test_a_gpu_records_after_warming_up_beside_its_stream_and_a_cpu_does_not(model, monkeypatch):
    """The order of CUDA's calls, written down by stand-ins: nothing is replayed before it was captured."""
    done = []

    class Graph:
        def replay(self):
            done.append("replay")

    @contextmanager
    def within(what):
        done.append(f"{what} begins")
        yield
        done.append(f"{what} ends")

    def stream(name):
        return type("Stream", (), {"wait_stream": lambda self, other: done.append(f"{name} waits")})()

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream("beside"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: within("warming up"))
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: within("capture"))
    run = DecodeStep._run
    monkeypatch.setattr(DecodeStep, "_run", lambda step: (done.append("run"), run(step))[1])
    assert not DecodeStep(model, new_cache(model), MOST).recorded
    monkeypatch.setattr(recorded_step, "is_cuda", lambda device: True)
    cache = new_cache(model)
    with decoding(model, gather):
        step = DecodeStep(model, cache, MOST)
        for _ in range(2):
            step(torch.tensor([1, 2, 3]))
    warm = ["beside waits", "warming up begins", *["run"] * recorded_step.WARM_UPS, "warming up ends", "main waits"]
    assert done == [*warm, "capture begins", "run", "capture ends", "replay", "replay"]
    assert cache.alive() == ROWS + 2  # warming up has appended nothing
