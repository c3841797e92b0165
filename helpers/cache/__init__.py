"""The paged KV cache: a pool of blocks, rows in a format, attention over both.

Names are imported when they are first asked for, since the pool needs no torch and the rest does.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attention": ["attend_with_grid", "attending"],
        "block_pool": ["BlockPool", "BlockTable", "OutOfBlocks", "blocks_for", "expected_empty_blocks"],
        "cache_stats": ["CacheStats"],
        "kv_formats": ["KV_FORMATS", "bits_per_element", "decode", "encode"],
        "paged_cache": ["PagedCache"],
    },
)
