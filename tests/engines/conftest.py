"""The models that llama.cpp is tried on: the reasoner, which it starts in a quarter of a second, and SmolLM2."""

import importlib.util

import pytest

from helpers.engines import write_reasoner_gguf
from helpers.models import smollm2


def pytest_collection_modifyitems(items):
    """What runs llama.cpp asks for one of the models below, and is skipped where there is no llama.cpp."""
    if importlib.util.find_spec("xllamacpp") is None:
        for item in items:
            if {"reasoner_gguf", "smollm2_gguf"} & set(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.skip(reason="llama.cpp (xllamacpp) is not installed on this platform"))


@pytest.fixture(scope="session")
def reasoner_gguf(tmp_path_factory):
    return write_reasoner_gguf(tmp_path_factory.mktemp("gguf") / "reasoner.gguf")


@pytest.fixture(scope="session")
def smollm2_gguf():
    try:
        return smollm2.gguf_path()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
