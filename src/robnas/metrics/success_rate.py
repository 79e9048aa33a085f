"""Attack success rate: Eq. 9."""

from torch import Tensor

from robnas.metrics.share import Share


class AttackSuccessRate(Share):
    """# successful trials / # trials. A trial is an input that was attacked and on which nothing errored.

    The paper does not say what becomes of an input without an answer; we count it as no trial, and apart.
    """

    higher_is_better = False

    def update(self, success: Tensor, eligible: Tensor, errored: Tensor) -> None:
        """Each [B] bool."""
        self.count(success, eligible & ~errored)
