"""Checks of the exercises of lesson 00: the right number, and the mistakes that people make on the way."""

from helpers.teaching.checks import Number

# 1,300 tokens at 4,096 bytes each.
check_longer_thought = Number(1_300 * 4_096, "bytes") | {
    "that is the thought alone; the prompt is kept too.": 1_000 * 4_096
}

# Tokens of thought that fit into 1 MiB behind a prompt of 139 tokens.
check_full_mebibyte = Number(256 - 139, "tokens") | {
    "that is prompt and thought together.": 256,
    "a MiB is 1,024 x 1,024 bytes.": 1_000_000 // 4_096 - 139,
}
