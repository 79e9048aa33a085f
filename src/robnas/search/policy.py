"""What ENAS and NASNet share: architectures are drawn from a policy, and their scores step the policy."""

from abc import abstractmethod
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from robnas import seeds
from robnas.errors import require
from robnas.search.controller import Controller
from robnas.search.sampled import Sampled, Told, dump, load
from robnas.space.genotype import Genotype
from robnas.space.search_space import Space


class PolicySearch(Sampled):
    """A controller, its own Adam, and a baseline. A subclass writes `improve`.

    The policy is stepped once for each batch: just before the next architecture is drawn, on all that were told since it was stepped last.
    So where a task asks for k and tells k, the batch is k and every score is of the policy that is stepped; of the last k it does not
    learn, as nothing is drawn behind them. The controller is no
    sub-module: nothing moves it to another device or precision, and no optimizer but its own steps it.

    Args:
        learning_rate: of the controller's Adam.
        entropy_weight: of the policy's entropy (nats) beside the score.
        baseline_decay: of the baseline, an exponential moving average of all rewards; it starts at the first batch's mean.
        hidden: units of the controller's LSTM.
        tanh_constant, temperature: of its logits, see `Controller`.
        finalists: see `Sampled`.
    """

    controller: Controller
    adam: torch.optim.Adam

    def __init__(
        self,
        learning_rate: float,
        entropy_weight: float,
        baseline_decay: float,
        hidden: int,
        tanh_constant: float | None,
        temperature: float,
        finalists: int | None,
    ) -> None:
        super().__init__(finalists)
        require(learning_rate > 0, f"learning_rate: {learning_rate} is not positive")
        require(entropy_weight >= 0, f"entropy_weight: {entropy_weight} is negative")
        require(0 <= baseline_decay <= 1, f"baseline_decay: {baseline_decay} is not in [0, 1]")
        require(hidden >= 1, f"hidden: {hidden} is less than 1")
        require(tanh_constant is None or tanh_constant > 0, f"tanh_constant: {tanh_constant} is not positive; null does without")
        require(temperature > 0, f"temperature: {temperature} is not positive")
        self.learning_rate, self.entropy_weight, self.baseline_decay = learning_rate, entropy_weight, baseline_decay
        self.hidden, self.tanh_constant, self.temperature = hidden, tanh_constant, temperature
        self.baseline: float | None = None
        self.batch: list[Told] = []
        """Told since the policy was stepped last."""

    def build(self, space: Space, seed: int) -> None:
        """Makes the controller."""
        super().build(space, seed)
        controller = Controller(space, seed, self.hidden, self.tanh_constant, self.temperature)
        self.__dict__["controller"] = controller  # hidden from nn.Module
        self.adam = torch.optim.Adam(controller.parameters(), self.learning_rate)

    @abstractmethod
    def improve(self, decisions: Tensor, scores: Tensor) -> None:
        """Steps the policy. decisions: [B, T] int64, scores: [B] float64, in the order in which they were told."""

    def ask(self) -> Genotype:
        """A draw from the policy."""
        return self.ask_many(1)[0]

    def ask_many(self, n: int) -> list[Genotype]:
        """n draws from the policy as it is now."""
        return self.draw("ask", [self.count() for _ in range(n)])

    def tell(self, genotype: Genotype, score: float) -> None:
        """The policy learns of it before it is drawn from again."""
        super().tell(genotype, score)
        self.batch.append(Told(genotype, float(score)))

    def draw(self, purpose: str, numbers: list[int]) -> list[Genotype]:
        """One genotype for each number: a function of the policy, the purpose and the number."""
        self._learn()
        u = seeds.uniform(torch.tensor(numbers, device="cpu"), (self.controller.length,), self.seed, "searcher", purpose)
        with torch.no_grad():
            return self.controller.genotypes(self.controller.draw(u.double()).decisions)

    def advantage(self, reward: Tensor) -> Tensor:
        """reward: [B] less the baseline of the batches before, which then takes them in, one after another."""
        before = float(reward.mean()) if self.baseline is None else self.baseline
        self.baseline = before
        for r in reward.tolist():
            self.baseline = self.baseline_decay * self.baseline + (1 - self.baseline_decay) * r
        return reward - before

    def descend(self, loss: Tensor) -> None:
        """One step of Adam."""
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step()

    def figures(self) -> dict[str, float]:
        """And the baseline, and the entropy of a decision (nats), the mean over those of 32 draws; ln K if all K are equally likely."""
        u = seeds.uniform(torch.arange(32, device="cpu"), (self.controller.length,), self.seed, "searcher", "figures")
        with torch.no_grad():
            entropy = float(self.controller.draw(u.double()).entropy.mean()) / self.controller.length
        return super().figures() | {"policy_entropy": entropy} | ({} if self.baseline is None else {"baseline": self.baseline})

    def state(self) -> dict[str, Any]:
        """And the controller, its Adam, the baseline, and what the policy has not learned of yet."""
        policy = deepcopy({"controller": self.controller.state_dict(), "adam": self.adam.state_dict()})
        return super().state() | {"policy": policy, "baseline": self.baseline, "batch": dump(self.batch)}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        super().rebuild(state)
        self.controller.load_state_dict(state["policy"]["controller"])
        self.adam.load_state_dict(state["policy"]["adam"])
        self.baseline, self.batch = state["baseline"], load(state["batch"])

    def _learn(self) -> None:
        if self.batch:
            scores = torch.tensor([told.score for told in self.batch], dtype=torch.float64, device="cpu")
            with torch.enable_grad():
                self.improve(self.controller.decisions([told.genotype for told in self.batch]), scores)
            self.batch = []
