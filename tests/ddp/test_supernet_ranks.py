"""A supernet on two ranks, batch norms across them, against one process with the whole batch; float64."""

import pytest
import torch

from ranks import run_on_ranks
from robnas import collectives
from robnas.space import fused
from robnas.space.mixture import Mixture
from robnas.space.search_space import CELL_KINDS, Space
from robnas.space.supernet import Supernet


def _compute(share: slice, path: str) -> dict[str, torch.Tensor]:
    """Logits, Σ over ranks of the gradients of Σ target·logits, running statistics, and a second derivative."""
    torch.manual_seed(0)
    space = Space(nodes=2)
    more = path == "partial, dropout"
    net = Supernet(space, layers=3, init_channels=2, num_classes=3, across_ranks=True, partial=2 if more else 1).double()
    alpha = {kind: torch.randn(5, 10).double().softmax(-1).requires_grad_() for kind in CELL_KINDS}
    x, target = torch.randn(5, 3, 8, 8).double()[share], torch.randn(5, 3).double()[share]
    if path == "plain":
        fused.suits = lambda x: False
    torch.manual_seed(1)  # of the dropout, the same on every rank
    logits = net(x, Mixture(alpha, dropout=0.3 if more else 0.0))
    running = torch.cat([b.flatten() for k, b in net.named_buffers() if not k.endswith("tracked")])
    inputs = [*alpha.values(), *net.parameters()]
    first = torch.autograd.grad((logits * target).sum(), inputs, create_graph=path == "twice")
    found = {"logits": logits.detach(), "running": running}
    if path == "twice":  # ∇_α (∇_w L · v), v = 1
        second = torch.autograd.grad(sum(g.sum() for g in first[2:]), list(alpha.values()))
        found["second"] = collectives.across_ranks(torch.cat([g.flatten() for g in second]))
    found["gradient"] = collectives.across_ranks(torch.cat([g.detach().flatten() for g in first]))
    return found


def _on_rank(rank: int, path: str) -> dict[str, torch.Tensor]:
    return _compute(slice(0, 2) if rank == 0 else slice(2, None), path)


@pytest.mark.parametrize("path", ["fused", "plain", "twice", "partial, dropout"])
def test_two_ranks_with_unequal_shares_equal_one_process(path, monkeypatch):
    monkeypatch.setattr(fused, "suits", fused.suits)
    one, (first, second) = _compute(slice(None), path), run_on_ranks(_on_rank, 2, path)
    close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)  # noqa: E731
    close(torch.cat([first["logits"], second["logits"]]), one["logits"])
    for name in one.keys() - {"logits"}:
        close(first[name], one[name])
        close(second[name], one[name])
