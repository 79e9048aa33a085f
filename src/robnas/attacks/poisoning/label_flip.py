"""Label flips (§3.2, Fig. 6): a share of the training inputs is given another class."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from robnas import seeds
from robnas.attacks.poisoning.base import Poisoning
from robnas.data.altered import Altered
from robnas.errors import require, unknown

FLIPS = ("uniform", "pairwise")


class LabelFlip(Poisoning):
    """Gives round(rate · n) of the n training inputs another label than their own.

    With one seed the inputs of a smaller rate are among those of a larger one, with the same new labels. The paper says "randomly changing
    the class" and no more; here the new class is never the old one, as in the authors' code, so a rate of 40% is 40% of wrong labels.

    Args:
        rate: share of the training inputs, in [0, 1]; with `pairs`, of those whose class is among them.
        flips: "uniform" over the other classes, or "pairwise": every class has one that it becomes.
        pairs: of pairwise flips, class → class; c → c + 1, and the last one → 0, if not given.
        stratified: every class gives its proportion (Webster's apportionment, so that rates stay nested), and no seed has easier classes
            than another. Otherwise a plain draw, as an attacker without knowledge of the labels makes it.
        protocol: arguments of `Poisoning`.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"watched": 200}}

    def __init__(
        self,
        rate: float = 0.2,
        flips: str = "uniform",
        pairs: dict[int, int] | None = None,
        stratified: bool = True,
        **protocol: Any,
    ) -> None:
        super().__init__(**protocol)
        require(0 <= rate <= 1, f"rate: {rate} is not in [0, 1]")
        if flips not in FLIPS:
            raise unknown("flips", flips, FLIPS)
        require(pairs is None or flips == "pairwise", "pairs: given, but flips are uniform; flips: pairwise uses them")
        for a, b in (pairs or {}).items():
            require(a != b, f"pairs: {a} → {b} flips nothing")
        self.rate, self.flips, self.pairs, self.stratified = rate, flips, pairs, stratified

    def poison(self, clean: Altered, pool: Tensor, classes: int, seed: int) -> tuple[Altered, Tensor]:
        """Raises UserError for a class that the data do not have."""
        require(classes > 1, f"label_flip: the data have {classes} class; there is no other to flip to")
        become = successors(self.pairs, classes)
        movable = pool if self.flips == "uniform" else pool[become[clean.y[pool]] >= 0]
        line = in_line(movable, clean.y[movable], self.stratified, seed)
        chosen = line[: round(self.rate * len(movable))]
        y = clean.y[chosen]
        return clean.relabelled(chosen, others(y, chosen, classes, seed) if self.flips == "uniform" else become[y]), pool


def others(y: Tensor, index: Tensor, classes: int, seed: int) -> Tensor:
    """y: [k] → [k] labels, uniform over the other classes; a function of seed, index and y."""
    shift = 1 + (seeds.uniform(index, (), seed, "new label", dtype=torch.float64) * (classes - 1)).long()
    return (y + shift) % classes


def successors(pairs: Mapping[int, int] | None, classes: int) -> Tensor:
    """[classes] what each class becomes; −1 where it stays. Raises UserError for a class that is not in 0 … classes − 1."""
    if pairs is None:
        return (torch.arange(classes) + 1) % classes
    for c in (*pairs, *pairs.values()):
        require(0 <= c < classes, f"pairs: there is no class {c}; the data have 0 … {classes - 1}")
    become = torch.full((classes,), -1)
    for a, b in pairs.items():
        become[a] = b
    return become


def in_line(pool: Tensor, y: Tensor, stratified: bool, seed: int) -> Tensor:
    """pool: [n] entries of labels y: [n] → [n] in the order in which they are flipped, whatever the rate.

    Stratified: the r-th of n_c inputs of a class stands at (r + ½) / n_c, which is the method of Webster (Sainte-Laguë): each class gives
    its proportion at every rate, to within an input or so.
    """
    order = seeds.bits(pool, 1, seed, "flipped")[:, 0].argsort(stable=True)
    if not stratified:
        return pool[order]
    by_class = order[y[order].argsort(stable=True)]
    counts = torch.bincount(y)
    rank = torch.arange(len(pool)) - (counts.cumsum(0) - counts)[y[by_class]]
    place = torch.empty(len(pool), dtype=torch.float64)
    place[by_class] = (rank.double() + 0.5) / counts[y[by_class]]
    return pool[order[place[order].argsort(stable=True)]]
