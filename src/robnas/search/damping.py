"""Suppressing skip connects in the search: γ of §5.2 (ii)."""

from torch import Tensor

from robnas.space.search_space import Space

DAMP = ("alpha", "weight")
"""What γ multiplies.

alpha: α itself, before the softmax of Eq. 3: "multiply the weight of skip connection α_skip by a coefficient γ in Eq. 3". While α is near
    zero, as it is early in a search, this hardly acts; and γ < 1 moves a *negative* α towards zero, that is, it *raises* it: the literal
    reading can favour skip connects.
weight: the skip connect's weight in Eq. 3's sum, after the softmax. This always suppresses, by exactly γ. The weights of the other
    operations stay as they are, so a row then sums to less than 1; the batch normalisation of the next cell takes up the scale.
"""


def damp(x: Tensor, gamma: float, space: Space) -> Tensor:
    """Multiplies the skip connect's column by γ. x: [E, O], α or weights as `space` orders them → same shape, differentiable."""
    if gamma == 1 or "skip_connect" not in space.operations:
        return x
    factor = x.new_ones(len(space.operations))
    factor[space.operations.index("skip_connect")] = gamma
    return x * factor
