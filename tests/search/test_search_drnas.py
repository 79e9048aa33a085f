"""DrNAS: mean, draws and KL divergence by hand and against torch.distributions, pathwise gradients, what its stages do."""

import math

import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence
from torch.nn.functional import cross_entropy, elu

from robnas.errors import UserError
from robnas.search.base import Relaxed
from robnas.search.drnas import DrNAS, concentration, dirichlet, divergence_from_uniform
from robnas.space.search_space import Space

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"), nodes=1)  # two edges
ALPHA = [[1.0, 0.0, -math.log(2), 0.5], [0.0, 2.0, -1.0, 0.0]]
N = 20_000  # draws
T, F = True, False


def drnas(alpha: list[list[float]] = ALPHA, **arguments) -> DrNAS:
    searcher = DrNAS(**{"keep": (2,), **arguments})
    searcher.build(SPACE, seed=0)
    for parameter in searcher.alpha.values():
        parameter.data = torch.tensor(alpha, dtype=torch.float64)
    return searcher


def draws(beta: list[float], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """β [N, O], a leaf, and θ [N, O]."""
    rows = torch.tensor(beta, dtype=torch.float64).expand(N, -1).clone().requires_grad_()
    return rows, dirichlet(rows, torch.Generator().manual_seed(seed))


def assert_mean(samples: torch.Tensor, expected: torch.Tensor) -> None:
    """Mean of the rows, within five of its standard errors."""
    error = samples.std(0) / math.sqrt(len(samples))
    assert ((samples.mean(0) - expected).abs() <= 5 * error + 1e-12).all()


def test_concentration_by_hand_and_as_elu():
    assert concentration(torch.tensor([[2.0, 0.0, -math.log(4), -torch.inf]])).tolist() == [pytest.approx([3, 1, 0.25, 0])]
    alpha = torch.arange(-40, 41, dtype=torch.float64).mul(0.1).requires_grad_()
    ours, theirs = concentration(alpha), elu(alpha) + 1
    assert torch.allclose(ours, theirs, rtol=1e-14)
    assert torch.allclose(*(torch.autograd.grad(f.sum(), alpha)[0] for f in (ours, theirs)))  # at α = 0 too
    assert concentration(torch.tensor(-30.0)) > 0  # where 1 + expm1(−30) is 0 in float32


def test_the_mean_by_hand_is_what_cells_derive_from():
    weights = drnas().weights()["normal"]  # β = (2, 1, ½, 3/2), sum 5
    assert weights[0].tolist() == pytest.approx([0.4, 0.2, 0.1, 0.3])
    assert torch.allclose(weights, Dirichlet(elu(torch.tensor(ALPHA, dtype=torch.float64)) + 1).mean)
    genotype = drnas().derive()
    assert {tuple(edge) for edge in genotype.normal.nodes[0]} == {("sep_conv_5x5", 0), ("skip_connect", 1)}


def test_what_is_dropped_leaves_the_mean_of_the_others():
    searcher = drnas()
    searcher.alive = {"normal": torch.tensor([[F, T, F, T], [T, T, T, T]])}
    weights = searcher.weights()["normal"]
    assert weights[0].tolist() == pytest.approx([0, 1 / 2.5, 0, 1.5 / 2.5])
    searcher.eval()
    assert torch.equal(searcher.mixture().weights["normal"], weights)  # a supernet is evaluated at the mean


def test_draws_have_the_moments_of_the_distribution():
    beta, theta = draws([2.0, 1.0, 0.5, 1.5])
    theta = theta.detach()
    stranger = Dirichlet(beta[0].detach())
    assert theta.sum(-1).allclose(torch.ones(N, dtype=torch.float64))
    assert_mean(theta, stranger.mean)
    assert_mean((theta - stranger.mean).square(), stranger.variance)


def test_draws_of_the_survivors_are_draws_of_all_cut_down_to_them():
    """The aggregation property, against torch's draws of all."""
    _, ours = draws([2.0, 0.0, 0.5, 1.5])
    ours = ours.detach()[:, [0, 2, 3]]
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        every = Dirichlet(torch.tensor([2.0, 1.0, 0.5, 1.5], dtype=torch.float64)).sample((N,))
    theirs = every[:, [0, 2, 3]] / every[:, [0, 2, 3]].sum(-1, keepdim=True)
    survivors = Dirichlet(torch.tensor([2.0, 0.5, 1.5], dtype=torch.float64))
    for sample in (ours, theirs):
        assert_mean(sample, survivors.mean)
        assert_mean((sample - survivors.mean).square(), survivors.variance)


@pytest.mark.parametrize("beta", [[2.0, 1.0, 0.5, 1.5], [0.3, 4.0, 0.0, 1.0]])
def test_the_pathwise_gradient_is_that_of_the_expected_value(beta):
    """E Σ cᵢθᵢ² = Σ cᵢ βᵢ(βᵢ + 1) / (s(s + 1)) with s = Σβ: its derivative by finite differences, against the mean over draws."""
    c = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)

    def expected(b: torch.Tensor) -> torch.Tensor:
        return (c * b * (b + 1)).sum() / (b.sum() * (b.sum() + 1))

    rows, theta = draws(beta)
    (gradient,) = torch.autograd.grad((c * theta.square()).sum(), rows)
    center, h = rows[0].detach(), 1e-6
    alive = center > 0
    steps = torch.eye(4, dtype=torch.float64) * h
    differences = torch.stack([(expected(center + s) - expected(center - s)) / (2 * h) for s in steps])
    assert_mean(gradient[:, alive], differences[alive])
    assert gradient[:, ~alive].count_nonzero() == 0


def test_the_divergence_by_hand():
    """β = (2, 1): ln Γ(3) − ln Γ(2) + (ψ(2) − ψ(3)) = ln 2 − ½; β = (2, 1, 1) has ln 6 − ln 2 − ⅚: ψ(2) − ψ(4) = −½ − ⅓."""
    beta = torch.tensor([[2.0, 1.0, 7.0], [2.0, 1.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    alive = torch.tensor([[T, T, F], [T, T, T], [T, T, T]])
    assert divergence_from_uniform(beta, alive).tolist() == pytest.approx([math.log(2) - 0.5, math.log(3) - 5 / 6, 0.0])


def test_the_divergence_against_torch():
    beta = concentration(torch.randn(20, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    alive = torch.tensor([T, T, F, T, T, F, T]).expand(20, -1)
    for mask in (alive, torch.ones_like(alive)):
        mine = beta[:, mask[0]]
        assert torch.allclose(divergence_from_uniform(beta, mask), kl_divergence(Dirichlet(mine), Dirichlet(torch.ones_like(mine))))
    assert torch.autograd.gradcheck(lambda b: divergence_from_uniform(b, alive), beta.requires_grad_())


def test_near_uniform_the_divergence_is_the_quadratic_form_that_the_docstring_says():
    alpha = 1e-3 * torch.tensor([[1.0, -2.0, 0.5, 3.0]], dtype=torch.float64)
    form = math.pi**2 / 12 * alpha.square().sum() - float(torch.polygamma(1, torch.tensor(4.0))) / 2 * alpha.sum() ** 2
    found = divergence_from_uniform(1 + alpha, torch.ones(1, 4, dtype=torch.bool))
    assert found.item() == pytest.approx(form.item(), rel=1e-2)


def test_the_architecture_loss_is_the_cross_entropy_and_the_divergence_of_both_cells():
    logits = torch.tensor([[1.0, -1.0], [0.0, 2.0]], dtype=torch.float64)
    y = torch.tensor([0, 1])
    searcher = drnas(divergence=0.1)
    stranger = Dirichlet(elu(torch.tensor(ALPHA, dtype=torch.float64)) + 1)
    kl = kl_divergence(stranger, Dirichlet(torch.ones(2, 4, dtype=torch.float64))).sum()
    loss = searcher.loss(lambda x: logits, torch.zeros(2, 1), y)
    assert loss.item() == pytest.approx((cross_entropy(logits, y) + 0.1 * 2 * kl).item())
    loss.backward()
    assert all(alpha.grad.count_nonzero() > 0 for alpha in searcher.alpha.values())
    assert drnas(divergence=0).loss(lambda x: logits, torch.zeros(2, 1), y).item() == pytest.approx(cross_entropy(logits, y).item())


def test_one_draw_a_step_whatever_the_pass_and_others_for_other_steps_and_kinds():
    searcher, again, other = drnas(), drnas(), drnas()
    other.seed = 1
    for s in (searcher, again, other):
        s.step = 3
    one = searcher.mixture().weights
    for s, same in ((searcher, True), (again, True), (other, False)):
        assert torch.equal(s.mixture().weights["normal"], one["normal"]) is same
    assert not torch.equal(one["normal"], one["reduce"])
    searcher.step = 4
    assert not torch.equal(searcher.mixture().weights["normal"], one["normal"])
    assert torch.equal(searcher.weights()["normal"], again.weights()["normal"])  # what cells derive from is not drawn


def test_gamma_damps_the_weight_that_was_drawn():
    plain, damped = drnas().mixture().weights["normal"], drnas(gamma=0.25).mixture().weights["normal"]
    assert torch.allclose(damped, plain * torch.tensor([1, 0.25, 1, 1]))


def test_draws_sum_to_one_over_the_survivors_and_reach_alpha():
    searcher = drnas()
    searcher.alive = {kind: torch.tensor([[F, T, F, T], [T, T, F, F]]) for kind in ("normal", "reduce")}
    weights = searcher.mixture().weights["normal"]
    assert weights.sum(-1).tolist() == pytest.approx([1, 1])
    assert torch.equal(weights != 0, searcher.alive["normal"])
    weights[0, 1].backward()
    gradient = searcher.alpha["normal"].grad
    assert torch.equal(gradient != 0, torch.tensor([[F, T, F, T], [F] * 4]))


def test_the_supernet_widens_and_operations_are_dropped_at_the_border():
    searcher = drnas()
    stages = [searcher.stage(epoch, 50) for epoch in (0, 24, 25, 49)]
    assert [(s.number, s.first, s.epochs, s.layers, s.partial, s.fresh) for s in stages] == [(0, 0, 25, 0, 6, F)] * 2 + [
        (1, 25, 25, 0, 4, F)
    ] * 2
    for epoch in range(25):
        searcher.epoch_start(epoch, 50)
        assert searcher.alive == {}
    searcher.epoch_start(25, 50)
    alive = searcher.alive
    assert alive["normal"].tolist() == [[T, F, F, T], [T, T, F, F]]  # β = (2, 1, ½, 3/2) and (1, 3, e⁻¹, 1); of equals the earlier
    assert searcher.alpha["normal"].tolist() == ALPHA  # goes on
    searcher.epoch_start(26, 50)
    assert searcher.alive is alive


def test_a_resumed_search_stands_where_it_stood():
    one = drnas()
    one.epoch_start(25, 50)
    two = Relaxed.of(one.to_config())
    two.build(SPACE, 0)
    two.double()
    two.rebuild(one.state())
    two.load_state_dict(one.state_dict())
    one.step = two.step = 11
    for kind in ("normal", "reduce"):
        assert torch.equal(one.mixture().weights[kind], two.mixture().weights[kind])
        assert torch.equal(one.mixture().alive[kind], two.mixture().alive[kind])
    assert one.figures() == two.figures()
    assert one.derive() == two.derive()


def test_to_keep_as_many_operations_as_there_are_drops_none_and_is_refused():
    with pytest.raises(UserError, match=r"^keep: 4 operations on an edge drop none of the space's 4; allowed: fewer than 4$"):
        drnas(keep=(4,))


def test_every_stage_needs_an_epoch():
    with pytest.raises(UserError, match=r"^trainer\.max_epochs: 1 epochs leave out some of 2 stages; allowed: at least 2$"):
        DrNAS().require_time(1)
    DrNAS().require_time(2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"damp": "alpha"}, "damp: alpha is not defined for a Dirichlet distribution; allowed: weight"),
        ({"partial": (6, 0)}, "partial"),
        ({"partial": (), "keep": ()}, "partial: there is no stage"),
        ({"keep": ()}, "keep"),
        ({"keep": (1,)}, "leaves fewer than 2"),
        ({"divergence": -1.0}, "divergence: -1.0 is negative"),
    ],
)
def test_wrong_values_are_said_in_one_line(wrong, says):
    with pytest.raises(UserError, match=says) as error:
        DrNAS(**wrong)
    assert "\n" not in str(error.value)
