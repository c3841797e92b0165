"""Checks of the exercises of lesson 00: the right number, and the mistakes that people make on the way."""

from helpers.teaching.checks import Number

# 41 tokens of prompt and 1,010 of reply, 16 to a floor.
check_longer_story = Number(-(-1_051 // 16), "floors") | {
    "that is the reply alone; the prompt is parked too.": -(-1_010 // 16),
    "the last tokens need a floor as well, though they do not fill it.": 1_051 // 16,
}

# Tokens of reply that fit into 4 MiB behind that prompt, in whole floors of 16 slots of 23,040 bytes.
check_full_garage = Number(11 * 16 - 41, "tokens") | {
    "that is prompt and reply together.": 11 * 16,
    "memory comes in whole floors; the last piece of it is too small for one.": 4 * 2**20 // 23_040 - 41,
}
