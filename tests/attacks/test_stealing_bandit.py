"""Knockoff's bandit and rewards step by step, and what the bandit is for."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from robnas.attacks.stealing import Knockoff, Pool
from robnas.attacks.stealing.bandit import Bandit, pull, update
from robnas.attacks.stealing.online import Online
from robnas.attacks.stealing.rewards import Rewards, Running, diversity, loss
from robnas.data.base import Images
from small_victims import convolutional, images

EVERY = torch.ones(3, dtype=torch.bool)


def test_three_updates_by_hand():
    bandit = Bandit.of(3)
    assert bandit.policy(EVERY).tolist() == pytest.approx([1 / 3] * 3)
    bandit = update(bandit, 0, 0.9, bandit.policy(EVERY))
    assert bandit.preference.tolist() == [0, 0, 0]  # the baseline is this very reward
    assert (bandit.baseline, bandit.steps, bandit.pulled.tolist()) == (0.9, 1, [1, 0, 0])

    bandit = update(bandit, 1, 0.3, bandit.policy(EVERY))  # baseline 0.6, r − baseline −0.3, N(1) = 1
    assert bandit.baseline == pytest.approx(0.6)
    assert bandit.preference.tolist() == pytest.approx([0.1, -0.2, 0.1])

    policy = bandit.policy(EVERY)
    e, f = math.exp(0.1), math.exp(-0.2)
    assert policy.tolist() == pytest.approx([e / (2 * e + f), f / (2 * e + f), e / (2 * e + f)])
    bandit = update(bandit, 0, 1.2, policy)  # baseline 0.8, r − baseline 0.4, N(0) = 2: a step of 0.2
    assert bandit.preference.tolist() == pytest.approx(
        [0.1 + 0.2 * (1 - float(policy[0])), -0.2 - 0.2 * float(policy[1]), 0.1 - 0.2 * float(policy[2])]
    )
    assert bandit.pulled.tolist() == [2, 1, 0]


def test_a_class_of_which_nothing_is_left_is_never_pulled():
    bandit = Bandit(torch.tensor([5.0, 0.0, 1.0], dtype=torch.float64), torch.zeros(3, dtype=torch.int64))
    policy = bandit.policy(torch.tensor([False, True, True]))
    assert policy.tolist() == pytest.approx([0, 1 / (1 + math.e), math.e / (1 + math.e)])
    assert [pull(policy, u) for u in (0.0, 0.26, 0.27, 1 - 1e-16)] == [1, 1, 2, 2]
    assert pull(torch.tensor([0.5, 0.5, 0.0]).double(), 1 - 1e-16) == 1


def test_mean_and_variance_are_those_of_all_values_so_far():
    values = torch.tensor([[0.2, 1.0], [0.5, 3.0], [0.1, -2.0], [0.9, 0.0]], dtype=torch.float64)
    running = Running.of(2)
    for n in range(1, 5):
        running = running.plus(values[n - 1])
        torch.testing.assert_close(running.mean, values[:n].mean(0))
        torch.testing.assert_close(running.variance, values[:n].var(0, correction=0))


def test_rewards_by_hand():
    p, q = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.1, 0.1, 0.8]).double()
    certain, diverse = Rewards("certainty", 3), Rewards("diversity", 3)
    assert certain(p) == pytest.approx(0.5)
    assert diverse(p) == pytest.approx(0)  # it is the mean itself
    assert diverse(q) == pytest.approx(0.35)  # mean (0.4, 0.15, 0.45): only class 2 is above it
    assert float(diversity(q, (p + q) / 2)) == pytest.approx(0.35)
    logits = torch.tensor([1.0, -2.0, 0.5]).double()
    assert Rewards("loss", 3)(p, logits) == pytest.approx(float(cross_entropy(logits[None], p[None])))


def test_all_is_the_mean_of_the_three_normalised():
    p, q = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.1, 0.1, 0.8]).double()
    logits = torch.tensor([1.0, -2.0, 0.5]).double()
    every = Rewards("all", 3)
    assert every(p, logits) == 0  # each is its own mean
    # of two values, the second is one standard deviation from the mean, above or below: but for the 1e-8 beside the variance
    certainty, unlike, lost = (0.5, 0.7), (0.0, 0.35), (float(loss(p, logits)), float(loss(q, logits)))
    expected = [(b - a) / 2 / math.sqrt((b - a) ** 2 / 4 + 1e-8) for a, b in (certainty, unlike, lost)]
    assert every(q, logits) == pytest.approx(sum(expected) / 3, abs=1e-12)
    assert [round(e) for e in expected] == [1, 1, -1 if lost[1] < lost[0] else 1]


def test_a_reward_that_never_varies_is_worth_nothing():
    p = torch.tensor([1.0, 0.0]).double()
    every = Rewards("all", 2)
    assert [every(p, torch.zeros(2).double()) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("nothing", [torch.nan, -torch.inf])
def test_a_replica_that_gives_no_numbers_once_spoils_no_later_reward(nothing):
    p = torch.tensor([0.7, 0.2, 0.1]).double()
    silent, logits = torch.tensor([nothing, 0.0, 0.0]).double(), torch.tensor([1.0, -2.0, 0.5]).double()
    every, lost = Rewards("all", 3), Rewards("loss", 3)
    assert math.isnan(every(p, silent))
    assert math.isnan(lost(p, silent))  # infinite where a class is ruled out: the bandit would believe it for ever
    assert every(p, logits) == 0
    assert math.isfinite(every(p, -logits))


def queries_until(n: int, wanted: int, knockoff: Knockoff, pool: Pool, answers: torch.Tensor) -> int:
    """After which n inputs of class `wanted` have been asked about; answers: [N, m] of each input."""
    queries, took, hits = knockoff.queries(pool, nn.Identity(), answers.shape[1]), 0, 0
    index = next(queries)
    while True:
        for y in pool.images.y[index].tolist():
            took, hits = took + 1, hits + (y == wanted)
            if hits == n:
                return took
        index = queries.send(answers[index])


def one_informative_class(seed: int, classes: int = 10, each: int = 60, informative: int = 7) -> tuple[Pool, torch.Tensor]:
    """The victim is certain on inputs of one class, and knows next to nothing of the others."""
    y = torch.arange(classes).repeat(each)
    p = torch.rand(len(y), classes, generator=torch.Generator().manual_seed(seed)).double() * 0.2 + 1
    p[y == informative, informative] = 40
    return Pool(Images(torch.zeros(len(y), 1, 1, 1, dtype=torch.uint8), y), torch.arange(len(y)), seed), p / p.sum(1, keepdim=True)


def test_the_bandit_finds_the_one_informative_class_sooner_than_random():
    sooner, needed = 0, {"random": 0.0, "adaptive": 0.0}
    for seed in range(20):
        pool, answers = one_informative_class(seed)
        took = {}
        for strategy in needed:
            thief = Knockoff(victim="v", strategy=strategy, rewards="certainty", at_once=4)
            took[strategy] = queries_until(30, 7, thief, pool, answers)
            needed[strategy] += took[strategy] / 20
        sooner += took["adaptive"] < took["random"]
    assert sooner >= 19, needed
    assert needed["adaptive"] < needed["random"] / 2, needed


def test_every_input_is_asked_about_once_whatever_the_policy():
    pool, answers = one_informative_class(0, each=8)
    for strategy in ("random", "adaptive"):
        thief = Knockoff(victim="v", strategy=strategy, rewards="all" if strategy == "random" else "diversity", at_once=7)
        queries, found = thief.queries(pool, nn.Identity(), 10), []
        index = next(queries)
        while index is not None:
            found += index.tolist()
            try:
                index = queries.send(answers[index])
            except StopIteration:
                index = None
        assert sorted(found) == list(range(80))


def test_the_online_replica_is_a_copy_that_learns():
    model, x = convolutional(), images(16)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    p = torch.eye(10).double()[torch.arange(16) % 10]
    online = Online(model, 0.1, seed=0)
    losses = [float(cross_entropy(online.learn(x, p), p)) for _ in range(8)]
    assert losses[-1] < losses[0] - 0.1
    assert torch.allclose(online.learn(x[:1], p[:1]), online.learn(x[:1], p[:1] * torch.nan), atol=1)  # one alone, and one unanswered
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    again = Online(model, 0.1, seed=0)
    assert float(cross_entropy(again.learn(x, p), p)) == losses[0]
