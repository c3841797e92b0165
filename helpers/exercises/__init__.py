"""The exercises' checks, one file per lesson and one function per exercise, so that a cell does not show its answer."""
