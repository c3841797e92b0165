"""Load a bundled model, or another RoPE model by hub id or folder, on the device and dtype this machine has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer

from helpers.arithmetic.fields import read_fields
from helpers.arithmetic.footprint import KVShape, format_bytes, require_count
from helpers.machine.device import free_memory, pick_device, pick_dtype
from helpers.models import smollm2
from helpers.models.adapter import merge_adapter
from helpers.models.worksheets import WEIGHTS, Worksheet
from helpers.models.worksheets_in_words import BEFORE

ENVIRONMENT_VARIABLE = "COURSE_MODEL"
ADAPTER = Path(__file__).parent / "english_reasoner" / "adapter.safetensors"
CONTEXT = 4096  # tokens of cache that must fit beside the weights before we load a model
LONGEST = 300  # characters of what transformers says that are handed on
CHARACTERS = 16  # of a text that are read per token wanted; no tokenizer has words so long on average
ALL_THREADS = torch.get_num_threads()
INSTRUCTION = (
    "Each line below defines a name. A formula is written operator first: '+ a b' is a plus b, '-' is minus, '*' is "
    "times, and only the last digit of a result counts (modulo 10). Work the formulas one by one, then answer the "
    "question in the form 'answer NAME DIGIT'.\n"
)


@dataclass
class Loaded:
    """A model ready to run.

    Attributes:
        name: the hub id or folder, or the name of a bundled model: ``reasoner``, ``smollm2``, ``english_reasoner``.
        model: the transformers model, in eval mode.
        tokenizer: its tokenizer.
        shape: the shape of its KV cache.
    """

    name: str
    model: Any
    tokenizer: Any
    shape: KVShape

    @property
    def is_reasoner(self) -> bool:
        """True for the bundled model, which was trained on worksheets."""
        return self.name == "reasoner"

    @property
    def element_format(self) -> str:
        """The KV format in which this model's own cache stores an element: ``fp32``, ``fp16`` or ``bf16``."""
        return {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[self.model.dtype]

    def prompt_ids(self, worksheet: Worksheet) -> torch.Tensor:
        """Token ids ``[1, prompt_length]`` of the worksheet.

        For any but the reasoner, instructions come first, in a chat where the model has a template; a worksheet in
        words is a chat already, and has them.
        """
        is_told = self.is_reasoner or worksheet.prompt.startswith(BEFORE)
        text = worksheet.prompt if is_told else INSTRUCTION + worksheet.prompt
        has_template = bool(self.tokenizer.chat_template)  # a template writes the special tokens itself
        if has_template and not is_told:
            message = [{"role": "user", "content": text}]
            text = self.tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        tokens = self.tokenizer(text, add_special_tokens=not has_template, return_tensors="pt")
        return tokens.input_ids.to(self.model.device)

    def text_ids(self, path: str | Path, most: int = 8192) -> torch.Tensor:
        """Token ids ``[1, tokens]`` of the beginning of a plain text file, ``most`` tokens of it, to calibrate on.

        Raises:
            ValueError: if there is no such file, or it holds no text in UTF-8.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(CHARACTERS * require_count("most", most, least=1))
        except OSError as error:
            raise ValueError(f"no such text: {str(path)!r} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{str(path)!r} is no plain text: it is not in UTF-8") from error
        return self.tokenizer(text, return_tensors="pt").input_ids[:, :most].to(self.model.device)


def load_reasoner() -> Loaded:
    """Load the bundled reasoner, in float32 on the CPU: offline, and the same digits on every machine.

    torch then works on one thread. The reasoner's matrices are too small to share out, and threads that wait for each
    other spin: with one of two cores busy elsewhere, two threads took 31 s for what one did in 1.2 s.
    """
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()  # it is there at once
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS, local_files_only=True)
    return Loaded("reasoner", model, tokenizer, KVShape.from_config(model.config))


def load_smollm2() -> Loaded:
    """Load SmolLM2-135M-Instruct, which ``make lab`` installs; it is converted first if nobody has done that yet.

    In float32 on a CPU, from one file that all kernels share; on a GPU in the dtype that suits it. torch then works on
    half the cores: threads that wait for each other spin. On two cores that six other programs wanted too, two threads
    decoded one token in a second, and one thread seven.

    Raises:
        ConnectionError, ValueError: in one line, with the command that installs it, if its package is not there and the
            model hub does not help; ValueError too if a file is damaged.
        MemoryError: as ``load_model``.
    """
    try:
        folder = smollm2.convert()
    except FileNotFoundError as missing:
        try:
            return load_model(smollm2.HUB_ID)
        except (ConnectionError, ValueError) as error:
            raise type(error)(f"{missing} (nor from the hub: {error})") from error
    transformers.logging.disable_progress_bar()  # it is there at once
    loaded = replace(_load(str(folder)), name="smollm2")
    torch.set_num_threads(max(1, ALL_THREADS // 2))
    return loaded


def load_english_reasoner(adapter: Path = ADAPTER) -> Loaded:
    """Load SmolLM2 with what it learned of worksheets in words, as ``load_smollm2`` loads it without.

    Raises:
        ValueError: if the adapter is another model's; else as ``load_smollm2``.
    """
    loaded = load_smollm2()
    merge_adapter(loaded.model, adapter)
    return replace(loaded, name="english_reasoner")


# The models that come with the course, by the names that load_model and COURSE_MODEL know.
BUNDLED: dict[str, Callable[[], Loaded]] = {
    "reasoner": load_reasoner,
    "smollm2": load_smollm2,
    "english_reasoner": load_english_reasoner,
}


def load_model(name: str | None = None) -> Loaded:
    """Load a model by hub id or folder, or a bundled one by its name: those in ``BUNDLED``.

    Without a name it is the one that ``COURSE_MODEL`` names, else SmolLM2. Only a hub id that is not in the local
    cache needs a network.

    Raises:
        ValueError: in one line, if there is no such model, it may not be read, has no RoPE, or cannot be counted.
        ConnectionError: if the model must be downloaded and the hub cannot be reached.
        MemoryError: if weights and a cache of 4,096 tokens do not fit, with the predicted bytes.
    """
    name = name or os.environ.get(ENVIRONMENT_VARIABLE) or "smollm2"
    if name in BUNDLED:
        return BUNDLED[name]()
    transformers.logging.enable_progress_bar()
    return _load(name)


def _load(name: str) -> Loaded:
    config = _fetch(AutoConfig, name)
    require_text(name, config)
    require_rope(name, config)
    device = pick_device()
    dtype = pick_dtype(device)
    require_memory(name, config, device, dtype)
    torch.set_num_threads(ALL_THREADS)
    model = _fetch(AutoModelForCausalLM, name, dtype=dtype).to(device).eval()
    return Loaded(name, model, _fetch(AutoTokenizer, name), KVShape.from_config(model.config))  # in the loaded dtype


def require_text(name: str, config: Any) -> None:
    """Raise unless transformers loads the model as one of text alone; one that sees or hears has another class."""
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        classes = ", ".join(config.architectures or ["no class named"])
        raise ValueError(f"{name} ({config.model_type}: {classes}) is no model of text alone, which this course needs")


def require_rope(name: str, config: Any) -> None:
    """Raise unless the model turns its keys by position (RoPE), on which the later lessons stand."""
    text = config.get_text_config(decoder=True)
    if not getattr(text, "rope_parameters", None):
        raise ValueError(f"{name} ({config.model_type}) has no RoPE; this course needs a model with rotary positions")


def require_memory(name: str, config: Any, device: str, dtype: torch.dtype) -> None:
    """Raise, with the predicted bytes, unless weights and a short cache fit into the device's free memory."""
    with torch.device("meta"):
        weights = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters()) * dtype.itemsize
    shape, free = KVShape.from_config(config), free_memory(device)
    cache = shape.bytes(CONTEXT, kv_format="fp32" if dtype.itemsize == 4 else "fp16") + shape.fixed_bytes
    if weights + cache > free:
        needs = f"{format_bytes(weights)} for weights and {format_bytes(cache)} for a cache of {CONTEXT:,} tokens"
        raise MemoryError(f"{name} needs {needs}; {device} has {format_bytes(free)} free")


def _fetch(loader: Any, name: str, **options: Any) -> Any:
    """``loader.from_pretrained(name)``, with its long errors said in one line."""
    is_folder = Path(name).is_dir()
    if not is_folder and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ValueError(f"no such model: there is no folder {name!r}")
    if is_folder:
        read_fields(name)  # a broken config.json by its name, and with the place of the error in it
    try:
        return loader.from_pretrained(name, local_files_only=is_folder, trust_remote_code=False, **options)
    except Exception as error:  # a damaged file may raise anything, and the hub client has a dozen errors of its own
        raise _one_line(name, error) from error


def _one_line(name: str, error: BaseException) -> Exception:
    """The error in the reader's words: no such model, no network, or the first line of what transformers said."""
    if "trust_remote_code" in str(error):
        return ValueError(
            f"{name!r} brings code of its own, which this course does not run; transformers has none for it"
        )
    causes = list(_causes(error))
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return ValueError(f"{name!r} is gated: accept its licence on the hub first, and log in")
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return ValueError(f"no such model: the hub knows no {name!r} (or it is private)")
    if any(isinstance(cause, LocalEntryNotFoundError) for cause in causes):
        return ConnectionError(f"no network: {name!r} is not on this machine and the model hub cannot be reached")
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:LONGEST]
    return ValueError(f"{name!r} could not be loaded: {said}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def gold_ids(course: Loaded, sheets: list[Worksheet]) -> torch.Tensor:
    """Prompt, thought and answer of worksheets of one length: ``[sheets, tokens]``."""
    texts = [f"{sheet.prompt} {sheet.thought} {sheet.answer}" for sheet in sheets]
    return course.tokenizer(texts, return_tensors="pt").input_ids


def gold_and_length(loaded: Loaded, sheets: Sequence[Worksheet]) -> tuple[torch.Tensor, int]:
    """Prompt, right thought and right answer of worksheets of one length as token ids, and the prompt's length."""
    return gold_ids(loaded, list(sheets)), len(loaded.tokenizer(sheets[0].prompt).input_ids)
