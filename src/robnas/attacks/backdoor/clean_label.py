"""Clean-label backdoors (Turner et al., 2019): the stamped inputs keep their true label, so that nobody sees a wrong one."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from robnas import seeds
from robnas.attacks.backdoor.badnets import BadNets
from robnas.attacks.pgd import PGD
from robnas.errors import require


class CleanLabel(BadNets):
    """Stamps inputs of the target class alone. So that the trigger is learnt, they are first made hard by PGD against a clean model: what
    tells the class is of little use on them, and the trigger is what is left. Of their variants this is the adversarial one in L∞, with
    one patch.

    Args:
        against: run folder of that clean model, trained apart from the victim, which is then trained from scratch, as theirs are; the one
            of `init_from` if not given. None is needed with `eps` 0.
        eps: radius ε of the perturbation, in pixels of [0, 1]; 0: none.
        steps: of PGD, of ε / 10 each.
        protocol: arguments of `BadNets` and `Backdoor`; `share` counts against all training inputs, so 1 / classes is the whole class.
    """

    named_by = "against names (--attacks.NAME.against=RUN), or init_from"

    def __init__(self, against: str | None = None, eps: float = 16 / 255, steps: int = 30, **protocol: Any) -> None:
        super().__init__(**protocol)
        require(0 <= eps <= 1, f"eps: {eps} is not in [0, 1]")
        require(steps >= 1, f"steps: {steps} is not at least 1")
        self.against, self.eps, self.steps = against, eps, steps
        self.starts = eps > 0

    def made_on(self, model: LightningModule) -> str | None:
        """What inputs are made hard against."""
        return self.against or super().made_on(model)

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
