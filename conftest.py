"""What holds for every test, and for the kernels and processes that it starts: static pages, and one thread."""

import os

os.environ.pop("COURSE_LEADERBOARD", None)  # a room's own board would show in lab 4
os.environ.setdefault("COURSE_KVPRESS", "record")  # lab 8 as it was saved; make test-kvpress says live
os.environ["COURSE_STATIC"] = "1"  # widgets are tried by the browser tests, on a server of their own
os.environ.setdefault("COURSE_VLLM", "saved")  # lab 7 on a living server is make test-vllm
# What follows is read when torch is loaded. Models this small lose much by a second thread on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Told to do without AVX-512, torch still asks oneDNN whether the processor has AMX, and then fails where it has.
if capability := os.environ.get("ATEN_CPU_CAPABILITY"):
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", {"default": "SSE41", "avx2": "AVX2"}.get(capability, "ALL"))
