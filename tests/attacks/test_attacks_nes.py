"""NES: its estimate by hand, in expectation and over batches; what leaves, what it costs, what it survives."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from robnas.attacks import NES, State, Victim, directions
from robnas.attacks.goal import Goal, margin
from robnas.errors import UserError
from small_victims import Linear, convolutional, images, trained


def estimate(attack, model, x, y, seed=0, index=None):
    s = State(x, Goal(y), torch.arange(len(x)) if index is None else index, seed)
    return attack.gradient(Victim.prepare(model).black_box(s, "score"), s)


def true_gradient(model, x, y):
    leaf = x.clone().requires_grad_(True)
    return torch.autograd.grad(Goal(y).losses(model(leaf)).sum(), leaf)[0]


def test_the_estimate_is_equation_10_written_out_plainly():
    """A loop over single images, each asked alone."""
    model, x, y = trained()
    x, y, attack = x[:3], y[:3], NES(n_queries=74, sigma=0.01)
    ours = estimate(attack, model, x, y)
    s = State(x, Goal(y), torch.arange(3))
    u = directions.gaussian(s.streams(37).reshape(-1), x).view(3, 37, *x.shape[1:])

    def loss(image, label):
        p = model(image[None]).softmax(1)[0]
        return torch.log((p.sum() - p[label]) / p[label])

    for i in range(3):
        total = torch.zeros_like(x[i])
        for j in range(37):
            total += (loss(x[i] + 0.01 * u[i, j], y[i]) - loss(x[i] - 0.01 * u[i, j], y[i])) * u[i, j]
        assert torch.allclose(ours[i], (total / (0.01 * 74)).detach(), rtol=1e-6, atol=1e-8)


def test_on_a_linear_model_it_is_exact_in_expectation():
    """Log-odds of a linear model are linear: ĝ = mean over pairs of (g·u)u, of mean g and variance ‖g‖² + g_i² over the pairs."""
    w = torch.randn(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = images(200, side=2)
    g = estimate(NES(n_queries=1000, sigma=0.05), Linear(w), x, torch.zeros(200, dtype=torch.int64)).flatten(1)
    deviation = ((w.square().sum() + w.square()) / (500 * 200)).sqrt()
    assert ((g.mean(0) + w).abs() < 4 * deviation).all()
    assert torch.allclose(g.var(0), 200 * deviation.square(), rtol=0.4)


def test_its_cosine_to_the_gradient_does_not_depend_on_the_number_of_inputs():
    model, x, y = trained()
    attack = NES(n_queries=100)
    truth = true_gradient(model, x[:64], y[:64])
    alone = [
        torch.cat([estimate(attack, model, x[i : i + n], y[i : i + n], index=torch.arange(i, i + n)) for i in range(0, 64, n)])
        for n in (1, 16, 64)
    ]
    cosines = torch.stack([cosine_similarity(g.flatten(1), truth.flatten(1)) for g in alone])
    assert (cosines.amax(0) - cosines.amin(0)).max() < 1e-9
    d, n = 192, 50
    assert cosines[0].mean() == pytest.approx((n / (n + d)) ** 0.5, abs=0.05)  # of n Gaussian directions in d dimensions


def test_outcomes_do_not_depend_on_the_batch():
    model, x, y = trained()
    attack = NES(12 / 255, steps=4, n_queries=40, n_restarts=2, random_start=True)
    whole = attack(model, x[:64], y[:64])
    assert 0 < whole.success.sum() < whole.eligible.sum()
    for size in (1, 16):
        other = attack(model, x[:64], y[:64], batch_size=size)
        assert torch.equal(whole.success, other.success)
        assert torch.equal(whole.queries, other.queries)
        assert torch.allclose(whole.x_adv, other.x_adv, atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("goal", ["untargeted", "most_likely"])
def test_stays_in_its_ball_and_counts_what_it_asks(norm, goal):
    model, x, y = trained()
    counting = Counting(model)
    eps = 12 / 255 if norm == "linf" else 0.6
    attack = NES(eps, eps / 3, steps=4, n_queries=30, goal=goal, norm=norm)
    victim = Victim(counting, counting, "counting")
    victim.judge(x[:60])  # what the referee asks once
    counting.seen = 0
    r = attack(victim, x[:60], y[:60])
    assert r.success.any()
    assert attack.distance(r.x_adv, x[:60]).max() <= eps + 1e-9
    assert 0 <= r.x_adv.min() <= r.x_adv.max() <= 1
    assert (r.gradients == 0).all()
    left = r.eligible & (r.queries < 4 * 31 + 1)
    assert counting.seen == 60 + int(r.queries.sum()) + int(left.sum())  # clean images, and what was found, once more for the referee
    assert left.any()
    assert ((r.queries[left] - 1) % 31 == 0).all()  # at the t-th look: t looks, and t − 1 steps of 30
    assert (r.queries[r.eligible & ~r.success] == 4 * 31 + 1).all()


def test_a_sure_model_in_float32_still_tells_its_slope():
    """Logits of hundreds: 1 − p is 0 in float32, the other classes' probabilities are not."""
    model, x, y = trained()
    model, x = copy.deepcopy(model).float(), x.float()
    sure = nn.Sequential(model, Times(6.0))
    right = (sure(x).softmax(1).amax(1) == 1) & (model(x).argmax(1) == y) & (margin(sure(x), y) < 80)  # beyond, all is below 1e-38
    assert right.sum() > 5
    x, y = x[right], y[right]
    cosines = cosine_similarity(estimate(NES(n_queries=400), sure, x, y).flatten(1), true_gradient(sure, x, y).flatten(1))
    assert cosines.min() > 0.4


def test_no_numbers_is_an_error_of_that_input_alone():
    model, x, y = trained()
    dark = Dark(model, x[3])
    r = NES(4 / 255, steps=2, n_queries=20)(Victim(dark, dark, "as given"), x[:8], y[:8])
    assert r.errored.tolist() == [i == 3 for i in range(8)]
    assert not r.success[3]


@pytest.mark.parametrize(
    ("bad", "said"), [({"n_queries": 25}, "n_queries: 25"), ({"sigma": 0}, "sigma: 0"), ({"confidence": 1}, "confidence: 1")]
)
def test_bad_arguments_are_named(bad, said):
    with pytest.raises(UserError, match=said):
        NES(**bad)


def test_directions_are_standard_normal():
    u = directions.gaussian(torch.arange(4000), torch.empty(1, 3, 5, 1, dtype=torch.float64)).flatten(1)
    assert u.shape == (4000, 15)
    assert u.mean().abs() < 0.02
    assert (torch.cov(u.T) - torch.eye(15)).abs().max() < 0.1
    assert float((u**4).mean()) == pytest.approx(3, abs=0.15)
    assert torch.equal(u[7:9], directions.gaussian(torch.arange(7, 9), torch.empty(1, 3, 5, 1, dtype=torch.float64)).flatten(1))


class Counting(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, 0

    def forward(self, x):
        self.seen += len(x)
        return self.model(x)


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Dark(nn.Module):
    """No numbers near one image, but on it itself."""

    def __init__(self, model, x):
        super().__init__()
        self.model, self.x = model, x

    def forward(self, x):
        far = (x - self.x).flatten(1).abs().amax(1)
        return self.model(x) + torch.where((far > 0) & (far < 0.2), torch.nan, 0.0)[:, None]


def test_a_model_of_another_shape():
    r = NES(0.1, 0.05, steps=2, n_queries=10)(convolutional(), images(3))
    assert r.eligible.all()
