"""The machine that a figure was measured on: its device, its memory, its description."""
