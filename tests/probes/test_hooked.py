"""Gradients of single inputs by hooks: equal to the loop's, layer by layer; what hooks cannot see is noticed."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, relu

from robnas import seeds
from robnas.copies import evaluation_copy
from robnas.errors import UserError
from robnas.models.cells import cells
from robnas.probes.gradient_variance import gradient_variance
from robnas.probes.gradients import hooks
from robnas.probes.hooked import Hooked
from robnas.probes.per_layer import order
from robnas.space import published


def inputs(n):
    return seeds.uniform(torch.arange(n), (3, 16, 16), "inputs", dtype=torch.float64), torch.arange(n) % 10


def rows(model, x, y, places):
    """[N, P] by the plain loop, parameters at the places that hooks gave them."""
    found = []
    for i in range(len(x)):
        model.zero_grad()
        cross_entropy(model(x[i : i + 1]), y[i : i + 1]).backward()
        g = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
        found.append(torch.cat([order(g[name]) for name in sorted(places, key=places.__getitem__)]))
    return torch.stack(found)


def shaken(model):
    """Moments, scales and shifts of norms that are not 0 and 1."""
    g = torch.Generator().manual_seed(1)
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            for t in (m.running_mean, m.running_var, m.weight, m.bias):
                if t is not None:
                    t.data.copy_(0.5 + torch.rand(t.shape, generator=g))
    return model.eval()


def of(*layers):
    torch.manual_seed(0)
    return shaken(nn.Sequential(*layers)).double()


class Twice(nn.Module):
    """A layer called twice, a weight of two layers, and one that nothing comes of."""

    def __init__(self):
        super().__init__()
        self.stem, self.again, self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.idle, self.head = nn.Linear(4, 7), nn.Linear(4, 10)

    def forward(self, x):
        x = self.stem(x)
        x = self.again(relu(self.again(x))).mean((2, 3))
        self.idle(x)
        return self.head(self.other(relu(self.one(x))))


class Tokens(nn.Module):
    """Linear layers see [k, T, d]; norms [k, C, T] and [k, C]."""

    def __init__(self):
        super().__init__()
        self.one, self.norm, self.last, self.head = nn.Linear(16, 6), nn.BatchNorm1d(6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 10)

    def forward(self, x):
        return self.head(self.last(self.norm(self.one(x.flatten(1, 2)).transpose(1, 2)).square().mean(2)))


def network_of_cells():
    torch.manual_seed(0)
    return shaken(cells(published.find("nasnet"), 10, (3, 16, 16), layers=3, init_channels=2)).double()


NETWORKS = {
    "groups, rectangles": lambda: of(
        nn.Conv2d(3, 6, (3, 5), (2, 1), (1, 2), (1, 2)),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, 3, 2, groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(60, 10),
    ),
    "depthwise": lambda: of(
        nn.Conv2d(3, 3, 5, 2, 4, 2, groups=3),
        nn.Conv2d(3, 6, 1, 2, groups=3),
        nn.ReLU(),
        nn.Conv2d(6, 6, (3, 2), (2, 1), groups=6),
        nn.Flatten(),
        nn.Linear(18, 10),
    ),
    "shared": lambda: (torch.manual_seed(0), Twice())[1].double().eval(),
    "tokens": lambda: (torch.manual_seed(0), shaken(Tokens()))[1].double(),
    "cells": network_of_cells,
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("at_once", [2**19, 50])
def test_equals_the_loop_for_every_input(name, at_once):
    model, (x, y) = NETWORKS[name](), inputs(5)
    hooked = Hooked(model, at_once)
    found = hooked.whole(x, y)
    assert hooked.agrees(x[:2], y[:2])
    expected = rows(model, x, y, hooked.start)
    assert found.shape == expected.shape == (5, sum(p.numel() for p in model.parameters()))
    assert (found - expected).norm() <= 1e-12 * expected.norm()
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_its_variance_is_the_loops_also_in_single_precision(name):
    model, (x, y) = evaluation_copy(NETWORKS[name]()), inputs(21)
    exact = gradient_variance(model, x, y, method="loop", deviations=True)
    for chunk in (4, 64):
        found = gradient_variance(model, x, y, chunk, "hooks", deviations=True)
        assert np.hstack(found[:4]) == pytest.approx(np.hstack(exact[:4]), rel=1e-11)
    single = gradient_variance(model.float(), x.float(), y, method="hooks")
    assert single.variance == pytest.approx(exact.variance, rel=1e-5)


def test_never_holds_all_parameters_at_once():
    model, (x, y) = of(nn.Conv2d(3, 40, 3), nn.Flatten(), nn.Linear(40 * 196, 10)), inputs(4)
    parts = []
    Hooked(model, 40_000).each(x, y, lambda start, g: parts.append((start, g.shape[1])))
    assert sorted(parts)[-1][0] + sorted(parts)[-1][1] == sum(n for _, n in parts) == sum(p.numel() for p in model.parameters())
    assert max(4 * n for _, n in parts) <= 40_000


class Borrowed(nn.Module):
    """Uses the weight of a layer that is not called."""

    def __init__(self):
        super().__init__()
        self.one, self.head = nn.Linear(768, 5), nn.Linear(5, 10)

    def forward(self, x):
        return linear(self.one(x.flatten(1)), self.head.weight)


class Overwritten(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = nn.Linear(768, 10), nn.Linear(10, 10), nn.Linear(10, 10)

    def forward(self, x):
        x = self.stem(x.flatten(1)) * 1
        out = self.one(x)
        x.mul_(2)
        return out + self.two(x)


class Mixing(nn.Module):
    """An input's logits depend on the others."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(768, 10)

    def forward(self, x):
        return self.one((x - x.mean(0) / 2).flatten(1))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Borrowed(), "differ from the loop's"),
        (Mixing(), "differ from the loop's"),
        (Overwritten(), "changed in place"),
        (nn.Sequential(nn.Flatten(), nn.LayerNorm(768), nn.Linear(768, 10)), "LayerNorm '1' is not known"),
        (nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(768, 10))), "is not known"),
        (
            nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"), nn.Flatten(), nn.Linear(512, 10)),
            "Conv2d '0' is not known",
        ),
    ],
)
def test_what_hooks_cannot_see_is_left_to_vmap(model, says):
    model, (x, y) = model.double().eval(), inputs(6)
    assert hooks(model, x, y, "auto") is None
    with pytest.raises(UserError, match=says):
        gradient_variance(model, x, y, method="hooks")
    if not isinstance(model, Overwritten):
        exact = gradient_variance(model, x, y, method="loop").variance
        assert gradient_variance(model, x, y).variance == pytest.approx(exact, rel=1e-10)


def test_of_known_layers_auto_takes_hooks():
    assert hooks(NETWORKS["cells"](), *inputs(3), "auto") is not None
    assert hooks(NETWORKS["cells"](), *inputs(3), "vmap") is None


class Routed(nn.Module):
    """Chunks of dark images do not meet a layer."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.head = nn.Linear(768, 4), nn.Linear(768, 4), nn.Linear(4, 10)

    def forward(self, x):
        x = x.flatten(1)
        return self.head(self.one(x) if float(x[0, 0]) > 0.5 else self.other(x))


def test_a_layer_that_later_chunks_do_not_meet_has_gradients_of_zero_there():
    model, (x, y) = Routed().double().eval(), inputs(16)
    x[:8, 0, 0, 0], x[8:, 0, 0, 0] = 0.9, 0.1
    found, exact = (gradient_variance(model, x, y, 4, method, deviations=True) for method in ("hooks", "loop"))
    assert np.hstack(found[:4]) == pytest.approx(np.hstack(exact[:4]), rel=1e-11)
    assert found.of_mean == pytest.approx(exact.of_mean, rel=1e-9)
