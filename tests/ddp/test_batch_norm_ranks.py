"""Batch normalisation on two ranks against one process with the whole batch; float64."""

import pytest
import torch
from torch import nn

from ranks import run_on_ranks
from robnas.batch_norm import BatchNorm1d, BatchNorm2d, batch_norm, convert

FORMS = ["functional", "module", "gradient penalty"]


def _batch():
    g = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    return 3 + 2 * normal(7, 3, 4, 5), normal(7, 3, 4, 5), normal(3), normal(3)


def _compute(x, target, weight, bias, form):
    """Output, running statistics, and gradients of Σ target·y (plus ‖∂/∂x‖² for the second derivative)."""
    x, weight, bias = (t.clone().requires_grad_() for t in (x, weight, bias))
    if form == "module":
        norm = BatchNorm2d(3, dtype=torch.float64)
        norm.weight, norm.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
        weight, bias = norm.weight, norm.bias
        y, running = norm(x), (norm.running_mean, norm.running_var)
    else:
        running = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        y = batch_norm(x, *running, weight, bias, training=True, across_ranks=True)
    loss = (target * y.sin()).sum()
    if form == "gradient penalty":
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        loss = loss + slope.square().sum()
    gradients = torch.autograd.grad(loss, [x, weight, bias])
    return {"y": y.detach(), "x": gradients[0], "sums": torch.stack(gradients[1:]), "running": torch.stack([r.detach() for r in running])}


def _on_rank(rank: int, cut: int) -> dict[str, dict[str, torch.Tensor]]:
    share = slice(0, cut) if rank == 0 else slice(cut, None)
    x, target, weight, bias = _batch()
    return {form: _compute(x[share], target[share], weight, bias, form) for form in FORMS}


@pytest.fixture(scope="module", params=[3, 7], ids=["unequal", "one rank is empty"])
def ranks(request):
    return run_on_ranks(_on_rank, 2, request.param)


@pytest.mark.parametrize("form", FORMS)
def test_two_ranks_equal_one_process_with_the_whole_batch(ranks, form):
    one, (first, second) = _compute(*_batch(), form), (r[form] for r in ranks)
    close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)  # noqa: E731
    close(torch.cat([first["y"], second["y"]]), one["y"])
    close(torch.cat([first["x"], second["x"]]), one["x"])
    close(first["sums"] + second["sums"], one["sums"])  # of each rank's own loss; Σ over ranks is the whole
    close(first["running"], one["running"])
    assert torch.equal(first["running"], second["running"])


def test_alone_it_is_torchs_own():
    x, _, weight, bias = _batch()
    ours, theirs = ((torch.zeros(3).double(), torch.ones(3).double()) for _ in range(2))
    a = batch_norm(x, *ours, weight, bias, training=True, across_ranks=True)
    b = nn.functional.batch_norm(x, *theirs, weight, bias, training=True)
    assert torch.equal(a, b)
    assert torch.equal(ours[1], theirs[1])


def test_convert_replaces_in_place_and_keeps_weights_and_statistics():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.BatchNorm1d(8), nn.Linear(8, 2)).train()
    net(torch.randn(4, 1, 2, 2))
    before, optimised = {k: v.clone() for k, v in net.state_dict().items()}, net[1].weight
    assert convert(net) is net
    assert type(net[1]) is BatchNorm2d
    assert type(net[3]) is BatchNorm1d
    assert net[1].weight is optimised
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert type(convert(nn.BatchNorm2d(2))) is BatchNorm2d


def _module_with_momentum(rank: int, momentum: float | None) -> list[torch.Tensor]:
    x, *_ = _batch()
    norm = convert(nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64))
    for batch in (x, 2 * x + 1):
        norm(batch[:2] if rank == 0 else batch[2:])
    out = norm.eval()(x[:1])
    return [norm.running_mean, norm.running_var, norm.num_batches_tracked, out.detach()]


@pytest.mark.parametrize("momentum", [0.3, None])
def test_running_statistics_of_several_batches_are_those_of_one_process(momentum):
    for got in run_on_ranks(_module_with_momentum, 2, momentum):
        norm, (x, *_) = nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64), _batch()
        for batch in (x, 2 * x + 1):
            norm(batch)
        expected = [norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.eval()(x[:1])]
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b.detach(), rtol=1e-12, atol=1e-12)
