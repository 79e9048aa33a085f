"""Two ranks with half the batch each give one process's gradients; and each reduction is there for a reason."""

import pytest
import torch

from ranks import run_on_ranks
from robnas.tasks import bilevel
from small_search import Problem

FORMS = {
    "weights": (lambda p, train, valid: bilevel.weight_gradient(train(), p.w), 1),
    "first": (lambda p, train, valid: bilevel.first_order(valid, p.alpha), 1),
    "second": (lambda p, train, valid: bilevel.second_order(train, valid, p.alpha, p.inner, bilevel.finite_difference), 3),
    "exact": (lambda p, train, valid: bilevel.second_order(train, valid, p.alpha, p.inner, bilevel.exact), 3),
}


def gradients(rank: int = 0, world_size: int = 1) -> dict[tuple[str, int], list[torch.Tensor]]:
    """(form, reduction left out or −1) → the gradient. Every rank leaves out the same."""
    real, out = bilevel.mean_, {}
    for form, (compute, reductions) in FORMS.items():
        for left_out in range(-1, reductions):
            calls = iter(range(reductions))
            bilevel.mean_ = lambda tensors, n=left_out, calls=calls: None if next(calls) == n else real(tensors)
            out[form, left_out] = compute(p := Problem(), *p.losses(rank, world_size))
            assert not list(calls), "a reduction more or fewer than is tested here"
    bilevel.mean_ = real
    return out


def distance(a, b):
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def two_ranks():
    return run_on_ranks(gradients, 2, 2)


@pytest.mark.parametrize("form", FORMS)
def test_two_ranks_equal_one_process(form, two_ranks):
    one = gradients()[form, -1]
    for rank in two_ranks:
        assert distance(rank[form, -1], one) < 1e-12


@pytest.mark.parametrize(("form", "left_out"), [(form, k) for form, (_, n) in FORMS.items() for k in range(n)])
def test_a_reduction_left_out_is_seen(form, left_out, two_ranks):
    one = gradients()[form, -1]
    assert max(distance(rank[form, left_out], one) for rank in two_ranks) > 1e-4
