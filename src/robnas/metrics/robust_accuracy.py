"""Robust accuracy: what the model still gets right under attack."""

from torch import Tensor

from robnas.metrics.share import Share


class RobustAccuracy(Share):
    """# inputs right on the clean image and on every image that the attack ended with / # inputs, those that errored counted apart.

    What the model gets wrong without an attack counts as not robust, so that a model cannot gain by refusing easy inputs to the attack.
    """

    higher_is_better = True

    def update(self, robust: Tensor, errored: Tensor) -> None:
        """Each [B] bool."""
        self.count(robust, ~errored)
