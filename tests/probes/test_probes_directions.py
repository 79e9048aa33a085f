"""Two directions: as long as they must be, and orthogonal."""

import math

import pytest
import torch
from torch import nn

from robnas import seeds
from robnas.probes import directions
from small_victims import convolutional, images


def weights(dtype=torch.float64) -> dict[str, torch.Tensor]:
    return {name: p.detach().to(dtype) for name, p in convolutional().named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_filter_is_as_long_as_the_model_s_own_and_the_two_are_orthogonal(dtype):
    own = weights(dtype)
    found = directions.of_weights(own, "seed", 0)
    assert list(found) == ["0.weight", "3.weight", "8.weight"]  # neither biases nor norms
    total = 0.0
    for name, pair in found.items():
        for d in pair:
            assert (d.shape, d.dtype) == (own[name].shape, dtype)
            torch.testing.assert_close(d.flatten(1).norm(dim=1), own[name].flatten(1).norm(dim=1))
        per_filter = (pair[0] * pair[1]).flatten(1).sum(1).abs() / own[name].flatten(1).square().sum(1)
        assert per_filter.max() < 1e-6
        total += float((pair[0] * pair[1]).sum())
    assert abs(total) < 1e-5


def test_a_weight_s_directions_depend_on_its_name_and_the_seed_alone():
    own = weights()
    all_of_them, one = directions.of_weights(own, 1), directions.of_weights({"3.weight": own["3.weight"]}, 1)
    assert torch.equal(all_of_them["3.weight"][1], one["3.weight"][1])
    assert not torch.equal(one["3.weight"][0], directions.of_weights({"3.weight": own["3.weight"]}, 2)["3.weight"][0])
    assert list(directions.of_weights(own, 1, layers="first")) == ["0.weight"]


def test_filters_of_one_weight_are_taken_together():
    w = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64).view(3, 1, 1, 1)
    one, two = directions.filter_normalised(w, seeds.generator("d"))
    assert float(one.norm()) == pytest.approx(5)
    assert float(two.norm()) == pytest.approx(5)
    assert abs(float((one * two).sum())) < 1e-12
    alone = directions.filter_normalised(w[:1], seeds.generator("d"))
    assert float(alone[0].abs()) == pytest.approx(3)
    assert float(alone[1]) == 0  # a line has no second direction


def test_a_filter_of_zeros_does_not_move():
    w = torch.zeros(2, 3, dtype=torch.float64)
    w[1] = 1
    for d in directions.filter_normalised(w, seeds.generator("d")):
        assert not d[0].any()
        assert float(d[1].norm()) == pytest.approx(math.sqrt(3))


def test_halves_are_plus_and_minus_one_equally_often_and_orthogonal():
    one, two = directions.halves(torch.zeros(3, 3, 3), seeds.generator("d"))  # 27 weights: 24 and three that stay
    for d in (one, two):
        assert [int((d == s).sum()) for s in (-1, 0, 1)] == [12, 3, 12]
    assert float((one * two).sum()) == 0


def test_directions_that_are_not_orthogonal_are_refused(monkeypatch):
    monkeypatch.setattr(directions, "filter_normalised", lambda w, g: (torch.ones_like(w), torch.ones_like(w)))
    with pytest.raises(ArithmeticError, match="d₁ · d₂"):
        directions.of_weights(weights(), 0)


def test_of_inputs_a_step_is_the_rms_change_of_a_pixel_and_each_input_has_its_own():
    x = images(5)
    index = torch.tensor([3, 8, 1, 0, 2])
    one, two = directions.of_inputs(index, x, "seed")
    for d in (one, two):
        torch.testing.assert_close(d.square().mean((1, 2, 3)), torch.ones(5, dtype=torch.float64))
    assert (one * two).mean((1, 2, 3)).abs().max() < 1e-12
    alone = directions.of_inputs(index[1:2], x[1:2], "seed")
    assert torch.equal(alone[0][0], one[1])
    assert torch.equal(alone[1][0], two[1])
    assert abs(float((one[0] * one[1]).mean())) < 0.5


def test_a_layer_of_torch_s_own_is_of_filters_too():
    found = directions.of_weights(dict(nn.Linear(4, 2).named_parameters()), 0)
    assert list(found) == ["weight"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_weights_are_as_orthogonal_as_their_rounding(dtype):
    for seed in range(20):
        directions.of_weights({"w": torch.randn(2, 3, 3, 3).to(dtype)}, seed)
