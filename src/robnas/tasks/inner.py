"""The inner maximisation of adversarial training (Madry et al., 2018, Eq. 2.1): an attack on the weights of this very step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robnas.attacks.base import Evasion
from robnas.attacks.goal import Goal
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox, WhiteBox


class Standing(State):
    """A State that nobody leaves: what counts is the largest loss, not the first mistake, so every input takes every step."""

    def leave(self, done: Tensor) -> None:
        """Nothing."""


def maximise(attack: Evasion, model: nn.Module, x: Tensor, goal: Goal, index: Tensor, seed: int) -> Tensor:
    """x: [B, C, H, W] in [0, 1] → the images that the attack ends with; of several restarts, for each input the one of largest loss.

    The model itself is asked, not a prepared copy: folding BatchNorm anew at every step would cost more than it saves.

    Args:
        attack: what moves the inputs; its `goal` and `only_correct` are not asked.
        model: pixels in [0, 1] → logits; in evaluation mode and frozen meanwhile, so that its running statistics stay as they were.
        x: the clean inputs.
        goal: whose losses are raised.
        index: [B] names of the inputs; with `seed` and the restart all that their random numbers depend on.
        seed: of this step.
    """
    with torch.no_grad(), frozen(model):
        runs = [_run(attack, model, Standing(x, goal, index, seed, restart)) for restart in range(attack.n_restarts)]
        if len(runs) == 1:
            return runs[0]
        best = torch.stack([attack.losses(goal, model(x_adv)) for x_adv in runs]).argmax(0)
        return torch.stack(runs)[best, torch.arange(len(x), device=x.device)]


def _run(attack: Evasion, model: nn.Module, s: Standing) -> Tensor:
    attack.run(WhiteBox(model, s, attack.losses) if attack.access == "white" else BlackBox(model, s, attack.access), s)
    return s.x_t.detach()


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no weight gradients, then everything as it was.

    Weights that need no gradient keep no activations for one; nor does autocast keep copies of them that know no gradient.
    """
    modes = [(m, m.training) for m in model.modules()]
    weights = [p for p in model.parameters() if p.requires_grad]
    try:
        model.eval()
        for p in weights:
            p.requires_grad_(False)
        yield
    finally:
        for p in weights:
            p.requires_grad_(True)
        for m, mode in modes:
            m.training = mode
