"""For all tests: one thread, and no seed of the test before.

The networks here are small, and threads that wait for each other on busy cores cost more than they give.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_seed_of_another_test():
    """`seed_everything` leaves its seed in the environment, where a run's random numbers begin (`seeds.of_run`)."""
    kept = os.environ.pop("PL_GLOBAL_SEED", None)
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)
    if kept is not None:
        os.environ["PL_GLOBAL_SEED"] = kept
