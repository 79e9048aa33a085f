"""Eq. 12 against closed forms and the plain loop, in float64: folding and moving in place change nothing."""

import copy

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn.functional import cross_entropy

from robnas.errors import UserError
from robnas.probes import surface
from robnas.probes.contours import Contours
from robnas.probes.directions import of_weights
from robnas.probes.scan import poisson, prepared, scan
from small_victims import convolutional, images

GRID = surface.steps(0.5, 5)


def network(seed: int = 0) -> nn.Module:
    model = convolutional(seed=seed).eval()
    with torch.no_grad():
        model[1].weight[::2] *= -1  # folding turns these filters round
    return model


def labels(n: int = 32) -> torch.Tensor:
    return torch.randint(0, 10, (n,), generator=torch.Generator().manual_seed(1))


def by_loop(model: nn.Module, x, y, grid, along) -> np.ndarray:
    found = np.empty((len(grid), len(grid)))
    for i, a in enumerate(grid):
        for j, b in enumerate(grid):
            moved = copy.deepcopy(model)
            with torch.no_grad():
                for name, p in moved.named_parameters():
                    if name in along:
                        p += a * along[name][0] + b * along[name][1]
                found[i, j] = cross_entropy(moved(x), y)
    return found


def test_equals_the_plain_loop_and_its_middle_the_plain_loss():
    model, x, y = network(), images(), labels()
    along = of_weights(dict(model.named_parameters()), 0)
    assert isinstance(prepared(model, x, along)[0], fx.GraphModule)  # BatchNorm is folded here
    gamma, _ = scan(model, x, y, GRID, along, batch_size=7)
    np.testing.assert_allclose(gamma, by_loop(model, x, y, GRID, along), rtol=1e-10)
    assert gamma[2, 2] == pytest.approx(float(cross_entropy(model(x), y).detach()), rel=1e-12)


def test_a_quadratic_loss_gives_the_analytic_contour():
    g = torch.Generator().manual_seed(3)
    model = nn.Linear(6, 2, bias=False).double()
    x, t = torch.rand(20, 6, generator=g, dtype=torch.float64), torch.rand(20, 2, generator=g, dtype=torch.float64)
    along = of_weights(dict(model.named_parameters()), 0)
    W, (one, two) = model.weight.detach(), along["weight"]
    S, c = x.T @ x / 20, t.T @ x / 20
    analytic = np.empty((5, 5))
    for i, a in enumerate(GRID):
        for j, b in enumerate(GRID):
            V = W + a * one + b * two
            analytic[i, j] = (V @ S * V).sum() - 2 * (c * V).sum() + t.square().sum() / 20
    gamma, _ = scan(model, x, t, GRID, along, loss=lambda out, t: (out - t).square().sum(1))
    np.testing.assert_allclose(gamma, analytic, rtol=1e-12)
    H = np.array([[2 * float((p @ S * q).sum()) for q in (one, two)] for p in (one, two)])  # ∇²Γ, everywhere
    found = surface.numbers(gamma, GRID, 1.0)
    assert found["curvature"] == pytest.approx(np.trace(H) / 2)
    assert found["lipschitz"] == pytest.approx(np.linalg.norm(H, 2))
    assert found["convex"] == 1


def test_batches_change_nothing_bootstraps_included_and_no_batch_is_larger_than_asked():
    model, x, y = network(), images(), labels()
    along, seen = of_weights(dict(model.named_parameters()), 0), []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x):
            seen.append(len(x)) if isinstance(x, torch.Tensor) else None
            return self.inner(x)

    watched = {f"inner.{name}": pair for name, pair in along.items()}
    answered = []

    def loss(logits, y):
        answered.append(len(logits))  # also where the network is folded, and is no `Watched` any more
        return cross_entropy(logits, y, reduction="none")

    one, both = scan(model, x, y, GRID, along, resamples=9), scan(Watched(), x, y, GRID, watched, batch_size=5, resamples=9, loss=loss)
    np.testing.assert_allclose(one[0], both[0], rtol=1e-10)
    np.testing.assert_allclose(one[1], both[1], rtol=1e-10)
    assert 0 < max(seen) <= 5
    assert set(answered) == {5, len(x) % 5}
    assert one[1].shape == (9, 5, 5)
    assert one[1].std(0).min() > 0


def test_the_bootstrap_of_the_middle_spreads_as_the_mean_does():
    model, x, y = network(), images(), labels()
    along = of_weights(dict(model.named_parameters()), 0)
    drawn = scan(model, x, y, surface.steps(0.1, 3), along, resamples=2000)[1][:, 1, 1]
    with torch.no_grad():
        losses = cross_entropy(model(x), y, reduction="none")
    assert drawn.mean() == pytest.approx(float(losses.mean()), rel=0.01)
    assert drawn.std() == pytest.approx(float(losses.std()) / np.sqrt(32), rel=0.15)


def test_poisson_counts_have_mean_and_variance_one_and_are_an_input_s_own():
    drawn = poisson(torch.arange(300), 300)
    assert float(drawn.mean()) == pytest.approx(1, abs=0.02)
    assert float(drawn.var()) == pytest.approx(1, abs=0.02)
    assert float((drawn == 0).double().mean()) == pytest.approx(np.exp(-1), abs=0.01)
    assert torch.equal(poisson(torch.tensor([7]), 300)[0], drawn[7])


class Stubborn(nn.Module):
    """Cannot be traced: control flow that depends on pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x):
        return self.body(x) if float(x.sum()) > 0 else self.body(-x)


class Scaled(nn.Conv2d):
    """A layer of the user's own that is no convolution in its weights."""

    def forward(self, x):
        return super().forward(x) * self.weight.abs().mean()


@pytest.mark.parametrize("kind", [Stubborn, Scaled])
def test_what_cannot_be_folded_is_moved_as_it_is(kind):
    model = kind() if kind is Stubborn else network()
    if kind is Scaled:
        model[3] = Scaled(8, 16, 3, stride=2, padding=1).double()
    x, y = images(8), labels(8)
    along = of_weights(dict(model.named_parameters()), 0)
    np.testing.assert_allclose(scan(model, x, y, GRID, along)[0], by_loop(model, x, y, GRID, along), rtol=1e-10)


def test_a_folding_that_gives_other_logits_is_not_used(monkeypatch):
    from robnas.probes import scan as module

    def wrong(model):
        model[8].bias.data += 1 + torch.arange(10)
        return model, 0, []

    model, x, y = network(), images(8), labels(8)
    along = of_weights(dict(model.named_parameters()), 0)
    monkeypatch.setattr(module, "fold", wrong)
    np.testing.assert_allclose(scan(model, x, y, GRID, along)[0], by_loop(model, x, y, GRID, along), rtol=1e-10)


def test_the_probe_changes_nothing_and_has_numbers_intervals_arrays_and_a_picture():
    model, x, y = network(), images(), labels()
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    found = Contours(points=5, resamples=50).measure(model, x, y)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert set(found.numbers) == {"rise", "flat", "curvature", "lipschitz", "convex", "centre"}
    for number in found.numbers.values():
        assert number.n == 32
        assert number.ci[0] <= number.ci[1]
    assert found.numbers["centre"].ci[0] < found.numbers["centre"].value < found.numbers["centre"].ci[1]
    assert found.arrays["gamma"].shape == (5, 5)
    assert found.arrays["grid"].tolist() == surface.steps(0.25, 5).tolist()
    assert set(found.pictures) == {"contour"}


def test_a_loss_that_overflows_is_no_number():
    model, x, y = network().float(), images(8).float(), labels(8)
    with torch.no_grad():
        model[8].weight *= 1e37
    found = Contours(points=3, resamples=5, radius=1000).measure(model, x, y)
    assert found.numbers["rise"].value is None
    assert found.numbers["rise"].flags


def test_the_authors_way_moves_the_first_layer_of_one_image():
    model, x, y = network(), images(1), labels(1)
    found = Contours(points=3, directions="halves", layers="first", n_samples=1).measure(model, x, y)
    along = of_weights(dict(model.named_parameters()), "contours", 0, layers="first", kind="halves")
    np.testing.assert_allclose(found.arrays["gamma"], by_loop(model, x, y, surface.steps(0.25, 3), along), rtol=1e-10)
    assert found.numbers["rise"].ci is None  # one input has no spread to see


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"radius": -1}, "radius: -1"),
        ({"points": 20}, "points: 20"),
        ({"level": 0}, "level: 0"),
        ({"layers": "frist"}, "'first'"),
        ({"directions": "filters"}, "'filter'"),
        ({"resamples": -1}, "resamples: -1"),
        ({"batch_size": 0}, "batch_size: 0"),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(UserError, match=says):
        Contours(**wrong).check()
