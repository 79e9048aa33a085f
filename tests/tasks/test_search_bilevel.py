"""Gradients of α against references written by hand: torch.func for what is exact, the formula for what is not."""

import pytest
import torch
from torch.func import grad

from robnas.tasks import bilevel
from small_search import Problem, loss


def assert_close(ours, reference):
    for a, b in zip(ours, reference, strict=True):
        assert (a - b).abs().max() < 1e-12 * (1 + b.abs().max())


def virtual(p: Problem, alpha):
    """w' = w − ξ(μ b + ∇_w L_trn(w, α) + λ w), a function of α."""
    g = grad(loss)(p.w, alpha, p.train)
    b = p.inner.momenta or [torch.zeros_like(w) for w in p.w]
    return [w - 0.3 * (0.9 * b + g + 0.1 * w) for w, b, g in zip(p.w, b, g, strict=True)]


def free(p: Problem) -> Problem:
    """torch.func wants plain tensors."""
    q = Problem(momenta=bool(p.inner.momenta))
    q.w, q.alpha = [w.detach() for w in p.w], [a.detach() for a in p.alpha]
    return q


def test_first_order_is_the_gradient_at_the_weights_as_they_are():
    p = Problem()
    q = free(p)
    assert_close(bilevel.first_order(p.losses()[1], p.alpha), grad(loss, argnums=1)(q.w, q.alpha, q.valid))
    assert all(w.grad is None for w in p.w)


@pytest.mark.parametrize("momenta", [True, False])
def test_exact_second_order_differentiates_through_the_virtual_step(momenta):
    p = Problem(momenta=momenta)
    q = free(p)
    reference = grad(lambda alpha: loss(virtual(q, alpha), alpha, q.valid))(q.alpha)
    assert_close(bilevel.second_order(*p.losses(), p.alpha, p.inner, bilevel.exact), reference)


@pytest.mark.parametrize("momenta", [True, False])
def test_second_order_is_the_published_finite_difference(momenta):
    p = Problem(momenta=momenta)
    q = free(p)
    moved = virtual(q, q.alpha)
    v = grad(loss)(moved, q.alpha, q.valid)
    radius = 0.01 / torch.cat([t.flatten() for t in v]).norm()
    ahead, behind = (grad(loss, argnums=1)([w + s * radius * t for w, t in zip(q.w, v, strict=True)], q.alpha, q.train) for s in (1, -1))
    direct = grad(loss, argnums=1)(moved, q.alpha, q.valid)
    reference = [d - 0.3 * (a - b) / (2 * radius) for d, a, b in zip(direct, ahead, behind, strict=True)]
    for ours, theirs in zip(bilevel.second_order(*p.losses(), p.alpha, p.inner, bilevel.finite_difference), reference, strict=True):
        assert (ours - theirs).abs().max() < 1e-10  # a difference of nearly equal numbers over a small one


def test_the_finite_difference_approaches_the_exact_product(monkeypatch):
    p = Problem()
    exact = bilevel.second_order(*p.losses(), p.alpha, p.inner, bilevel.exact)
    errors = []
    for radius in (1e-1, 1e-2, 1e-3):
        monkeypatch.setattr(bilevel, "RADIUS", radius)
        approximate = bilevel.second_order(*p.losses(), p.alpha, p.inner, bilevel.finite_difference)
        errors.append(max((a - b).abs().max().item() for a, b in zip(approximate, exact, strict=True)))
    assert errors[1] < errors[0] / 50  # central: second order in the radius
    assert errors[2] < errors[1] / 50


@pytest.mark.parametrize("product", [bilevel.finite_difference, bilevel.exact])
def test_weights_come_back_bit_for_bit_and_get_no_gradient(product):
    p = Problem()
    before = [w.detach().clone() for w in p.w]
    bilevel.second_order(*p.losses(), p.alpha, p.inner, product)
    assert all(torch.equal(w, b) for w, b in zip(p.w, before, strict=True))
    assert all(t.grad is None for t in p.w + p.alpha)


def test_weights_come_back_when_a_pass_fails():
    p = Problem()
    before = p.w[0].detach().clone()

    def fail():
        with bilevel.moved(p.w, [torch.ones_like(w) for w in p.w]):
            assert torch.equal(p.w[0], before + 1)
            raise RuntimeError("here")

    with pytest.raises(RuntimeError, match="here"):
        fail()
    assert torch.equal(p.w[0], before)


def test_no_gradient_no_curvature():
    """‖v‖ = 0: the radius stays finite and the product is zero."""
    p = Problem()
    zero = [torch.zeros_like(w) for w in p.w]
    assert all(torch.equal(h, torch.zeros_like(h)) for h in bilevel.finite_difference(p.losses()[0], p.w, p.alpha, zero))


def test_the_virtual_step_is_the_step_that_sgd_takes():
    p = Problem()
    sgd = torch.optim.SGD(p.w, 0.3, momentum=0.9, weight_decay=0.1)
    for _ in range(2):  # without and with a momentum buffer
        for w, g in zip(p.w, bilevel.weight_gradient(p.losses()[0](), p.w), strict=True):
            w.grad = g
        inner = bilevel.Inner.of(sgd)
        expected = [w + by for w, by in zip(p.w, inner.step([w.grad for w in p.w]), strict=True)]
        sgd.step()
        assert_close([w.detach() for w in p.w], [e.detach() for e in expected])


def test_a_weight_that_is_not_used_has_gradient_zero():
    used, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    assert [g.tolist() for g in bilevel.weight_gradient(used.sum(), [used, unused])] == [[1, 1], [0, 0, 0]]


def test_every_pass_of_a_repeatable_loss_has_the_same_noise_and_takes_none_from_others():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    noisy = bilevel.repeatable(lambda: torch.rand(3), 7, torch.device("cpu"))
    assert torch.equal(noisy(), noisy())
    assert not torch.equal(noisy(), bilevel.repeatable(lambda: torch.rand(3), 8, torch.device("cpu"))())
    assert torch.equal(torch.rand(1), expected)
