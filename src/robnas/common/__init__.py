"""What several models have in common under one attack, input by input (Fig. 4). NumPy alone. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.common.chance import Excess, excess, permuted, poisson_binomial
    from robnas.common.pairs import jaccard, kappa, phi
    from robnas.common.picture import histogram
    from robnas.common.vulnerability import Common, align, of_rows

__all__ = ["Common", "Excess", "align", "excess", "histogram", "jaccard", "kappa", "of_rows", "permuted", "phi", "poisson_binomial"]
__getattr__ = lazy.names(
    __name__,
    {
        "chance": "Excess excess permuted poisson_binomial",
        "pairs": "jaccard kappa phi",
        "picture": "histogram",
        "vulnerability": "Common align of_rows",
    },
)
