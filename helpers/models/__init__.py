"""The models that the course runs: the reasoner with its worksheets, SmolLM2, and any other that transformers loads.

Names are imported when they are first asked for, since worksheets need no torch and models do.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loading": [
            "gold_and_length",
            "gold_ids",
            "load_english_reasoner",
            "load_model",
            "load_reasoner",
            "load_smollm2",
        ],
        "miniatures": ["filled_cache", "miniature"],
        "worksheets": ["Worksheet", "grade", "make_worksheets"],
    },
)
