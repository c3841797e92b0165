"""The course's code, in rooms; a room imports only from rooms after it in this list.

widgets, teaching, experiments, engines, decoding, eviction, models, cache, plots, records, machine, measuring,
arithmetic.
"""
