"""PPO's clip by hand, and what a step of NASNet's controller is."""

import pytest
import torch

from robnas.search.nasnet import NASNet, clipped
from small_sampled import ARMS, all_decisions


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.2),  # inside: r A; its slope in log r is r A
        (1.5, 2.0, 2.4, 0.0),  # good, and likely enough already: 1.2 · 2
        (0.5, 2.0, 1.0, 1.0),  # good, and too unlikely: nothing holds it back
        (0.5, -2.0, -1.6, 0.0),  # bad, and unlikely enough already: 0.8 · −2
        (1.5, -2.0, -3.0, -3.0),  # bad, and too likely
        (0.9, -2.0, -1.8, -1.8),
    ],
)
def test_the_objective_by_hand(ratio, advantage, value, slope):
    log_ratio = torch.tensor([ratio], dtype=torch.float64).log().requires_grad_()
    objective = clipped(log_ratio, torch.tensor([advantage], dtype=torch.float64), clip=0.2)
    (gradient,) = torch.autograd.grad(objective.sum(), log_ratio)
    assert objective.item() == pytest.approx(value, abs=1e-12)
    assert gradient.item() == pytest.approx(slope, abs=1e-12)


def nasnet(**arguments) -> NASNet:
    searcher = NASNet(**{"hidden": 4} | arguments)
    searcher.build(ARMS, seed=0)
    for parameter in searcher.controller.parameters():
        parameter.data *= 10
    return searcher


def gradient(searcher: NASNet) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in searcher.controller.parameters()])


def test_the_first_pass_is_a_policy_gradient_and_the_entropy_is_apart_from_the_reward():
    """Where the ratio is 1, ∇ r A = A ∇ log π."""
    searcher, passes = nasnet(passes=3, entropy_weight=0.2), []
    searcher.adam.step = lambda: passes.append(-gradient(searcher))  # no step: every pass is the first
    searcher.baseline = 0.5
    decisions, scores = all_decisions(searcher.controller)[:5], torch.linspace(0, 1, 5, dtype=torch.float64)
    searcher.improve(decisions, scores)
    policy = searcher.controller(decisions)
    searcher.controller.zero_grad()
    ((scores - 0.5) * policy.log_prob + 0.2 * policy.entropy).mean().backward()
    assert len(passes) == 3
    for found in passes:
        assert found.tolist() == pytest.approx(gradient(searcher).tolist(), abs=1e-12)


def test_what_the_clip_holds_back_does_not_move_the_policy():
    """One good child and no baseline: after the first passes it is likely enough, and nothing moves any more but by Adam's momentum."""
    searcher = nasnet(passes=10, clip=0.01, learning_rate=0.05, entropy_weight=0.0)
    searcher.baseline = 0.0
    sizes, step = [], searcher.adam.step
    searcher.adam.step = lambda: (sizes.append(float(gradient(searcher).abs().max())), step())
    searcher.improve(all_decisions(searcher.controller)[:1], torch.ones(1, dtype=torch.float64))
    assert sizes[0] > 0
    assert sizes[1:] == [0.0] * 9


def test_keeps_the_best_of_all():
    searcher = nasnet()
    asked = searcher.ask_many(3)
    for genotype, score in zip(asked, (0.9, 0.1, 0.2), strict=True):
        searcher.tell(genotype, score)
    assert searcher.derive() == asked[0]


def test_learns_the_better_arm():
    searcher = nasnet(learning_rate=0.02)
    skips = []
    for _ in range(40):
        asked = searcher.ask_many(10)
        skips.append(sum(g.reduce.skips for g in asked))
        for genotype in asked:
            searcher.tell(genotype, 0.5 - 0.1 * genotype.reduce.skips)
    assert sum(skips[-5:]) < 5 < sum(skips[:5])
