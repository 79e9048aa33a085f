"""Architecture search as bi-level optimisation (Eq. 4): weights on one half of the training data, architecture on the other."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas.errors import require, unknown
from robnas.search.base import Relaxed, Searcher
from robnas.search.summary import describe
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.tasks import bilevel
from robnas.tasks.chronicle import Chronicle
from robnas.tasks.supernet_task import SupernetTask

ORDERS = ("first", "second", "exact")
"""How w*(α) is approximated: by w; by one SGD step, curvature by a finite difference (published) or by differentiating twice."""

_SPACE = Space()


class Search(SupernetTask):
    """DARTS and its relatives (Liu et al., 2019), with n_step of §5.2.

    Weights: SGD, its rate a cosine over the epochs. Architecture: Adam with β = (0.5, 0.999). Both see disjoint halves of the training
    data; before every `n_step`-th weight step comes an architecture step. Only weight steps move the running statistics of batch norm.

    Args:
        searcher: turns α into a mixture of operations and α into an architecture.
        space: which operations, how many nodes.
        layers: cells of the supernet; the reduction cells stand at a third and at two thirds.
        init_channels: channels of a node in the first cells.
        n_step: weight steps for each architecture step (§5.2 (i): 5).
        order: "first", "second" (finite difference) or "exact" (double backward).
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
        self.architecture_learning_rate, self.architecture_weight_decay = architecture_learning_rate, architecture_weight_decay

    def configure_callbacks(self) -> list[Callback]:
        """What the search did, kept over a resume, written and drawn at the end."""
        return [Chronicle()]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the weights and of α."""
        rate, decay = self.architecture_learning_rate, self.architecture_weight_decay
        return [*super().configure_optimizers(), torch.optim.Adam(self._alpha, rate, betas=(0.5, 0.999), weight_decay=decay)]

    def mixture(self) -> Mixture:
        """As the searcher relaxes α now."""
        return self.searcher.mixture()

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Eq. 4. batch: "train" and "valid", each (x: [B, C, H, W] in [0, 1], y: [B], index). → {"loss": of the weight step}."""
        weights, alpha = self.optimizers()  # type: ignore[attr-defined]
        if self._warm and self.searcher.step % self.n_step == 0:
            self._architecture_step(batch, weights.optimizer, alpha.optimizer)
        return {"loss": self._weight_step(batch["train"], self.mixture())}

    def _architecture_step(self, batch: Mapping[str, Any], weights: torch.optim.Optimizer, alpha: torch.optim.Optimizer) -> None:
        train, valid = (self._repeatable(batch[half], half) for half in ("train", "valid"))
        with self._frozen_statistics():
            if self.order == "first":
                gradient = bilevel.first_order(valid, self._alpha, self._weights)
            else:
                product = bilevel.finite_difference if self.order == "second" else bilevel.exact
                with torch.autocast(self.device.type, enabled=False):  # a difference of two nearly equal gradients
                    gradient = bilevel.second_order(train, valid, self._alpha, bilevel.Inner.of(weights), product)
        for a, g in zip(self._alpha, gradient, strict=True):
            a.grad = g
        alpha.step()  # the raw optimizer: Lightning counts weight steps alone, so that global_step is the number of batches

    def _repeatable(self, batch: Any, half: str) -> bilevel.Loss:
        x, y = batch[0], batch[1]
        return bilevel.repeatable(lambda: cross_entropy(self._logits(x, self.mixture()), y), self._noise(half), self.device)

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
