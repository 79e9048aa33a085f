"""NASNet (Zoph et al., 2018): a policy that learns by PPO from trained children, §3 and Appendix A."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.errors import require
from robnas.search.policy import PolicySearch


class NASNet(PolicySearch):
    """NASNet: a controller learns by PPO from small networks it has trained; sampled (Zoph et al., 2018).

    Children are sampled, trained from scratch for a few epochs, and their validation accuracy steps the controller.

    By PPO with the clipped objective (Schulman et al., 2017, Eq. 7), not by REINFORCE: A.2. The ratio is that of the joint probability of
    all decisions of a child, as A.2 has it. A batch is what is asked for at a time (A.3: 20 children). The result is the best child told;
    they train the best 250 of 20,000 once more until convergence and choose among those.

    A.2 gives learning rate, entropy weight, baseline, units and initial weights; it gives neither the clip, nor how often a batch is
    passed over (we take those of Schulman et al.: 0.2, and 4 as a small number of their passes). Its controller has a softmax over
    sources of its own for each decision; ours attends to what it has built, as ENAS does, and the sum is its only combination.

    Args:
        learning_rate: of the controller's Adam.
        entropy_weight: of the policy's entropy beside the objective.
        baseline_decay: of the moving average of all scores.
        hidden: units of the controller's LSTM.
        clip: ε, how far a child's probability ratio may leave 1 and still be rewarded for it.
        passes: steps of Adam on each batch.
        tanh_constant: bound of its logits (ENAS); None: none.
        temperature: its logits are divided by it.
        finalists: children told last, of which the best is derived; None: all.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "learning_rate": 0.01,
            "model": {"proposals": 4},
            "trainer": {"max_epochs": 6},
        },  # 24 children, and five batches to learn from before the last is drawn
    }

    def __init__(
        self,
        learning_rate: float = 3.5e-4,
        entropy_weight: float = 1e-5,
        baseline_decay: float = 0.95,
        hidden: int = 100,
        clip: float = 0.2,
        passes: int = 4,
        tanh_constant: float | None = None,
        temperature: float = 1.0,
        finalists: int | None = None,
    ) -> None:
        super().__init__(learning_rate, entropy_weight, baseline_decay, hidden, tanh_constant, temperature, finalists)
        require(0 < clip < 1, f"clip: {clip} is not in (0, 1)")
        require(passes >= 1, f"passes: {passes} is less than 1")
        self.clip, self.passes = clip, passes

    def improve(self, decisions: Tensor, scores: Tensor) -> None:
        """As many steps of Adam on one batch as there are passes."""
        with torch.no_grad():
            old = self.controller(decisions).log_prob
        advantage = self.advantage(scores)
        for _ in range(self.passes):
            policy = self.controller(decisions)
            objective = clipped(policy.log_prob - old, advantage, self.clip) + self.entropy_weight * policy.entropy
            self.descend(-objective.mean())


def clipped(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Schulman et al. (2017), Eq. 7: min(r A, clip(r, 1 − ε, 1 + ε) A). log r [B], A [B] → [B]."""
    ratio = log_ratio.exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
