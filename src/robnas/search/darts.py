"""DARTS (Liu et al., 2019): continuous relaxation, §2.1 and Eqs 3–4."""

from torch import Tensor

from robnas.search.base import Relaxed
from robnas.search.derive import top_two_edges
from robnas.space.genotype import Genotype


class DARTS(Relaxed):
    """Softmax over the operations of every edge.

    γ (§5.2) is not seen here: `Relaxed` damps the skip connect of every searcher that has logits,
    once, between `self.alpha` and this method (damp="alpha", as Eq. 3 reads), or after it (damp="weight").
    """

    def relax(self, alpha: Tensor) -> Tensor:
        """Eq. 3. alpha: [E, O] → weights [E, O], rows sum to 1."""
        return alpha.softmax(-1)

    def derive(self) -> Genotype:
        """Each node keeps its two strongest edges, each edge its strongest operation but zero."""
        return top_two_edges(self.space, self.weights())
