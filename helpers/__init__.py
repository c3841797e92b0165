"""The course's code, in rooms; each imports only from those after it.

widgets, teaching, experiments, engines, decoding, eviction, models, cache, plots, records, machine, measuring, arithmetic.
"""
