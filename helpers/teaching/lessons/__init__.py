"""The exercises of each lesson: one file per lesson, one function per exercise, so that a cell shows no answer."""
