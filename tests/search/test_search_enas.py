"""ENAS's gradient against the exact one, on problems of which every architecture can be written down."""

import pytest
import torch

from robnas.search.enas import ENAS, reinforce
from small_sampled import ARMS, all_decisions


def test_two_arms_by_hand():
    """E[r] = p r₁ + (1 − p) r₂ with p = σ(θ₁ − θ₂): its gradient is p (1 − p) (r₁ − r₂) (1, −1), whatever the baseline."""
    theta = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 0.25], dtype=torch.float64)
    for baseline in (0.0, 0.8, -3.0):
        p, mean = theta.softmax(0).detach(), torch.zeros(2, dtype=torch.float64)
        for arm in (0, 1):
            log_prob = theta.log_softmax(0)[arm : arm + 1]
            (gradient,) = torch.autograd.grad(reinforce(log_prob, reward[arm : arm + 1] - baseline), theta)
            mean += p[arm] * gradient
        expected = float(p[0] * p[1]) * 0.75
        assert mean.tolist() == pytest.approx([expected, -expected], abs=1e-15)


def enas(**arguments) -> ENAS:
    """On the space of arms, its policy far from uniform."""
    searcher = ENAS(**{"hidden": 4, "tanh_constant": None, "temperature": 1.0} | arguments)
    searcher.build(ARMS, seed=0)
    for parameter in searcher.controller.parameters():
        parameter.data *= 10
    return searcher


def gradient(searcher: ENAS) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in searcher.controller.parameters()])


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_step_is_unbiased_on_score_and_entropy(weight):
    """The mean over all 16 architectures, by their probability, is the gradient of E[score] + weight · entropy."""
    searcher = enas(entropy_weight=weight)
    controller, steps = searcher.controller, []
    searcher.adam.step = lambda: steps.append(-gradient(searcher))  # what is ascended, and no step
    every = all_decisions(controller)
    scores = torch.where(every[:, 1] == 0, 0.9, 0.2).double() + 0.05 * every[:, 2]  # the normal cell's operation is an arm of two

    policy = controller(every)
    p = policy.log_prob.exp()
    controller.zero_grad()
    (p @ scores - weight * p @ policy.log_prob).backward()
    exact = gradient(searcher)

    for decisions, score in zip(every, scores, strict=True):
        searcher.baseline = 0.4
        searcher.improve(decisions[None], score[None])
    mean = (p.detach()[:, None] * torch.stack(steps)).sum(0)
    assert mean.tolist() == pytest.approx(exact.tolist(), abs=1e-12)
    assert exact.abs().max() > 1e-3


def test_learns_the_better_arm():
    searcher = enas(learning_rate=0.05)
    skips = []
    for _ in range(60):
        asked = searcher.ask_many(10)
        skips.append(sum(g.normal.skips for g in asked))
        for genotype in asked:
            searcher.tell(genotype, 0.5 + 0.1 * genotype.normal.skips)
    assert sum(skips[-5:]) > 45 > sum(skips[:5])


def test_the_baseline_starts_at_the_first_batch_and_then_follows_each_reward():
    searcher = enas(baseline_decay=0.5)
    assert searcher.advantage(torch.tensor([1.0, 0.0])).tolist() == [0.5, -0.5]
    assert searcher.baseline == 0.375  # ½ → ¾ → ⅜
    assert searcher.advantage(torch.tensor([0.375, 0.875])).tolist() == [0.0, 0.5]
    assert searcher.baseline == 0.625  # ⅜ → ⅜ → ⅝


def test_the_policy_is_stepped_once_a_batch_before_it_is_drawn_from():
    searcher = enas()
    steps = []
    searcher.improve = lambda decisions, scores: steps.append((decisions.tolist(), scores.tolist()))
    asked = searcher.ask_many(3)
    for genotype, score in zip(asked, (0.1, 0.2, 0.3), strict=True):
        searcher.tell(genotype, score)
    assert steps == []
    searcher.sample()
    searcher.ask_many(2)
    assert steps == [(searcher.controller.decisions(asked).tolist(), [0.1, 0.2, 0.3])]


def test_shared_weights_are_trained_on_what_the_policy_samples():
    searcher = enas()
    searcher.controller.operation.bias.data = torch.tensor([50.0, -50.0], dtype=torch.float64)
    for searcher.step in range(20):
        path = searcher.sample()
        assert path.normal.skips == path.reduce.skips == 1


def test_keeps_the_best_of_the_last_ones():
    searcher = enas(finalists=2)
    asked = searcher.ask_many(3)
    for genotype, score in zip(asked, (0.9, 0.1, 0.2), strict=True):
        searcher.tell(genotype, score)
    assert searcher.derive() == asked[2]


def test_learns_under_no_grad_and_autocast_as_without():
    """A task may tell scores while it evaluates; the controller stays in float64."""
    plain, wrapped = enas(), enas()
    for searcher in (plain, wrapped):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=searcher is wrapped):
            for genotype in searcher.ask_many(4):
                searcher.tell(genotype, genotype.normal.skips)
            searcher.ask()
    one, other = (searcher.controller.state_dict() for searcher in (plain, wrapped))
    assert all(torch.equal(one[name], other[name]) for name in one)
