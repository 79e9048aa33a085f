"""DrNAS (Chen et al., 2021): an edge's weights are a draw from a Dirichlet distribution, whose concentration is learnt."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas.errors import require
from robnas.search.base import Relaxed, Stage
from robnas.search.stages import prune, require_all, require_dropping, require_each, require_fewer, span
from robnas.space.search_space import Space


class DrNAS(Relaxed):
    """DrNAS: operation weights drawn from a learnt Dirichlet distribution; relaxed (Chen et al., 2021).

    θ ~ Dir(β) on every edge, β = ELU(α) + 1; α is stepped along the pathwise gradient of E[L_val(θ)] + λ KL(Dir(β) ‖ Dir(1)).

    In stages of equal length: from one to the next the supernet becomes wider, as a larger part of the channels goes through the
    operations (weights are carried over), and every edge keeps only its most likely operations. Cells derive from the mean of the
    distribution. The architecture stands still in the first 10 of a stage's 25 epochs: `architecture_warmup` of the task.
    γ (§5.2) damps the weight that was drawn. On α it is not defined: γα is nearer to 0, and so brings a skip connect that is hardly
    likely, β < 1, back to the uniform distribution, instead of suppressing it.

    Ours, where paper and authors' code say otherwise or nothing:
    - They keep 4 of 7 operations, without zero, which here is one like the others; `keep` has the same share of ten, 6 (of 5.7).
    - The code pulls α to 0 by weight decay, λ/2 |α|² with λ = 1e-3, and has λ KL as an option; ours is the latter, over the operations
      that are left, and the task's `architecture_weight_decay` should be 0. Near α = 0, KL is π²/12 |α|² − ½ ψ'(n) (Σα)² on an edge of n
      operations: at the same λ both pull alike.
    - Cells derive from the mean, as the paper says. The code goes by softmax(α): on one edge the order is the same, but how strong an edge
      is beside the others of its node is not, so that a node may keep other edges.
    - One draw serves a batch, that is the architecture step and the weight step behind it; theirs are two.
    - Both optimizers and the cosine of the learning rate start anew in each stage; theirs go on.
    - A supernet is evaluated at the mean; theirs at a draw.

    Args:
        partial: K of each stage: 1/K of the channels go through the operations (CIFAR10: 6, then 4; ImageNet: 6, then 3).
        keep: operations that an edge has left in each stage but the first. At least 2, so that zero is never alone.
        divergence: λ of the KL divergence, which is summed over the edges of both cells; 0 for none.
        arguments: of `Relaxed`; not `damp: alpha`.
    """

    # Half of the channels, then all. What passes by is not weighed: at K = 4 it makes the first losses three times ln 10, and the four
    # epochs of a stage are too few to mend that. In one of them α stands still.
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"partial": [2, 1], "model": {"architecture_warmup": 1}, "trainer": {"max_epochs": 8}},
    }

    def __init__(self, partial: tuple[int, ...] = (6, 4), keep: tuple[int, ...] = (6,), divergence: float = 1e-3, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.partial, self.keep, self.divergence = tuple(partial), tuple(keep), divergence
        require(self.damp == "weight", f"damp: {self.damp} is not defined for a Dirichlet distribution; allowed: weight")
        require_each("partial", self.partial, len(self.partial), least=1)
        require_fewer(self.keep, len(self.partial), least=2)
        require(divergence >= 0, f"divergence: {divergence} is negative")

    def build(self, space: Space, seed: int) -> None:
        """α as in DARTS. Raises UserError where nothing would be dropped."""
        require_dropping(self.keep, space)
        super().build(space, seed)

    def require_time(self, epochs: int) -> None:
        """Raises UserError where a stage has no epoch."""
        require_all(epochs, len(self.partial))

    def stage(self, epoch: int, max_epochs: int) -> Stage:
        """The supernet widens from stage to stage; its weights go on."""
        number, first, epochs = span(epoch, max_epochs, len(self.partial))
        return Stage(number, first, epochs, partial=self.partial[number], fresh=False)

    def epoch_start(self, epoch: int, max_epochs: int) -> None:
        """Where a stage begins, drops operations; α of the others goes on."""
        prune(self, self.stage(epoch, max_epochs), epoch, self.keep)

    def relax(self, alpha: Tensor) -> Tensor:
        """E[θ] = β / Σβ, which cells derive from. alpha: [E, O], −∞ where dropped → [E, O], rows sum to 1."""
        beta = concentration(alpha)
        return beta / beta.sum(-1, keepdim=True)

    def sample(self, alpha: Tensor, kind: str) -> Tensor:
        """θ, one draw for each edge; not training: its mean. alpha: [E, O] → [E, O], rows sum to 1."""
        if not self.training:
            return self.relax(alpha)
        return dirichlet(concentration(alpha.cpu().double()), self.generator(f"dirichlet {kind}")).to(alpha)

    def loss(self, logits: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
        """L_val + λ Σ KL over the edges of both cells."""
        penalty = [divergence_from_uniform(concentration(a), self._alive(kind, a)).sum() for kind, a in self.alpha.items()]
        return super().loss(logits, x, y) + self.divergence * torch.stack(penalty).sum()

    def figures(self) -> dict[str, float]:
        """Mean of KL(Dir(β) ‖ Dir(1)) over edges, in nats, and what every relaxed search has."""
        with torch.no_grad():
            mean = {k: divergence_from_uniform(concentration(a), self._alive(k, a)).mean() for k, a in self.alpha.items()}
        return super().figures() | {f"{kind}/divergence": float(nats) for kind, nats in mean.items()}

    def _alive(self, kind: str, alpha: Tensor) -> Tensor:
        return self.alive[kind].to(alpha.device) if kind in self.alive else torch.ones_like(alpha, dtype=torch.bool)


def concentration(alpha: Tensor) -> Tensor:
    """β = ELU(α) + 1, written so that a small β keeps its digits: 1 + α above zero, eᵅ below; 0 where α = −∞."""
    return torch.where(alpha > 0, alpha + 1, torch.where(alpha > 0, 0, alpha).exp())  # no overflow, and the derivative at 0 is 1


def dirichlet(beta: Tensor, generator: torch.Generator) -> Tensor:
    """θ ~ Dir(β) by rows: independent Gamma(βᵢ, 1), divided by their sum. Differentiable in β, pathwise (Figurnov et al., 2018).

    What is left out, β = 0, stays zero, and the others are what a draw of all becomes when it is cut down to them and divided by the
    rest: the aggregation property. beta: [E, O], on the generator's device → [E, O], rows sum to 1.
    """
    gamma = torch._standard_gamma(torch.where(beta > 0, beta, 1), generator) * (beta > 0)
    return gamma / gamma.sum(-1, keepdim=True)


def divergence_from_uniform(beta: Tensor, alive: Tensor) -> Tensor:
    """KL(Dir(β) ‖ Dir(1)) = ln Γ(Σβ) − Σ ln Γ(β) − ln Γ(n) + Σ (β − 1)(ψ(β) − ψ(Σβ)), sums over the n that are alive.

    beta: [E, O]; alive: [E, O] bool, at least one a row → [E], in nats, differentiable.
    """
    beta, n = torch.where(alive, beta, 1), alive.sum(-1).to(beta)  # β = 1 adds nothing to the sums
    total = (beta * alive).sum(-1)
    drift = ((beta - 1) * (beta.digamma() - total.digamma()[:, None])).sum(-1)
    return total.lgamma() - beta.lgamma().sum(-1) - n.lgamma() + drift
