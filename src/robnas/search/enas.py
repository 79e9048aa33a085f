"""ENAS (Pham et al., 2018): a policy that learns by REINFORCE from scores of shared weights, §2.2 to §2.4."""

from typing import Any, ClassVar

from torch import Tensor

from robnas.search.policy import PolicySearch
from robnas.space.genotype import Genotype


class ENAS(PolicySearch):
    """ENAS: a controller learns by REINFORCE from shared weights; sampled (Pham et al., 2018).

    The weights ω of all children are shared and trained on what the policy π(m; θ) samples; its reward is their validation accuracy.

    §2.2: (1) a step of ω on one child m ~ π, drawn anew in each step; (2) steps of θ by REINFORCE (Williams, 1992) with a moving average
    as baseline, the policy's entropy being part of the reward. Theirs take turns by whole epochs, ours within one, as `n_step` says.
    §2.3: several children are sampled in the end, and the best on one minibatch of validation data is kept. Ours are the last
    `finalists` that were told: with as many as are asked for at a time, those are of one policy and one state of ω.

    The entropy is differentiated too, so that the step is an unbiased one on E[score] + weight · entropy; the authors' code holds it
    constant. Defaults are the paper's (§3.2) but for three of the authors' code: baseline_decay and hidden, which the paper does not
    give, and entropy_weight. The paper's 0.1 of the 70 nats of a genotype's decisions would outweigh any accuracy, and the best policy
    would be nearly uniform: π ∝ exp(accuracy / 0.1).

    Left out, what only the authors' code has: a bias of the first operations' logits, which begins its policy far from uniform; a closer
    bound of operations' logits than of sources'; a baseline from 0, that takes a reward in before it is subtracted from it (ours starts
    at the first rewards' mean and takes them in afterwards).

    Args:
        learning_rate: of the controller's Adam.
        entropy_weight: of the policy's entropy in the reward.
        baseline_decay: of the moving average.
        hidden: units of the controller's LSTM.
        tanh_constant: bound of its logits; None: none.
        temperature: its logits are divided by it, inside the bound.
        finalists: children told last, of which the best is derived.
    """

    # Fewer than 176 steps of the policy on digits: at 3.5e-4 it would end where it began; in the first epochs scores are those of chance.
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"learning_rate": 0.01, "finalists": 4, "model": {"proposals": 4, "architecture_warmup": 4}},
    }

    def __init__(
        self,
        learning_rate: float = 3.5e-4,
        entropy_weight: float = 1e-4,
        baseline_decay: float = 0.99,
        hidden: int = 64,
        tanh_constant: float | None = 2.5,
        temperature: float = 5.0,
        finalists: int | None = 10,
    ) -> None:
        super().__init__(learning_rate, entropy_weight, baseline_decay, hidden, tanh_constant, temperature, finalists)

    def sample(self) -> Genotype:
        """m ~ π(m; θ), the child on which ω is trained in this step."""
        return self.draw("path", [self.step])[0]

    def improve(self, decisions: Tensor, scores: Tensor) -> None:
        """One step of Adam on REINFORCE's estimate."""
        policy = self.controller(decisions)
        reward = scores + self.entropy_weight * policy.entropy.detach()
        self.descend(-reinforce(policy.log_prob, self.advantage(reward)) - self.entropy_weight * policy.entropy.mean())


def reinforce(log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Its gradient is an unbiased estimate of ∇ E[reward] (Eq. 1 without the shared weights). log π [B], R − b [B] → scalar."""
    return (advantage * log_prob).mean()
