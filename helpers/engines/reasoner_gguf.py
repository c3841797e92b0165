"""The reasoner as a GGUF file, so that llama.cpp can work worksheets. The file is made where it is needed."""

from __future__ import annotations

from pathlib import Path

import gguf

from helpers.models.loading import load_reasoner
from helpers.models.tokenizer import SPECIAL, WORDS

SPACE = "\u0120"  # how byte-level vocabularies write a space


def write_reasoner_gguf(path: str | Path) -> Path:
    """Write the bundled reasoner in float32, about 4 MB, and return the path.

    llama.cpp knows no word-level tokenizer. The file names a byte-level one whose tokens are our words with a space
    before them, and no merge that would ever apply: so an answer's text reads as ours does, and prompts are given as
    token ids (``Loaded.prompt_ids``).
    """
    model = load_reasoner().model
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.QWEN3])
    _add_shape(writer, model.config)
    _add_tokenizer(writer, model.config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, model.config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":  # the embeddings once more: llama.cpp ties them too where it finds none
            writer.add_tensor(names.get_name(name, (".weight",)), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def _add_shape(writer: gguf.GGUFWriter, config: object) -> None:
    writer.add_name("reasoner")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _add_tokenizer(writer: gguf.GGUFWriter, config: object) -> None:
    words, special = WORDS[len(SPECIAL) :], len(SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*SPECIAL, *(SPACE + word for word in words)])
    writer.add_token_types([gguf.TokenType.CONTROL] * special + [gguf.TokenType.NORMAL] * len(words))
    writer.add_token_merges([f"{SPACE} {SPACE}"])  # a file without any is refused
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)
    writer.add_add_bos_token(False)  # the prompts' ids begin with it
