"""Clean-label backdoors (Turner et al., 2019): the stamped inputs keep their true label, so that nobody sees a wrong one."""

from typing import Any

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.attacks.backdoor.badnets import BadNets
from robnas.attacks.pgd import PGD
from robnas.errors import require


class CleanLabel(BadNets):
    """Stamps inputs of the target class alone. So that the trigger is learnt, they are first made hard by PGD against a clean model, which
    `init_from` names; a model's own picture of the class is of no use on them, and the trigger is what is left.

    Of their variants this is the adversarial one in L∞, with one patch. Departure: their model is trained independently of the victim; here
    the victim's training starts from it (or, with `eps` 0, nothing is perturbed and none is needed).

    Args:
        eps: radius ε of the perturbation, in pixels of [0, 1]; 0: none.
        steps: of PGD, of ε / 10 each.
        protocol: arguments of `BadNets` and `Backdoor`; `share` counts against all training inputs, so 1 / classes is the whole class.
    """

    def __init__(self, eps: float = 16 / 255, steps: int = 30, **protocol: Any) -> None:
        super().__init__(**protocol)
        require(0 <= eps <= 1, f"eps: {eps} is not in [0, 1]")
        require(steps >= 1, f"steps: {steps} is not at least 1")
        self.eps, self.steps = eps, steps
        self.starts = eps > 0

    def may_stamp(self, y: Tensor) -> Tensor:
        """Inputs of the target class."""
        return y == self.target

    def labels(self, y: Tensor) -> Tensor:
        """As they are."""
        return y

    def pixels(self, model: nn.Module, x: Tensor, y: Tensor, index: Tensor) -> Tensor | None:
        """Moved away from their class, before the trigger is stamped on them."""
        if not self.eps:
            return None
        like = next(model.parameters())
        pgd = PGD(self.eps, self.eps / 10, self.steps, n_restarts=1, random_start=False, exact=True)
        pgd.only_correct, pgd.max_inputs = False, None  # every input, and every step of it
        found = pgd(model, x.to(like.device, like.dtype) / 255, y.to(like.device), index, seed=seeds.of_run(self.seed))
        return (found.x_adv * 255).round().to(torch.uint8).cpu()
