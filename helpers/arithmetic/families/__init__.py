"""The register of model families: a rule for each ``model_type`` says what every layer keeps, from its own fields.

A ``model_type`` that is not here is refused by name: better no number than a wrong one. Where the published file leaves
a field out that transformers then fills in, the register has what it fills in; a test holds that to transformers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from helpers.arithmetic.families import hybrid, latent, uneven
from helpers.arithmetic.families.attention import (
    Rule,
    all_slide,
    by_rope,
    dense,
    every_nth_full,
    from_max_window_layers,
    rows_by,
)
from helpers.arithmetic.fields import Fields, read_fields
from helpers.arithmetic.layers import LayerKV


@dataclass(frozen=True)
class Family:
    """How the configs of one family are read.

    Attributes:
        rule: what each layer keeps, from the fields under the register's names.
        fills: what transformers fills in where a file leaves a field out.
        names: the register's name of a field to the family's own, where they differ; a dot leads into a nested dict.
    """

    rule: Rule
    fills: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


FAMILIES: dict[str, Family] = {}


def _add(model_types: str, rule: Rule, names: dict[str, str] | None = None, **fills: Any) -> None:
    """Register families that share a rule, under the names that their files and transformers give them."""
    FAMILIES.update({model_type: Family(rule, fills, names or {}) for model_type in model_types.split()})


# --- Every layer keeps every token -----------------------------------------------------------------------------------
_add(
    "llama apertus arcee aria_text baichuan bailing_moe bailing_moe_v2 biogpt cohere deepseek deepseek_ocr2_text"
    " diffllama flex_olmo gpt_neox gpt_neox_japanese granite granite4_vision_text granitemoe granitemoeshared"
    " hyperclovax internlm internlm2 jais2 minicpm nanochat nemotron olmo olmo2 olmoe opt orion persimmon phi xverse",
    dense,
)
_add("bitnet", dense, num_key_value_heads=5)
_add("chameleon stablelm", dense, num_key_value_heads=32)
_add("cosmos3_edge_text hy_v3 iquestcoder minimax_m2", dense, num_key_value_heads=8, head_dim=128)
_add("molmo2_text seed_oss solar_open", dense, num_key_value_heads=8, head_dim=128)
_add("emu3_text_model glm4_moe glm4v_moe glm4v_moe_text glm_ocr_text", dense, num_key_value_heads=8)
_add("ernie4_5 paddleocr_vl paddleocr_vl_text", dense, num_key_value_heads=2, head_dim=128)
_add("ernie4_5_moe ernie4_5_moe_vl ernie4_5_vl_moe_text granite_docling_text", dense, num_key_value_heads=4)
_add("gemma", dense, num_key_value_heads=16, head_dim=256)
_add("glm glm4 internlm3", dense, num_key_value_heads=2, head_dim=128)
_add("glm4v glm4v_text", dense, num_key_value_heads=2)
_add("helium", dense, num_key_value_heads=20, head_dim=128)
_add("qwen3_vl qwen3_vl_text", dense, num_key_value_heads=32, head_dim=128)
_add("qwen3_vl_moe qwen3_vl_moe_text", dense, num_key_value_heads=16)
# Under names of their own.
_GPT_2 = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embd"}
_MPT = {"num_hidden_layers": "n_layers", "num_attention_heads": "n_heads", "hidden_size": "d_model"}
_GPT_NEO = {"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"}
_XGLM = {"num_hidden_layers": "num_layers", "num_attention_heads": "attention_heads", "hidden_size": "d_model"}
_add("codegen ctrl gpt2 gptj", dense, _GPT_2)
_add("gpt_bigcode", uneven.one_head_if_multi_query, _GPT_2)
_add("bloom", dense, {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embed"})
_add("gpt_neo", dense, _GPT_NEO)
_add("xglm", dense, _XGLM)
_add("exaone", dense, {"num_hidden_layers": "num_layers"})
_add("mpt", uneven.mpt, _MPT)
_add("dbrx", dense, _MPT | {"num_key_value_heads": "attn_config.kv_n_heads"}, num_key_value_heads=1)
_add("qwen", dense, {"head_dim": "kv_channels"})
_add("jetmoe", dense, {"head_dim": "kv_channels"}, num_key_value_heads=16, head_dim=128)
_add("chatglm", uneven.chatglm, {"num_hidden_layers": "num_layers", "head_dim": "kv_channels"})
_FALCON = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
_add("falcon", uneven.falcon, _FALCON | {"num_key_value_heads": "num_kv_heads"})
_add("step3_text", dense, {"num_key_value_heads": "num_attention_groups"})

# --- Some or all layers keep a window --------------------------------------------------------------------------------
_add("mistral", rows_by(all_slide), num_key_value_heads=8, sliding_window=4096)
_add("ministral", rows_by(all_slide), num_key_value_heads=8, sliding_window=4096)
_add("ministral3", rows_by(all_slide), num_key_value_heads=8, head_dim=128)
_add("mixtral phi4_multimodal phi4mm phimoe", rows_by(all_slide), num_key_value_heads=8)
_add("doge phi3 phi3_v", rows_by(all_slide))
_add("moshi", rows_by(all_slide), sliding_window=3000)
_add("qwen3_omni_moe_text", rows_by(all_slide), num_key_value_heads=4)
_add("starcoder2", rows_by(all_slide), num_key_value_heads=2)
_QWEN = {"use_sliding_window": False, "sliding_window": 4096}
_add("qwen3_moe", rows_by(all_slide), num_key_value_heads=4, **_QWEN)
_QWEN = _QWEN | {"max_window_layers": 28}
_add("qwen2", rows_by(from_max_window_layers), num_key_value_heads=32, **_QWEN)
_add("qwen3", rows_by(from_max_window_layers), num_key_value_heads=32, head_dim=128, **_QWEN)
_add("qwen2_moe", rows_by(from_max_window_layers), num_key_value_heads=16, **_QWEN)
_add("qwen2_5_omni_text", rows_by(from_max_window_layers), num_key_value_heads=4, **_QWEN | {"sliding_window": 32768})
_QWEN = _QWEN | {"max_window_layers": 80}
_add("qwen2_vl qwen2_vl_text", rows_by(from_max_window_layers), num_key_value_heads=8, **_QWEN)
_add("qwen2_5_vl qwen2_5_vl_text", rows_by(from_max_window_layers), num_key_value_heads=8, **_QWEN)
_add("dots1", rows_by(from_max_window_layers), num_key_value_heads=32, sliding_window=4096, max_window_layers=62)
_GEMMA = {"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096}
_add("gemma2 vaultgemma", rows_by(every_nth_full), **_GEMMA, sliding_window_pattern=2)
_GEMMA = _GEMMA | {"num_hidden_layers": 26, "num_attention_heads": 8, "sliding_window_pattern": 6}
_add("gemma3 gemma3_text", uneven.gemma_3, **_GEMMA)
_add(
    "gpt_oss", rows_by(every_nth_full), num_key_value_heads=8, head_dim=64, sliding_window=128, sliding_window_pattern=2
)
_add("cohere2 olmo3", rows_by(every_nth_full), sliding_window=4096, sliding_window_pattern=4)
_EXAONE = {"num_key_value_heads": 32, "sliding_window": 4096, "sliding_window_pattern": 4}
_add("exaone4 exaone_moe", rows_by(every_nth_full), **_EXAONE)
_LLAMA_4 = {"num_key_value_heads": 8, "head_dim": 128, "attention_chunk_size": 8192, "sliding_window_pattern": 4}
_add("llama4 llama4_text", rows_by(by_rope), **_LLAMA_4)
_EVERY = {"sliding_window_pattern": "global_attn_every_n_layers"}
_add("afmoe", rows_by(every_nth_full), _EVERY, head_dim=128, sliding_window=1024, sliding_window_pattern=4)
# Which layers slide is told by a list alone.
_add("beam", dense, num_key_value_heads=8, head_dim=128, sliding_window=512)
_add("cohere_compass_text", dense, sliding_window=4096)
_add("cohere2_moe", dense, head_dim=128, sliding_window=4096)
_add("cwm", dense, num_key_value_heads=8, head_dim=128, sliding_window=8192)
_add("flint kolibri1", dense, num_key_value_heads=4, head_dim=128, sliding_window=513)
_add("granite_swa", dense, num_key_value_heads=4, sliding_window=128)
_add("granitemoe_swa", dense, sliding_window=128)
_add("laguna", dense, num_key_value_heads=8, head_dim=128, sliding_window=512)
_add("mellum", dense, num_key_value_heads=4, head_dim=128, sliding_window=1024)
_add("muse_glimmer_text", dense, num_key_value_heads=2, head_dim=128, sliding_window=2048)
_add("muse_spark_text", dense, num_key_value_heads=16, head_dim=64, sliding_window=2048)
_add("smollm3", dense, num_key_value_heads=4, use_sliding_window=False)
_GROUPS = {"num_key_value_heads": "num_attention_groups"}
_add("step3p5 step3p7", uneven.step, _GROUPS, num_key_value_heads=8, head_dim=128)

# --- Layers that are not alike ---------------------------------------------------------------------------------------
_GEMMA = {"num_key_value_heads": 2, "head_dim": 256, "sliding_window": 512, "num_kv_shared_layers": 15}
_add("gemma3n gemma3n_text", uneven.gemma_3n, **_GEMMA, sliding_window_pattern=5)
_GEMMA = {"num_key_value_heads": 4, "head_dim": 256, "global_head_dim": 512, "sliding_window_pattern": 6}
_add("gemma4 gemma4_text", uneven.gemma_4, **_GEMMA, sliding_window=512, num_kv_shared_layers=0)
_add("gemma4_unified_text", uneven.gemma_4, **_GEMMA, sliding_window=1024, num_kv_shared_layers=0)
_MIMO = {"num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "sliding_window": 129}
_add("mimo_v2 mimo_v2_flash", uneven.mimo, **_MIMO)
_INDEX = {
    "index_head_dim": "sparse_attention_config.sparse_index_dim",
    "index_topk_blocks": "sparse_attention_config.sparse_topk_blocks",
    "index_block_size": "sparse_attention_config.sparse_block_size",
}
_M3 = {"num_key_value_heads": 4, "head_dim": 128, "index_head_dim": 128}
_M3 = _M3 | {"index_topk_blocks": 16, "index_block_size": 128}
_add("minimax_m3 minimax_m3_vl minimax_m3_vl_text", uneven.minimax_m3, _INDEX, **_M3)
_add("hunyuan", uneven.cross_layer, {"head_dim": "attention_head_dim"})
_add("hunyuan_v1_dense hunyuan_v1_moe hunyuan_vl_text", uneven.hunyuan_v1)
_IMAGES = [3, 8, 13, 18, 23, 28, 33, 38]
_add("mllama mllama_text_model", uneven.mllama, num_key_value_heads=8, cross_attention_layers=_IMAGES)
_add("deci nemotron-nas", uneven.blocks)

# --- Latent rows -----------------------------------------------------------------------------------------------------
_MLA = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
_add("axk1 deepseek_v2 deepseek_v3 glm4_moe_lite kimi_k2 youtu", latent.latent, **_MLA)
_add("mistral4", latent.latent, kv_lora_rank=256, qk_rope_head_dim=64)
_add("minicpm3", latent.latent, kv_lora_rank=256, qk_rope_head_dim=32)
_SPARSE = {"index_head_dim": 128, "index_topk": 2048}
_add("axk2", latent.indexed, kv_lora_rank=128, qk_rope_head_dim=32, **_SPARSE)
_add("deepseek_v32 glm_moe_dsa", latent.indexed, **_MLA, **_SPARSE)
_add("hy_v4", latent.indexed, **_MLA, **_SPARSE, indexer_group_size=4)
_add("longcat_flash", latent.longcat, **_MLA)
_KDA = {
    "linear_num_heads": "linear_attn_config.num_heads",
    "linear_head_dim": "linear_attn_config.head_dim",
    "linear_conv_kernel_dim": "linear_attn_config.short_conv_kernel_size",
}
_SIZES = {"linear_num_heads": 32, "linear_head_dim": 128, "linear_conv_kernel_dim": 4}
_add("kimi_k3 kimi_linear", latent.kimi_linear, _KDA, **_MLA, **_SIZES)
_KDA = {"linear_num_heads": "num_attention_heads", "linear_head_dim": "head_dim"}
_KDA = _KDA | {"linear_conv_kernel_dim": "short_conv_kernel_size"}
_SIZES = {"head_dim": 128, "short_conv_kernel_size": 4, "layer_group_size": 6}
_add("bailing_hybrid", latent.bailing_hybrid, _KDA, **_MLA, **_SIZES)
_V4 = {"num_key_value_heads": 1, "head_dim": 512, "sliding_window": 128, "index_head_dim": 128, "index_topk": 512}
_add("deepseek_v4", latent.deepseek_v4, **_V4)

# --- Recurrent layers ------------------------------------------------------------------------------------------------
_DELTA = {
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
    "head_dim": 256,
}
_add("qwen3_5 qwen3_5_text", hybrid.qwen3_next, num_key_value_heads=4, **_DELTA)
_add("qwen3_next qwen3_5_moe qwen3_5_moe_text", hybrid.qwen3_next, num_key_value_heads=2, **_DELTA)
_add("olmo_hybrid", hybrid.olmo_hybrid, linear_conv_kernel_dim=4)
_MAMBA = {"mamba_expand": 2, "mamba_d_conv": 4}
_JAMBA = {"mamba_d_state": 16, "attn_layer_period": 8, "attn_layer_offset": 4}
_add("jamba", hybrid.jamba, num_key_value_heads=8, **_MAMBA, **_JAMBA)
_MAMBA = _MAMBA | {"mamba_n_heads": 128, "mamba_n_groups": 1, "mamba_d_state": 256}
_add("bamba", hybrid.bamba, num_key_value_heads=8, **_MAMBA)
_add("granitemoehybrid", hybrid.granite_hybrid, **_MAMBA)
_add("falcon_h1", hybrid.falcon_h1, num_key_value_heads=8, **_MAMBA)
_NEMOTRON = {
    "mamba_n_heads": "mamba_num_heads",
    "mamba_d_head": "mamba_head_dim",
    "mamba_d_state": "ssm_state_size",
    "mamba_n_groups": "n_groups",
    "mamba_d_conv": "conv_kernel",
}
_NEMOTRON_FILLS = {"mamba_num_heads": 128, "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4}
_add("nemotron_h", hybrid.nemotron_h, _NEMOTRON, num_key_value_heads=8, head_dim=128, **_NEMOTRON_FILLS)
_ZAMBA = {"head_dim": "attention_head_dim"}
_add("zamba", hybrid.zamba, _ZAMBA, num_key_value_heads=16, mamba_expand=2, mamba_d_conv=4, mamba_d_state=16)
_ZAMBA = _ZAMBA | {"mamba_n_heads": "n_mamba_heads", "mamba_n_groups": "mamba_ngroups", "mamba_d_head": "mamba_headdim"}
_add(
    "zamba2", hybrid.zamba_2, _ZAMBA, mamba_expand=2, mamba_d_conv=4, mamba_d_state=64, mamba_ngroups=1, n_mamba_heads=8
)
_add("lfm2 lfm2_moe", hybrid.lfm2, num_key_value_heads=8, conv_L_cache=3)
_add("lfm3", hybrid.lfm3, num_key_value_heads=4, head_dim=128, conv_L_cache=7, sliding_window=256)
_add("minimax", hybrid.minimax, num_key_value_heads=8)
_add("minimax_m1 minimax_text_01", hybrid.minimax_01, num_key_value_heads=8)
_add("minicpm_sala", hybrid.minicpm_sala)
_add("bailing_moe_linear", hybrid.bailing_linear)

# --- Known, and refused with a reason --------------------------------------------------------------------------------
_BY_REASON = {
    "an encoder-decoder keeps rows of two texts": (
        "bart bigbird_pegasus blenderbot blenderbot-small florence2 marian mbart mvp pegasus plbart prophetnet t5"
        " t5gemma t5gemma2 udop whisper"
    ),
    "its index keeps rows of several tokens": "glm5_next glm5_next_text qwen4_exp qwen4_exp_text",
    "its recurrent state lies outside the cache": "recurrent_gemma",
}
REFUSED: dict[str, str] = {name: reason for reason, names in _BY_REASON.items() for name in names.split()}


def read_layers(config: Any) -> list[LayerKV]:
    """What each layer keeps.

    Args:
        config: a transformers config object, the dict of a ``config.json``, or the path of that file or its folder.

    Raises:
        ValueError: in one line, if the family is none of the register's, a field is missing or out of range, or a layer
            is of a kind that this course cannot count.
    """
    fields = known_fields(config)
    return FAMILIES[fields.model_type].rule(fields)


def known_fields(config: Any) -> Fields:
    """The fields of a config of a known family, under the register's names; arguments and errors as above."""
    fields = read_fields(config)
    if not isinstance(fields.model_type, str):
        missing = [name for name in ("model_type", "num_hidden_layers") if fields.get(name) is None]
        raise ValueError(
            f"the config names no {' and no '.join(missing or ['model_type'])}; the family decides the rule"
        )
    family = FAMILIES.get(fields.model_type)
    if family is None:
        raise fields.refusal(REFUSED.get(fields.model_type, "no rule is known for its family"), fields.unclear())
    return fields.completed(family.fills, family.names)
