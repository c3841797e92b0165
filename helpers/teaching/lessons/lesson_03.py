"""Checks of the exercises of lesson 03: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import GB, GiB, KiB, MiB
from helpers.arithmetic.footprint import MemoryBudget
from helpers.arithmetic.plan import OVERHEAD
from helpers.teaching.checks import Number

# GiB for two sequences of 8,192 tokens beside 18 GiB of weights and 0.75 GiB of overhead.
TOTAL = MemoryBudget(0.75 * GiB, 18 * GiB, 256 * KiB * 8_192, sequences=2).total / GiB
check_two_at_once = Number(TOTAL, "GiB") | {
    "that is for one person; the cache is there once per person.": TOTAL - 2,
    "the overhead is missing.": TOTAL - 0.75,
    "the weights are loaded once, for both.": TOTAL + 18,
    "weights and overhead are there once, for both.": TOTAL + 18.75,
    "that is in bytes; the question is for GiB.": TOTAL * GiB,
}

# Tokens that fit for certain on a card of 16,311 MiB: a file of 9.0 GB, 160 KiB per token, overhead as a band.
CARD, FILE, TOKEN, (LEAST, MOST) = 16_311 * MiB, 9.0 * GB, 160 * KiB, OVERHEAD
check_for_certain = Number((CARD - FILE - MOST) // TOKEN, "tokens") | {
    "that is with the least overhead; for certain it fits with the most.": (CARD - FILE - LEAST) // TOKEN,
    "that is with the middle of the band; for certain it fits with the most.": (CARD - FILE - 1 * GiB) // TOKEN,
    "the overhead is missing.": (CARD - FILE) // TOKEN,
    "the file has 9.0 GB, not GiB.": (CARD - 9 * GiB - MOST) // TOKEN,
    "the card shows MiB of 1,024 times 1,024 bytes.": (16_311e6 - FILE - MOST) // TOKEN,
    "the weights need room too.": (CARD - MOST) // TOKEN,
}
