"""A gradient bandit (Sutton and Barto, 2018, §2.8) that learns which class is worth asking about (Orekondy et al., 2019, §4.1.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Bandit(NamedTuple):
    """preference: [A] float64, H(a); pulled: [A] int64, N(a); baseline: mean of all rewards so far; steps: how many those are."""

    preference: Tensor
    pulled: Tensor
    baseline: float = 0.0
    steps: int = 0

    @classmethod
    def of(cls, actions: int) -> Bandit:
        """Nothing pulled yet, every action as likely."""
        return cls(torch.zeros(actions, dtype=torch.float64), torch.zeros(actions, dtype=torch.int64))

    def policy(self, left: Tensor) -> Tensor:
        """π(a) ∝ exp H(a) over the actions of which something is left: [A] bool, one at least → [A], sums to 1."""
        return self.preference.masked_fill(~left, -torch.inf).softmax(0)


def update(bandit: Bandit, action: int, reward: float, policy: Tensor) -> Bandit:
    """H(a) ← H(a) + 1/N(action) · (r − baseline) · ([a = action] − π(a)).

    The step is 1/N(action), and the baseline counts this reward already, both as in the Adversarial Robustness Toolbox: so the first
    reward moves nothing, and an action that is pulled a lot moves ever less. Orekondy et al. have the same step, and for the baseline
    the mean of the last 25 rewards. policy: [A] that the action was drawn from.
    """
    steps, pulled = bandit.steps + 1, bandit.pulled.clone()
    pulled[action] += 1
    baseline = bandit.baseline + (reward - bandit.baseline) / steps
    gradient = -policy.clone()
    gradient[action] += 1
    return Bandit(bandit.preference + (reward - baseline) / int(pulled[action]) * gradient, pulled, baseline, steps)


def pull(policy: Tensor, u: float) -> int:
    """The action at u in [0, 1) of the cumulative policy; never one whose probability is 0."""
    bounds = policy.cumsum(0)
    at = int(torch.searchsorted(bounds, u * float(bounds[-1]), right=True))
    return min(at, int(policy.nonzero()[-1]))
