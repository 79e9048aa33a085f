"""DARTS (Liu et al., 2019): continuous relaxation, §2.1 and Eqs 3–4."""

from torch import Tensor

from robnas.search.base import Relaxed


class DARTS(Relaxed):
    """DARTS: softmax over the operations of every edge, stepped by gradient; relaxed (Liu et al., 2019).

    Each node of the cell keeps its two strongest edges, each edge its strongest operation.

    γ (§5.2) is not seen here: `Relaxed` damps the skip connect of every searcher that has logits,
    once, between `self.alpha` and this method (damp="alpha", as Eq. 3 reads), or after it (damp="weight").
    """

    def relax(self, alpha: Tensor) -> Tensor:
        """Eq. 3. alpha: [E, O] → weights [E, O], rows sum to 1."""
        return alpha.softmax(-1)
