"""What holds for every test: static pages, and one thread."""

import os

import torch

os.environ.pop("COURSE_LEADERBOARD", None)  # a room's own board would show in lab 4
os.environ["COURSE_STATIC"] = "1"  # widgets are tried by the browser tests, on a server of their own
torch.set_num_threads(1)  # models this small gain nothing from a second one, and lose much on a busy machine
