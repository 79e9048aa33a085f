"""Every evasion attack: the same outcomes for any batch size, and nothing of the caller's is touched."""

import copy
import random
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from every_evasion import EVERY, named
from robnas.attacks import EpsSweep
from robnas.data.digits import Digits

SIZES = (1, 16, 64)


@cache
def digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A float32 network with BatchNorm that knows most digits, and 200 it has not seen."""
    train, test = Digits().load()
    x, y = train.x.float() / 255, train.y
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        head = nn.Linear(256, 10)
    model = nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), second, nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), head)
    optimizer, order = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9), torch.Generator().manual_seed(0)
    for _ in range(4):
        for rows in torch.randperm(len(x), generator=order).split(50):
            optimizer.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval(), test.x[:200].float() / 255, test.y[:200]


def outcomes(attack, *args, **kwargs) -> dict[str, Tensor]:
    """Of an attack, or of a sweep at each radius: name → [N], and [N, C, H, W] images."""
    r = attack(*args, **kwargs)
    found = r.items() if isinstance(attack, EpsSweep) else [("", r)]
    return {f"{eps} {k}": v for eps, one in found for k, v in (one.outcomes() | {"x_adv": one.x_adv}).items()}


@pytest.mark.parametrize("name", EVERY)
def test_in_float64_no_outcome_depends_on_the_batch(name):
    model, x, y = digits()
    model, x = copy.deepcopy(model).double(), x[:40].double()
    index = torch.arange(1000, 1040)
    first, *others = (outcomes(named(name), model, x, y[:40], index=index, batch_size=size) for size in SIZES)
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    back = shuffled.argsort()
    mixed = outcomes(named(name), model, x[shuffled], y[:40][shuffled], index=index[shuffled], batch_size=16)
    for other in (*others, {k: v[back] for k, v in mixed.items()}):
        for k, mine in first.items():
            if mine.is_floating_point():
                assert torch.allclose(mine, other[k], rtol=0, atol=1e-9, equal_nan=True), k
            else:
                assert torch.equal(mine, other[k]), k


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_in_float32_at_most_one_outcome_in_200_does(name):
    model, x, y = digits()
    first, *others = (outcomes(named(name), model, x, y, batch_size=size) for size in SIZES)
    for other in others:
        for k in first:
            if k.endswith((" success", " robust", " errored")):
                assert (first[k] == other[k]).float().mean() >= 0.995, k
            if k.endswith(" distance"):  # walks along a boundary part ways by rounding: of HopSkipJump's in L∞ one in seven does
                assert (first[k] - other[k]).abs().nan_to_num(0, 0, 0).median() <= 1e-4, k
    if name not in ("hopskipjump", "hopskipjump_linf"):
        assert any(0.02 < v.float().mean() < 0.98 for k, v in first.items() if k.endswith(" success"))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_the_callers_model_inputs_and_random_numbers_are_left_alone(name, training):
    model, x, y = digits()
    model, x, y = copy.deepcopy(model).train(training), x[:8].clone(), y[:8].clone()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[0].weight.requires_grad_(False)
    state, given = {k: v.clone() for k, v in model.state_dict().items()}, (x.clone(), y.clone())
    flags = [(m.training, [p.requires_grad for p in m.parameters(recurse=False)]) for m in model.modules()]
    strides = [p.stride() for p in model.parameters()]
    draws = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    named(name)(model, x, y)
    assert torch.equal(draws[0], torch.get_rng_state())
    assert np.array_equal(draws[1], np.random.get_state()[1])  # noqa: NPY002
    assert draws[2] == random.getstate()
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert flags == [(m.training, [p.requires_grad for p in m.parameters(recurse=False)]) for m in model.modules()]
    assert strides == [p.stride() for p in model.parameters()]
    assert [p.grad is None for p in model.parameters()] == [False] + [True] * 9
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert torch.equal(x, given[0])
    assert torch.equal(y, given[1])
