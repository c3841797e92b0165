"""Units of memory, and the day of the first look-up. kB, MB, GB are powers of 1000; KiB, MiB, GiB powers of 1024."""

GB = 10**9
KiB, MiB, GiB = 2**10, 2**20, 2**30

CHECKED = "2026-11-21"  # the day on which the rows of the first edition were last compared with their sources
LOOKED_UP = "2026-11-27"  # the day on which the rows of November 2026 were read where they say
