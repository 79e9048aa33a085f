"""Architecture search as bi-level optimisation (Eq. 4): weights on one half of the training data, architecture on the other."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas.errors import require, unknown
from robnas.search.base import Relaxed, Searcher
from robnas.search.summary import describe
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.supernet_task import SupernetTask

ORDERS = ("first", "second", "exact", "joint")
"""How w*(α) is approximated: by w; by one SGD step, curvature by a finite difference (published) or by differentiating twice.

"joint" is no bi-level optimisation: α and w descend one loss on one batch (SNAS; Xie et al., 2019, §2.3).
"""

_SPACE = Space()


class Search(SupernetTask):
    """DARTS and its relatives (Liu et al., 2019), with n_step of §5.2.

    Weights: SGD, its rate a cosine over the epochs. Architecture: Adam with β = (0.5, 0.999). Both see disjoint halves of the training
    data; before every `n_step`-th weight step comes an architecture step. Only weight steps move the running statistics of batch norm.
    With `order="joint"` there are no halves: at every `n_step`-th step α takes its gradient from the pass that the weights take theirs
    from, over the whole training part, and both descend the searcher's loss.

    Args:
        searcher: turns α into a mixture of operations and α into an architecture.
        space: which operations, how many nodes.
        layers: cells of the supernet; the reduction cells stand at a third and at two thirds.
        init_channels: channels of a node in the first cells.
        n_step: weight steps for each architecture step (§5.2 (i): 5).
        order: "first", "second" (finite difference), "exact" (double backward) or "joint" (single level).
        architecture_learning_rate: of α, constant.
        architecture_weight_decay: of α.
        weights: further arguments of `SupernetTask`.
    """

    runs = Relaxed
    searcher: Relaxed
    # Eight epochs of digits are 18 architecture steps at n_step 5: at the published 3e-4 α would end where it began, and γ would act on
    # noise. At 0.1 the α of an edge end about 2 apart, and γ = ½ is a shift of ln 2 = 0.7.
    scales: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "layers": 3,
            "init_channels": 4,
            "learning_rate": 0.05,
            "architecture_learning_rate": 0.1,
            "trainer": {"max_epochs": 8},
        },
    }

    def __init__(
        self,
        searcher: Searcher,
        space: Space = _SPACE,
        layers: int = 8,
        init_channels: int = 16,
        n_step: int = 1,
        order: str = "first",
        architecture_learning_rate: float = 3e-4,
        architecture_weight_decay: float = 1e-3,
        **weights: Any,
    ) -> None:
        super().__init__(searcher, space, layers, init_channels, **weights)
        require(n_step >= 1, f"n_step: {n_step} is less than 1")
        if order not in ORDERS:
            raise unknown("order", order, ORDERS)
        require(architecture_learning_rate > 0, f"architecture_learning_rate: {architecture_learning_rate} is not positive")
        require(architecture_weight_decay >= 0, f"architecture_weight_decay: {architecture_weight_decay} is negative")
        self.n_step, self.order = n_step, order
        self.data_split = "whole" if order == "joint" else "halves"
        self.architecture_learning_rate, self.architecture_weight_decay = architecture_learning_rate, architecture_weight_decay

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the weights and of α."""
        rate, decay = self.architecture_learning_rate, self.architecture_weight_decay
        return [*super().configure_optimizers(), torch.optim.Adam(self._alpha, rate, betas=(0.5, 0.999), weight_decay=decay)]

    def mixture(self) -> Mixture:
        """As the searcher relaxes α now."""
        return self.searcher.mixture()

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """Eq. 4. batch: "train" and "valid", each (x: [B, C, H, W] in [0, 1], y: [B], index); only one of these if the order is "joint".

        → {"loss": of the weight step}.
        """
        weights, alpha = self.optimizers()  # type: ignore[attr-defined]
        due = self._warm and self.searcher.step % self.n_step == 0
        if self.order == "joint":
            return {"loss": self._joint_step(batch, alpha.optimizer if due else None)}
        if due:
            self._architecture_step(batch, weights.optimizer, alpha.optimizer)
        return {"loss": self._weight_step(batch["train"], self.mixture())}

    def _joint_step(self, batch: Any, alpha: torch.optim.Optimizer | None) -> Tensor:
        """One loss for both, and one pass; α stands still without its optimizer. → the loss."""
        seen: list[Tensor] = []
        with bilevel.noise(self._noise("weights"), self.device):
            loss = self._loss(batch, seen)
        moving = self._alpha if alpha else []
        gradient = bilevel.weight_gradient(loss, [*moving, *self._weights])
        if alpha:
            self._step_alpha(gradient[: len(moving)], alpha)
        self._descend(gradient[len(moving) :])
        self._log("train", loss.detach(), seen[0].detach(), batch[1], on_epoch=True, on_step=False)
        return loss.detach()

    def _architecture_step(self, batch: Mapping[str, Any], weights: torch.optim.Optimizer, alpha: torch.optim.Optimizer) -> None:
        train = self._repeatable(lambda: cross_entropy(self._logits(batch["train"][0], self.mixture()), batch["train"][1]), "train")
        valid = self._repeatable(lambda: self._loss(batch["valid"]), "valid")
        with self._frozen_statistics():
            if self.order == "first":
                gradient = bilevel.first_order(valid, self._alpha, self._weights)
            else:
                product = bilevel.finite_difference if self.order == "second" else bilevel.exact
                with torch.autocast(self.device.type, enabled=False):  # a difference of two nearly equal gradients
                    gradient = bilevel.second_order(train, valid, self._alpha, bilevel.Inner.of(weights), product)
        self._step_alpha(gradient, alpha)

    def _step_alpha(self, gradient: list[Tensor], optimizer: torch.optim.Optimizer) -> None:
        for a, g in zip(self._alpha, gradient, strict=True):
            a.grad = g
        optimizer.step()  # the raw optimizer: Lightning counts weight steps alone, so that global_step is the number of batches

    def _loss(self, batch: Any, seen: list[Tensor] | None = None) -> Tensor:
        """The searcher's; `seen` gets the logits of its passes."""
        mixture = self.mixture()

        def logits(x: Tensor) -> Tensor:
            out = self._logits(x, mixture)
            if seen is not None:
                seen.append(out)
            return out

        return self.searcher.loss(logits, batch[0], batch[1])

    def _repeatable(self, loss: bilevel.Loss, purpose: str) -> bilevel.Loss:
        return bilevel.repeatable(loss, self._noise(purpose), self.device)

    def describe(self) -> dict[str, float]:
        """Shape of the cells, entropy and mean weights of operations. Raises UserError where α is no longer finite."""
        for kind, alpha in self.searcher.alpha.items():
            finite = bool(alpha.isfinite().all())
            require(
                finite,
                f"the search diverged: α of the {kind} cell is not finite after epoch {self.current_epoch}; lower the learning rates",
            )
        return describe(self.searcher.derive(), self.searcher.weights(), self.space)

    @property
    def _alpha(self) -> list[nn.Parameter]:
        return list(self.searcher.parameters())
