"""What two ranks tell each other, against hand-computed values."""

import os
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from ranks import run_on_ranks
from robnas import collectives
from robnas.errors import UserError


def _everything(rank: int) -> dict[str, object]:
    x = torch.tensor([1.0 + rank, 2.0], dtype=torch.float64, requires_grad=True)
    total = collectives.across_ranks(x)
    (total * torch.tensor([1.0, 3.0], dtype=torch.float64) * (rank + 1)).sum().backward()
    a, b = torch.full((2,), float(rank)), torch.full((1, 3), 10.0 * rank)
    collectives.mean_([a, b])
    c = torch.tensor([float(rank)])
    collectives.broadcast_([c], source=1)
    try:
        collectives.require_agreement([torch.tensor([float(rank)])], "α")
        drift = "unseen"
    except RuntimeError as error:
        drift = str(error)
    collectives.require_agreement([torch.ones(3)], "weights")
    return {
        "sum": total.detach().tolist(),
        "grad": x.grad.tolist(),
        "mean": [a.tolist(), b.tolist()],
        "broadcast": c.tolist(),
        "gathered": collectives.gather({"rank": rank}),
        "drift": drift,
    }


def test_two_ranks():
    first, second = run_on_ranks(_everything, 2)
    for out in (first, second):
        assert out["sum"] == [3.0, 4.0]
        assert out["grad"] == [3.0, 9.0]  # d/dx of the sum over ranks of each rank's loss: (1 + 2) · (1, 3)
        assert out["mean"] == [[0.5, 0.5], [[5.0, 5.0, 5.0]]]
        assert out["broadcast"] == [1.0]
        assert out["gathered"] == [{"rank": 0}, {"rank": 1}]
        assert str(out["drift"]).startswith("α differs between ranks")


def _from_first(rank: int) -> list[object]:
    """Rank 0 takes longer than an ordinary collective would be waited for."""
    dist.destroy_process_group()
    dist.init_process_group("gloo", store=dist.FileStore(os.environ["STORE"], 2), rank=rank, world_size=2, timeout=timedelta(seconds=2))
    calls: list[int] = []
    patience: list[timedelta] = []
    new_group = dist.new_group
    dist.new_group = lambda **given: (patience.append(given["timeout"]), new_group(**given))[1]

    def slow() -> dict[str, int]:
        time.sleep(4)
        calls.append(rank)
        return {"from": rank}

    def wrong() -> None:
        raise UserError(f"rank {rank} found a wrong value")

    out = [collectives.from_first(slow), calls]
    try:
        collectives.from_first(wrong)
    except UserError as error:
        out.append(str(error))
    return [*out, min(patience) > timedelta(days=100)]


def test_others_wait_for_the_first_as_long_as_it_takes_and_hear_its_errors(tmp_path, monkeypatch):
    monkeypatch.setenv("STORE", str(tmp_path / "store"))
    first, second = run_on_ranks(_from_first, 2)
    assert first == [{"from": 0}, [0], "rank 0 found a wrong value", True]
    assert second == [{"from": 0}, [], "rank 0 found a wrong value", True]


def test_one_process_is_the_identity():
    assert collectives.from_first(lambda: 3) == 3
    x = torch.tensor([1.0], requires_grad=True)
    assert collectives.across_ranks(x) is x
    assert (collectives.world_size(), collectives.rank(), collectives.gather(3)) == (1, 0, [3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributed, "broadcast", None)  # would fail if called
        collectives.require_agreement([x], "x")
        collectives.mean_([x])
        collectives.broadcast_([x])
