"""What every searcher is, and the relaxed ones: logits, stepped by gradient. `robnas.search.sampled` has the others."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import seeds
from robnas.errors import require, unknown
from robnas.search.configured import Configured
from robnas.search.damping import DAMP, damp
from robnas.search.derive import top_two_edges
from robnas.space.genotype import Genotype
from robnas.space.mixture import Mixture
from robnas.space.search_space import CELL_KINDS, Space

DERIVE_FROM = ("undamped", "damped")
"""Which weights become the architecture: without γ, so that search and discretisation are not confounded, or with it."""


class Stage(NamedTuple):
    """A part of the search in which the supernet has one shape (P-DARTS grows it, DrNAS widens it).

    number: counts from 0; first: epoch with which it begins; epochs: how many it has; layers: cells beyond those of the task;
    partial: one of so many channels goes through the operations, the others pass by; fresh: weights start anew at its beginning,
    else they are carried over from the stage before.
    """

    number: int = 0
    first: int = 0
    epochs: int = 1
    layers: int = 0
    partial: int = 1
    fresh: bool = True


class Searcher(nn.Module, Configured, ABC):
    """Looks for an architecture in a space. Its parameters are the architecture's alone, never the network's.

    `Search`, the task, calls `build` once, `epoch_start` once an epoch, and sets `step` before each batch. A searcher that draws
    random numbers draws them from `generator`, so that every rank and every repeated pass of a step sees the same draw.
    """

    group = "robnas.searchers"
    task: ClassVar[str] = "a task of its own"
    """The LightningModule that runs it, by its name in a config."""
    space: Space
    seed: int = 0
    step: int = 0

    def build(self, space: Space, seed: int) -> None:
        """Makes the parameters for `space`; called once, before the first step."""
        self.space, self.seed = space, seed

    @abstractmethod
    def derive(self) -> Genotype:
        """The architecture found so far."""

    def epoch_start(self, epoch: int, max_epochs: int) -> None:
        """Once before the first batch of each epoch (0, 1, …): prune, anneal, decide."""

    def stage(self, epoch: int, max_epochs: int) -> Stage:
        """The stage of an epoch: a function of the arguments alone, so that a resumed run finds it again.

        Where a new one begins, the task shapes the supernet anew after `epoch_start`, and both optimizers forget what they knew. The
        cosine of the learning rate and the warm-up of the architecture are counted within the stage.
        """
        return Stage(epochs=max_epochs)

    def require_time(self, epochs: int) -> None:
        """Raises UserError where a search of so many epochs would leave out what the arguments ask for; not asked in a `fast_dev_run`."""

    def figures(self) -> dict[str, float]:
        """What else to watch, once an epoch: a temperature, the operations that are left, a controller's entropy. Names of metrics."""
        return {}

    def state(self) -> dict[str, Any]:
        """What `rebuild` needs besides tensors of fixed shape, in plain values: stage, mask, temperature."""
        return {}

    def rebuild(self, state: dict[str, Any]) -> None:
        """Brings parameters into the shapes of a saved `state`, before the checkpoint's tensors are loaded into them."""

    def generator(self, purpose: str) -> torch.Generator:
        """Random numbers for this step (CPU): the same on every rank, in every pass of the step, and after a resume."""
        return seeds.generator(self.seed, "searcher", purpose, self.step)


class Relaxed(Searcher):
    """Eq. 3 and its relatives: logits α on every edge become a mixture of operations, and α is stepped by gradient (Eq. 4).

    Its author writes `relax` where it is not a softmax, and `derive` where the most likely operation is not the rule. An operation that
    is pruned is False in `alive`; `relax` then sees −∞ in its place.

    Args:
        gamma: γ of §5.2 in (0, 1], coefficient of skip connects; 1 leaves them alone. The paper gives no value.
        damp: what γ multiplies: "alpha" (as Eq. 3 reads) or "weight" (always suppresses); see `robnas.search.damping`.
        derive_from: the weights that become the architecture, "undamped" or "damped".
        init_scale: standard deviation of α at the start (Liu et al., 2019: 1e-3).
    """

    task = "Search"

    def __init__(self, gamma: float = 1.0, damp: str = "weight", derive_from: str = "undamped", init_scale: float = 1e-3) -> None:
        super().__init__()
        require(0 < gamma <= 1, f"gamma: {gamma} is not in (0, 1]")
        if damp not in DAMP:
            raise unknown("damp", damp, DAMP)
        if derive_from not in DERIVE_FROM:
            raise unknown("derive_from", derive_from, DERIVE_FROM)
        require(init_scale >= 0, f"init_scale: {init_scale} is negative")
        self.gamma, self.damp, self.derive_from, self.init_scale = gamma, damp, derive_from, init_scale
        self.alpha = nn.ParameterDict()
        self.alive: dict[str, Tensor] = {}
        """Per kind of cell [E, O] bool on the CPU: what is still in the search; a kind that is absent has lost nothing."""

    def build(self, space: Space, seed: int) -> None:
        """α ~ N(0, init_scale²), [E, O] for each kind of cell."""
        super().build(space, seed)
        for kind in CELL_KINDS:
            noise = torch.randn(
                len(space.edges), len(space.operations), dtype=torch.float64, device="cpu", generator=seeds.generator(seed, "alpha", kind)
            )
            self.alpha[kind] = nn.Parameter((self.init_scale * noise).to(torch.get_default_dtype()))

    def relax(self, alpha: Tensor) -> Tensor:
        """Logits → weights of operations, not negative: softmax (Eq. 3). alpha: [E, O], −∞ where pruned → [E, O], differentiable."""
        return alpha.softmax(-1)

    def sample(self, alpha: Tensor, kind: str) -> Tensor:
        """What the supernet computes in this step: `relax`, or a draw of which `relax` is the mean or mode (SNAS, DrNAS).

        alpha: [E, O] as in `relax`; kind: of cell, to name the draw from `generator` by. → [E, O], differentiable.
        """
        return self.relax(alpha)

    def edges(self) -> dict[str, Tensor]:
        """Per kind of cell [E], the factor of a whole edge (PC-DARTS), differentiable; nothing where edges count alike."""
        return {}

    def loss(self, logits: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
        """What α minimises: L_val of Eq. 4, and whatever a method adds to it.

        Args:
            logits: the supernet as it is mixed now, [B, C, H, W] in [0, 1] → [B, classes]; differentiable in its input, twice too.
            x, y: this rank's share of the batch, [B, C, H, W] and [B].

        Returns a mean over the share; the mean over ranks is taken of its gradient. A gradient with respect to x inside is to be that of
        a sum over the share: then an input's does not depend on how many others there are, and two ranks see what one process sees.
        """
        return cross_entropy(logits(x), y)

    def mixture(self) -> Mixture:
        """What the supernet is to compute now: damped, differentiable in α."""
        weights = {kind: self._relaxed(kind, partial(self.sample, kind=kind), self.gamma) for kind in CELL_KINDS}
        return Mixture(weights, edges=self.edges(), alive=self.alive)

    def weights(self) -> dict[str, Tensor]:
        """What `derive` goes by: per kind of cell [E, O], times the edge's factor, detached, damped only if `derive_from` says so."""
        gamma = self.gamma if self.derive_from == "damped" else 1.0
        with torch.no_grad():
            edges = self.edges()
            weights = {kind: self._relaxed(kind, self.relax, gamma) for kind in CELL_KINDS}
            return {kind: w * edges[kind][:, None] if kind in edges else w for kind, w in weights.items()}

    def derive(self) -> Genotype:
        """Each node keeps its two strongest edges, each edge its strongest operation but zero."""
        return top_two_edges(self.space, self.weights())

    def figures(self) -> dict[str, float]:
        """Once anything is pruned: how many operations an edge has left, on average."""
        return {f"{kind}/operations": float(mask.double().sum(-1).mean()) for kind, mask in self.alive.items()}

    def state(self) -> dict[str, Any]:
        """Which operations are alive. A subclass adds to it."""
        return {"alive": {kind: mask.tolist() for kind, mask in self.alive.items()}}

    def rebuild(self, state: dict[str, Any]) -> None:
        """The reverse of `state`."""
        self.alive = {kind: torch.tensor(mask, dtype=torch.bool, device="cpu") for kind, mask in state["alive"].items()}

    def _relaxed(self, kind: str, relax: Callable[[Tensor], Tensor], gamma: float) -> Tensor:
        alpha = self.alpha[kind]
        alive = self.alive[kind].to(alpha.device) if kind in self.alive else None
        if alive is not None:  # a row of −∞ alone would be no number; it is taken out below
            alpha = alpha.masked_fill(~alive & alive.any(-1, keepdim=True), -torch.inf)
        at_alpha = self.damp == "alpha"
        weights = relax(damp(alpha, gamma, self.space)) if at_alpha else damp(relax(alpha), gamma, self.space)
        return weights if alive is None else weights * alive
