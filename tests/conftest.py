"""For all tests: one thread. The networks here are small, and threads that wait for each other on busy cores cost more than they give."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start

import torch

torch.set_num_threads(1)
