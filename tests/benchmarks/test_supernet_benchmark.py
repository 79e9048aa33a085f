"""Both sides of the benchmark compute the same, and it measures what it says."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import supernet as benchmark


@pytest.fixture
def sides():
    """Three layers: normal, reduce, reduce; float64."""
    sides = benchmark.Sides(layers=3, channels=2, batch=2, size=8)
    sides.net.double()
    sides.peer.double()
    sides.alpha = {k: a.detach().double().requires_grad_() for k, a in sides.alpha.items()}
    sides.train, sides.valid = ((x.double(), y) for x, y in (sides.train, sides.valid))
    sides.momenta = [m.double() for m in sides.momenta]
    return sides


def test_the_second_order_step_is_that_of_dartss_own_formulation(sides):
    for ours, peers in zip(sides.our_second_order(), sides.peer_second_order(), strict=True):
        torch.testing.assert_close(ours, peers, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_everything_is_measured(sides):
    found = benchmark.measure(sides, rounds=1)
    assert set(benchmark.FLOORS) < set(found)
    for row in found.values():
        assert row["speed_up"] > 0
        assert 0 < row["our_operations"] < row["peer_operations"]
        assert 0 < row["our_peak_bytes"] < row["peer_peak_bytes"]
