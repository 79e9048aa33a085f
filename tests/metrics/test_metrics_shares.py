"""ASR and robust accuracy by hand, and on two ranks."""

import pytest
import torch

from ranks import run_on_ranks
from robnas.metrics import AttackSuccessRate, RobustAccuracy

#                      broken  resisted  wrong before  NaN on the way  NaN at once  resisted
SUCCESS = torch.tensor([True, False, False, False, False, False])
ELIGIBLE = torch.tensor([True, True, False, True, False, True])
ERRORED = torch.tensor([False, False, False, True, True, False])
ROBUST = torch.tensor([False, True, False, False, False, True])


def shares() -> tuple[AttackSuccessRate, RobustAccuracy]:
    return AttackSuccessRate(), RobustAccuracy()


def test_by_hand():
    asr, robust = shares()
    asr.update(SUCCESS, ELIGIBLE, ERRORED)
    robust.update(ROBUST, ERRORED)
    assert asr.compute().item() == pytest.approx(1 / 3)
    assert robust.compute().item() == pytest.approx(2 / 4)


def test_what_errored_is_never_a_success_nor_robust():
    asr, robust = shares()
    everything = torch.tensor([True, True])
    asr.update(everything, everything, torch.tensor([True, False]))
    robust.update(everything, torch.tensor([True, False]))
    assert (asr.hits, asr.counted) == (1, 1)
    assert (robust.hits, robust.counted) == (1, 1)


def test_of_nothing_is_no_number():
    asr, _ = shares()
    asr.update(*(torch.zeros(0, dtype=torch.bool),) * 3)
    assert asr.compute().isnan()


def on_a_rank(rank: int) -> tuple[float, float]:
    asr, robust = shares()
    mine = slice(0, 2) if rank == 0 else slice(2, 6)  # shares of unequal size: a mean of means would be wrong
    asr.update(SUCCESS[mine], ELIGIBLE[mine], ERRORED[mine])
    robust.update(ROBUST[mine], ERRORED[mine])
    return asr.compute().item(), robust.compute().item()


def test_two_ranks_equal_one():
    assert run_on_ranks(on_a_rank, 2) == [(pytest.approx(1 / 3), pytest.approx(1 / 2))] * 2
