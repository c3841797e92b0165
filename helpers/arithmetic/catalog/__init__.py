"""Facts as data: storage formats, models, cards, agents' tools. Every row says where it comes from, checked when.

Nothing here computes or imports torch or transformers: read its files as data sheets. Sizes are in bytes unless a name
says otherwise.
"""

from helpers.arithmetic.catalog.architectures import ARCHITECTURES, Architecture
from helpers.arithmetic.catalog.cards import CARDS, Card, find_card
from helpers.arithmetic.catalog.model import Model, Yarn
from helpers.arithmetic.catalog.models import IN_LESSONS, MODELS, find_model
from helpers.arithmetic.catalog.storage import KV_LAYOUTS, WEIGHT_BITS, KVLayout
from helpers.arithmetic.catalog.tools import TOOLS, AgentTool
from helpers.arithmetic.catalog.units import CHECKED, GB, GiB, KiB, MiB

__all__ = [
    "ARCHITECTURES",
    "CARDS",
    "CHECKED",
    "GB",
    "IN_LESSONS",
    "KV_LAYOUTS",
    "MODELS",
    "TOOLS",
    "WEIGHT_BITS",
    "AgentTool",
    "Architecture",
    "Card",
    "GiB",
    "KVLayout",
    "KiB",
    "MiB",
    "Model",
    "Yarn",
    "find_card",
    "find_model",
]
