"""Engines that people use, run beside the course: each is started, asked, and read in its own words.

One file per engine, on the base in ``engine``. Names are imported when they are first asked for, since only the
reasoner's file in an engine's format needs torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["Answer", "Engine", "Figures", "KVRoom"],
        "llama_cpp": ["LlamaCpp"],
        "llama_cpp_log": ["predict_room"],
        "reasoner_gguf": ["write_reasoner_gguf"],
        "vllm": ["VLLM"],
        "vllm_log": ["read_metrics", "read_settings"],
    },
)
