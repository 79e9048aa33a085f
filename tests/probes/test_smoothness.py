"""Hessian norms against the dense Hessian's, Theorem 1 and the bound that holds by hand, all in float64."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from robnas.errors import UserError
from robnas.probes import hessian as iteration
from robnas.probes import secant
from robnas.probes.first_layer import FirstLayer
from robnas.probes.gradient_variance import GradientVariance
from robnas.probes.smoothness import Smoothness
from robnas.probes.zero_cost import ZeroCost
from small_victims import Linear, convolutional, images

MANY = {"steps": 400, "tol": 1e-12}


def small(seed: int = 0) -> nn.Sequential:
    """Smooth, normalises inside, 97 parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return (
            nn.Sequential(Scale(), nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 3)).double().eval()
        )


class Scale(nn.Module):
    def forward(self, x):
        return (x - 0.4) / 0.25


def inputs(n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    return images(n, side=4), torch.arange(n) % 3


def dense(model: nn.Module, x, y) -> torch.Tensor:
    named = {k: p.detach() for k, p in model.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(flat):
        parts = {k: part.view_as(p) for (k, p), part in zip(named.items(), flat.split(sizes), strict=True)}
        return cross_entropy(functional_call(model, parts, x), y)

    return torch.autograd.functional.hessian(loss, torch.cat([p.flatten() for p in named.values()]))


def dense_of_each(losses, start) -> torch.Tensor:
    """[B] spectral norms of the Hessians of losses(u, rows) in u."""
    found = []
    for i in range(len(start)):
        H = torch.autograd.functional.hessian(lambda u, i=i: losses(u, torch.tensor([i])).sum(), start[i : i + 1])
        found.append(torch.linalg.matrix_norm(H.reshape(start[0].numel(), -1), 2))
    return torch.stack(found)


def test_in_parameters_it_is_the_dense_hessian_s_norm():
    model, (x, y) = small(), inputs()
    found = iteration.in_parameters(model, x, y, **MANY)
    assert found.value == pytest.approx(float(torch.linalg.matrix_norm(dense(model, x, y), 2)), rel=1e-6)
    few = [iteration.in_parameters(model, x, y, steps=3, tol=1e-12, batch_size=b) for b in (2, 64)]
    assert few[0].value == pytest.approx(few[1].value, rel=1e-10)
    assert few[0].value < found.value  # cut off: from below, and it says so
    assert not few[0].converged


class Slope(nn.Module):
    """Logits (w x, 0): one parameter, so that the Hessian of an input is the number p (1 − p) x², p = σ(w x)."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, x):
        z = self.w * x.flatten(1)[:, :1]
        return torch.cat([z, torch.zeros_like(z)], 1)


def test_the_norm_s_interval_over_inputs_by_hand_and_by_a_bootstrap():
    x, y = torch.arange(1.0, 7.0, dtype=torch.float64).view(6, 1, 1, 1), torch.zeros(6, dtype=torch.int64)
    p = torch.sigmoid(0.7 * x.flatten())
    each = p * (1 - p) * x.flatten() ** 2
    found = iteration.in_parameters(Slope(), x, y, groups=16, **MANY)
    half = 2.570582 * float(each.std()) / 6**0.5  # t at five degrees of freedom
    assert found.value == pytest.approx(float(each.mean()))
    assert found.interval == pytest.approx((found.value - half, found.value + half), rel=1e-6)
    assert iteration.in_parameters(Slope(), x[:1], y[:1], groups=16, **MANY).interval is None

    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).double()  # its largest eigenvalue, along the mean image, stands apart
    nn.init.zeros_(model[1].weight)
    x, y = images(60, side=4) * torch.linspace(0.2, 1, 60, dtype=torch.float64).view(-1, 1, 1, 1), torch.arange(60) % 2
    found = iteration.in_parameters(model, x, y, groups=60, **MANY)
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(60):
        i = torch.randint(0, 60, (60,), generator=generator)
        drawn.append(iteration.in_parameters(model, x[i], y[i], steps=60, tol=1e-4).value)
    width = found.interval[1] - found.interval[0]
    assert width == pytest.approx(4 * float(torch.tensor(drawn).std()), rel=0.35)


def test_of_each_input_it_is_the_dense_hessian_s_norm_whoever_else_is_there():
    model, (x, y) = small(), inputs()

    def losses(u, rows):
        return cross_entropy(model(u), y[rows], reduction="none")

    found, ends = iteration.of_each(losses, x, torch.arange(5), **MANY)
    torch.testing.assert_close(found, dense_of_each(losses, x), rtol=1e-6, atol=0)
    assert ends.all()
    few = {"steps": 3, "tol": 1e-12}
    alone, unfinished = iteration.of_each(lambda u, r: losses(u, r + 3), x[3:4], torch.tensor([3]), **few)
    torch.testing.assert_close(alone[0], iteration.of_each(losses, x, torch.arange(5), **few)[0][3], rtol=1e-12, atol=0)
    assert not unfinished.any()
    assert alone[0] < found[3]  # cut off: from below


def test_eigenvalues_of_both_signs_and_none_at_all():
    index, start = torch.arange(2), torch.ones(2, 2, dtype=torch.float64)
    saddle, _ = iteration.of_each(lambda u, _: 3 * u[:, 0] * u[:, 1], start, index, **MANY)
    torch.testing.assert_close(saddle, torch.tensor([3.0, 3.0], dtype=torch.float64))
    flat, ends = iteration.of_each(lambda u, _: 5 * u[:, 0], start, index, **MANY)
    assert not flat.any()
    assert ends.all()


def test_the_first_layer_s_norm_is_that_of_its_matrix():
    model, (x, y) = small(), inputs()
    first = FirstLayer.find(model, x[:1], y[:1])
    assert first.layer is model[1]
    A = torch.autograd.functional.jacobian(first.answer, x[:1]).reshape(8, 48)
    assert first.norm(x[:1], steps=500, tol=1e-13) == pytest.approx(float(torch.linalg.matrix_norm(A, 2)), rel=1e-6)
    assert not any(m._forward_hooks for m in model.modules())


class Around(nn.Module):
    """The image reaches the end past the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1).double()

    def forward(self, x):
        return (self.layer(x) + x).mean((2, 3))


def test_what_has_no_such_first_layer():
    x, y = inputs(1)
    assert FirstLayer.find(Around(), x, y) is None
    bent = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(48, 3)).double()
    assert FirstLayer.find(bent, x, y) is None
    again = nn.Sequential(nn.Flatten(), layer := nn.Linear(48, 48), layer, nn.Linear(48, 3)).double()
    assert FirstLayer.find(again, x, y) is None
    assert FirstLayer.find(nn.Flatten(), x, y) is None


def test_the_sound_bound_holds_on_dense_hessians_and_is_met_where_it_is_tight():
    for seed in range(5):
        model, (x, y) = small(seed), inputs()
        first = FirstLayer.find(model, x[:1], y[:1])
        z = torch.zeros_like(first.answer(x))
        in_b = dense_of_each(lambda u, rows, f=first, x=x, y=y: f.losses(x[rows], y[rows], u), z)
        assert in_b.min() > 0
        in_x = dense_of_each(lambda u, rows, m=model, y=y: cross_entropy(m(u), y[rows], reduction="none"), x)
        assert (in_x <= first.norm(x[:1], steps=500, tol=1e-13) ** 2 * in_b * (1 + 1e-9)).all()
    Q = torch.linalg.qr(torch.randn(48, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    tight = nn.Sequential(nn.Flatten(), nn.Linear(48, 48), nn.Linear(48, 3)).double()
    with torch.no_grad():
        tight[1].weight.copy_(2 * Q)
    found = Smoothness(theorem_inputs=3, **MANY).measure(tight, x, y).numbers
    assert found["first_layer_norm"].value == pytest.approx(2, rel=1e-4)
    assert found["bound"].value == pytest.approx(1, rel=1e-3)


@pytest.mark.filterwarnings("ignore:smoothness. no first layer")  # the victim multiplies by hand
def test_theorem_1_by_hand_does_not_hold():
    """ℓ = log(1 + exp(±(w·x + b))), b frozen: ∇²_x ℓ = s w wᵀ, ∇²_w ℓ = s x xᵀ, so L_x √n / L_θ = √n ‖w‖² / ‖x‖²; w is normalised."""
    w = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64).repeat(12) / math.sqrt(48)
    x = images(4, side=4) / 10
    found = Smoothness(theorem_inputs=4, **MANY).measure(Linear(w), x, torch.tensor([0, 1, 1, 0])).numbers
    ratios = math.sqrt(48) / x.flatten(1).square().sum(1)
    assert found["theorem_1"].value == pytest.approx(float(ratios.quantile(0.5)), rel=1e-6)
    assert (found["theorem_1_broken"].value, found["theorem_1_broken"].n) == (1.0, 4)


def test_a_secant_is_the_second_derivative_of_a_quadratic_and_sees_a_kink():
    index, x = torch.arange(3), torch.full((3, 1), 0.1, dtype=torch.float64)
    how = {"steps": 3, "seed": ("s",)}
    torch.testing.assert_close(secant.of_each(lambda u: 2.5 * u[:, 0] ** 2, x, index, distance=0.3, **how), torch.full_like(x[:, 0], 5))
    kink = secant.of_each(lambda u: u[:, 0].abs(), x, index, distance=0.2, **how)
    assert set(kink.tolist()) <= {0.0, 10.0}  # from slope 1 to −1 within 0.2, where the step goes down
    near = secant.of_each(lambda u: u[:, 0].abs(), x, index, distance=0.05, **how)
    assert not near.any()


def test_a_secant_in_parameters_nears_the_hessian_s_norm_and_puts_the_weights_back():
    model, (x, y) = small(), inputs()
    before = copy.deepcopy(model.state_dict())
    found = secant.in_parameters(model, x, y, distance=1e-6, steps=300)
    assert found == pytest.approx(float(torch.linalg.matrix_norm(dense(model, x, y), 2)), rel=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))


def test_the_probe_changes_nothing_and_does_not_depend_on_batches():
    model, (x, y) = convolutional(3).eval(), inputs(6)
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    found, again = (Smoothness(theorem_inputs=2, batch_size=b).measure(model, x, y).numbers for b in (64, 4))
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.equal(state, torch.random.get_rng_state())
    assert found.keys() == again.keys()
    for name, number in found.items():
        assert number.value == pytest.approx(again[name].value, rel=1e-8), name
    assert found["bound"].value <= 1 + 1e-2
    assert found["lipschitz_input"].value <= found["lipschitz_input_largest"].value
    assert found["lipschitz_input"].ci[0] <= found["lipschitz_input"].value <= found["lipschitz_input"].ci[1]


@pytest.mark.parametrize("probe", [Smoothness(), GradientVariance(), ZeroCost()])
def test_a_model_without_weights_is_a_line(probe):
    x, y = inputs(4)
    with pytest.raises(UserError, match="the model has no weights"):
        probe.measure(nn.Flatten(), x, y)


def test_sixteen_bit_weights_are_measured_in_single_precision():
    model, (x, y) = small().bfloat16(), inputs()
    found = Smoothness(theorem_inputs=2).measure(model, x.bfloat16(), y).values
    same = Smoothness(theorem_inputs=2).measure(model.float(), x.bfloat16().float(), y).values
    assert found == same


def test_a_bound_from_iterations_that_were_cut_off_says_so():
    x, y = inputs()
    assert Smoothness(steps=1, theorem_inputs=2).measure(small(), x, y).numbers["bound"].flags == ("2 of 2 cut off",)
    assert Smoothness(steps=2000, tol=1e-6, theorem_inputs=2).measure(small(), x, y).numbers["bound"].flags == ()


def test_a_model_without_a_first_layer_has_no_bound_and_says_so():
    x, y = inputs(2)
    with pytest.warns(UserWarning, match="no first layer"):
        found = Smoothness(theorem_inputs=1).measure(Around(), x, y).numbers
    assert "bound" not in found
    assert "theorem_1" in found
    assert "theorem_1" not in Smoothness(theorem_inputs=0).measure(Around(), x, y).numbers


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"steps": 0}, "steps: 0"),
        ({"tol": 1}, "tol: 1"),
        ({"theorem_inputs": -1}, "theorem_inputs: -1"),
        ({"input_distance": 0}, "input_distance: 0"),
        ({"parameter_distance": 0}, "parameter_distance: 0"),
        ({"secant_steps": 0}, "secant_steps: 0"),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(UserError, match=says):
        Smoothness(**wrong).check()
