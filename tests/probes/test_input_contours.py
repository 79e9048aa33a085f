"""Eq. 13 on a linear model by hand, and whatever the batches."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from robnas.errors import UserError
from robnas.probes import surface
from robnas.probes.directions import of_inputs
from robnas.probes.input_contours import InputContours, scan_inputs
from small_victims import Linear, convolutional, images

GRID = surface.steps(0.2, 5)
KEYS = ("input_contours", 0)


def test_a_linear_model_by_hand():
    x, y = images(3, side=4), torch.tensor([0, 1, 1])
    w = torch.randn(48, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gamma = scan_inputs(Linear(w, 0.3).double().eval(), x, y, GRID, KEYS)
    one, two = of_inputs(torch.arange(3), x, *KEYS)
    for n in range(3):
        sign = 1 if y[n] else -1  # ℓ = log(1 + exp(± z))
        slopes = [float(d[n].flatten() @ w) for d in (one, two)]
        z = float(x[n].flatten() @ w) + 0.3 + GRID[:, None] * slopes[0] + GRID[None] * slopes[1]
        np.testing.assert_allclose(gamma[n], np.log1p(np.exp(sign * z)), rtol=1e-10)


def test_batches_and_other_inputs_change_nothing_and_the_middle_is_the_plain_loss():
    model, x, y = convolutional().eval(), images(6), torch.arange(6)
    whole = scan_inputs(model, x, y, GRID, KEYS, batch_size=1000)
    np.testing.assert_allclose(scan_inputs(model, x, y, GRID, KEYS, batch_size=7), whole, rtol=1e-10)
    np.testing.assert_allclose(scan_inputs(model, x[:2], y[:2], GRID, KEYS), whole[:2], rtol=1e-10)
    with torch.no_grad():
        np.testing.assert_allclose(whole[:, 2, 2], cross_entropy(model(x), y, reduction="none"), rtol=1e-10)


def test_the_probe_changes_nothing_and_has_means_over_inputs():
    model, x, y = convolutional(), images(6), torch.arange(6)
    before = copy.deepcopy(model.state_dict())
    found = InputContours(points=5, n_drawn=3).measure(model.eval(), x, y)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    grid = surface.steps(0.1, 5)
    each = surface.numbers(scan_inputs(model, x, y, grid, KEYS), grid, 0.1)
    for name, values in each.items():
        number = found.numbers[name]
        assert number.value == pytest.approx(values.mean())
        assert (number.n, number.ci_method) == (6, "bootstrap")
        assert number.ci[0] <= number.value <= number.ci[1]
    assert found.arrays["gamma"].shape == (6, 5, 5)
    assert set(found.pictures) == {"contour", "inputs"}


def test_one_input_and_none_drawn():
    found = InputContours(points=3, n_drawn=0).measure(convolutional().eval(), images(1), torch.tensor([3]))
    assert found.numbers["rise"].ci is None
    assert set(found.pictures) == {"contour"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"radius": 0}, "radius: 0"), ({"points": 2}, "points: 2"), ({"level": -1}, "level: -1"), ({"n_drawn": -1}, "n_drawn: -1")],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(UserError, match=says):
        InputContours(**wrong).check()
