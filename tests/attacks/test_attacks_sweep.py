"""Several radii in one pass: each as it would be alone, but for what a smaller one broke."""

from itertools import pairwise

import pytest
import torch

from robnas.attacks import APGD, PGD, Ensemble, EpsSweep, Square, Victim
from robnas.errors import UserError
from small_victims import trained

RADII = [8 / 255, 2 / 255, 4 / 255, 12 / 255]


def pgd(**kwargs) -> PGD:
    return PGD(steps=4, n_restarts=2, **kwargs)


@pytest.mark.parametrize("goal", ["untargeted", "least_likely"])
def test_what_is_attacked_ends_as_it_would_alone(goal):
    model, x, y = trained()
    curve = EpsSweep(pgd(goal=goal), RADII)(model, x, y)
    assert list(curve) == sorted(RADII)
    broken, wrong = torch.zeros(200, dtype=torch.bool), torch.zeros(200, dtype=torch.bool)
    for eps, r in curve.items():
        alone = pgd(eps=eps, step_size=eps / 3, goal=goal)(model, x, y)
        attacked = ~broken
        for name in ("success", "queries", "gradients", "eligible", "errored"):
            assert torch.equal(getattr(r, name)[attacked], getattr(alone, name)[attacked]), (name, eps)
        assert torch.equal(r.x_adv[~wrong], alone.x_adv[~wrong])
        assert r.success[broken].all()
        assert (r.queries[broken] == 0).all()
        assert (r.distance[broken] <= eps).all()
        assert not r.robust[r.success & (goal == "untargeted")].any()
        assert (model(r.x_adv).argmax(1) != y)[~r.robust].all()
        broken, wrong = r.success, r.correct & ~r.robust
    shares = list(curve.asr().values())
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] or goal != "untargeted"


def test_not_nested_is_single_runs():
    model, x, y = trained()
    curve = EpsSweep(pgd(), RADII, step_per_eps=None, nested=False)(model, x, y)
    for eps, r in curve.items():
        alone = pgd(eps=eps)(model, x, y)
        for name, value in alone.outcomes().items():
            assert torch.allclose(getattr(r, name).double(), value.double(), equal_nan=True), name


def test_it_costs_less_than_single_runs_and_judges_clean_images_once():
    model, x, y = trained()
    victim = Victim.prepare(model)
    seen = []
    judge = victim.judge
    victim.judge = lambda images: seen.append(images) or judge(images)
    EpsSweep(pgd(), RADII)(victim, x, y)
    assert sum(torch.equal(images, x) for images in seen) == 1
    queries = [sum(int(r.queries.sum()) for r in EpsSweep(pgd(), RADII, nested=nested)(victim, x, y).values()) for nested in (True, False)]
    assert queries[0] < queries[1]


def test_the_smallest_radius_that_breaks():
    model, x, y = trained()
    curve = EpsSweep(pgd(), RADII)(model, x, y)
    least = curve.outcomes()["least_eps"]
    for eps, r in curve.items():
        assert torch.equal(least <= eps, r.success)


@pytest.mark.parametrize(
    "attack", [APGD(steps=5), Square(n_queries=20), Ensemble(steps=4, n_targets=2, n_queries=10)], ids=lambda a: a.name
)
def test_every_attack_can_be_swept(attack):
    model, x, y = trained()
    eps = attack.eps
    curve = EpsSweep(attack, [2 / 255, 1.0])(model, x[:20], y[:20])
    assert attack.eps == eps
    last = curve[1.0]
    assert (last.success | ~last.eligible).double().mean() > (0.9 if attack.access == "white" else 0.3)


def test_an_input_that_errs_in_a_small_ball_is_tried_again_in_a_larger_one():
    class Ring(torch.nn.Module):
        """No numbers between 0.45 and 0.49, another class below."""

        def forward(self, x):
            z = x.flatten(1).mean(1)
            return torch.stack([z - 0.45 + torch.where((z > 0.45) & (z < 0.49), torch.nan, 0.0), z * 0], 1)

    x = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    attack = PGD(steps=1, n_restarts=1, random_start=False)
    curve = EpsSweep(attack, [0.02, 0.1], step_per_eps=1.0)(Ring(), x)
    small, large = curve.values()
    assert (small.errored.item(), small.success.item()) == (True, False)
    assert (large.errored.item(), large.success.item()) == (False, True)


def test_robust_at_a_larger_radius_only_if_at_all_smaller_ones():
    model, x, y = trained()
    curve = EpsSweep(pgd(goal="least_likely"), RADII)(model, x, y)
    results = list(curve.values())
    for small, large in pairwise(results):
        assert not (large.robust & ~small.robust).any()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: EpsSweep(PGD(), []), "no radius"),
        (lambda: EpsSweep(PGD(), [8]), "8/255"),
        (lambda: EpsSweep(PGD(), [0.1], step_per_eps=-1), "step_per_eps: -1"),
    ],
)
def test_bad_arguments_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
