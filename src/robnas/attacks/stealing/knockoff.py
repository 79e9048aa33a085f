"""Knockoff Nets (Orekondy et al., "Knockoff Nets: Stealing Functionality of Black-Box Models", CVPR 2019)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.attacks.stealing.bandit import Bandit, pull, update
from robnas.attacks.stealing.base import Queries, Stealing
from robnas.attacks.stealing.online import Online
from robnas.attacks.stealing.pool import Pool
from robnas.attacks.stealing.rewards import REWARDS, Rewards
from robnas.errors import require, unknown

STRATEGIES = ("random", "adaptive")


class Knockoff(Stealing):
    """Inputs drawn from the pool at random, or from classes that a gradient bandit finds worth asking about.

    The bandit's actions are the classes of the pool, by the labels that the thief's own data have (Orekondy et al. have a tree of them).
    An input is asked about once, unlike in the Adversarial Robustness Toolbox, and a class of which nothing is left is out. Actions of
    one handful are drawn from the same policy; each answer then updates it. With one seed, a smaller random budget is part of a larger.

    Args:
        strategy: "random" or "adaptive".
        rewards: of the bandit: "certainty", "diversity", "loss" of an online replica, or "all" (see `Rewards`).
        at_once: queries of an adaptive handful, sent together; 1 waits for each single answer.
        online_learning_rate: of the online replica, see `Online`.
        kwargs: see `Stealing`.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"budget": 300, "trainer": {"max_epochs": 20}}}

    def __init__(
        self, strategy: str = "random", rewards: str = "all", at_once: int = 16, online_learning_rate: float = 0.01, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.strategy, self.rewards, self.at_once, self.online_learning_rate = strategy, rewards, at_once, online_learning_rate
        for name, allowed in (("strategy", STRATEGIES), ("rewards", REWARDS)):
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        require(at_once >= 1, f"at_once: {at_once} is not at least 1")
        require(online_learning_rate > 0, f"online_learning_rate: {online_learning_rate} is not positive")
        self._noted: dict[str, list[float]] = {}

    def queries(self, pool: Pool, replica: nn.Module, classes: int) -> Queries:
        """Algorithm "random" or "adaptive" of §4.1."""
        self._noted = {}
        return self.adaptive(pool, replica, classes) if self.strategy == "adaptive" else self.random(pool)

    def random(self, pool: Pool) -> Queries:
        """Without replacement, in an order that is each input's own."""
        for some in torch.split(_shuffled(pool), 256):  # noqa: UP028, for a tuple cannot be sent answers
            yield some

    def adaptive(self, pool: Pool, replica: nn.Module, classes: int) -> Queries:
        """§4.1.2. The cost of a query does not depend on the pool's size: each class is a line of numbers, shuffled once."""
        order = _shuffled(pool)
        labels, actions = torch.unique(pool.images.y[order], return_inverse=True)
        lines = [order[actions == a] for a in range(len(labels))]
        left = torch.tensor([len(line) for line in lines])
        online = Online(replica, self.online_learning_rate, pool.seed) if self.rewards in ("loss", "all") else None
        bandit, rewards = Bandit.of(len(lines)), Rewards(self.rewards, classes)
        self._noted = {"action": [], "reward": []}
        while int(left.sum()):
            drawn: list[tuple[int, Tensor]] = []
            index = []
            for u in self._chances(pool.seed, len(self._noted["action"]), min(self.at_once, int(left.sum()))):
                policy = bandit.policy(left > 0)
                a = pull(policy, u)
                left[a] -= 1
                index.append(lines[a][int(left[a])])
                drawn.append((a, policy))
            asked = torch.stack(index)
            p = (yield asked).double()
            logits = online.learn(pool.x(asked[: len(p)]), p) if online else [None] * len(p)
            for (a, policy), answer, guess in zip(drawn, p, logits, strict=False):  # the budget may have cut the last handful short
                reward = torch.nan if bool(answer.isnan().any()) else rewards(answer, guess)
                if reward == reward:
                    bandit = update(bandit, a, reward, policy)
                self._noted["action"].append(int(labels[a]))
                self._noted["reward"].append(reward)

    def columns(self) -> dict[str, Tensor]:
        """Of the adaptive strategy: the class that was pulled for, and the reward."""
        return {name: torch.tensor(values, dtype=torch.float64) for name, values in self._noted.items()}

    @staticmethod
    def _chances(seed: int, first: int, n: int) -> list[float]:
        """In [0, 1), a number for each query: `first` and those after it."""
        return [u for (u,) in seeds.uniform(torch.arange(first, first + n), (1,), seed, "action", dtype=torch.float64).tolist()]


def _shuffled(pool: Pool) -> Tensor:
    """[P] `pool.index` by 64 random bits of each index: of two pools, what they share comes in the same order."""
    return pool.index[seeds.bits(pool.index, 1, pool.seed, "queries")[:, 0].argsort(stable=True)]
