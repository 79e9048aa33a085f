"""Are a model's classes in another order than the data's? As far as its answers tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from robnas.statistics import wilson

Confusion = Mapping[tuple[int, int], int]
"""(label, answer) → how many inputs."""


def relabelling(confusion: Confusion) -> dict[int, int]:
    """Label → the answer that stands for it, one to one, as far as there are any.

    Greedy: the largest cell of the confusion matrix first, of equal ones the diagonal. The best assignment (Kuhn, 1955) may have more
    right, never fewer; for a good model in another order, where the largest cell of each row is that of its column too, the two agree.
    """
    order: dict[int, int] = {}
    taken: set[int] = set()
    for label, answer in sorted(confusion, key=lambda cell: (-confusion[cell], cell[0] != cell[1], cell)):
        if label not in order and answer not in taken:
            order[label] = answer
            taken.add(answer)
    return order


def hits(halves: Sequence[Confusion]) -> int:
    """Right answers after relabelling, each half's by the order that the other half suggests.

    On the inputs that an order was found on it flatters: with many classes and few inputs even chance could be relabelled to half right.
    """
    orders = [relabelling(half) for half in halves]
    return sum(n for half, order in zip(halves, reversed(orders), strict=True) for (y, a), n in half.items() if order.get(y) == a)


def doubt(halves: Sequence[Confusion], names: Sequence[str] | None) -> tuple[str, bool]:
    """What suggests another order, "" where nothing does; and whether it is at least half of the classes that would move.

    Another order is suggested where relabelling makes the model much better: where the 95% intervals (Wilson) of its accuracy before and
    after it do not meet.

    Args:
        halves: confusion of two halves of the inputs.
        names: of the data's classes.
    """
    confusion = sum((Counter(half) for half in halves), Counter())
    n, now, then = sum(confusion.values()), sum(k for (y, a), k in confusion.items() if y == a), hits(halves)
    moved = {y: a for y, a in relabelling(confusion).items() if y != a}
    if not moved or wilson(then, n)[0] <= wilson(now, n)[1]:
        return "", False
    labels = Counter({y: sum(k for (label, _), k in confusion.items() if label == y) for y in {y for y, _ in confusion}})
    y = max(moved, key=lambda y: (confusion[y, moved[y]] / labels[y], -y))
    first = f"{confusion[y, moved[y]]} of {labels[y]} inputs of {called(y, names)} are answered as {called(moved[y], names)}"
    return (
        f"{first}, and accuracy would be {then / n:.1%}, not {now / n:.1%}, if {len(moved)} of {len(labels)} classes stood for others",
        2 * len(moved) >= len(labels),
    )


def called(label: int, names: Sequence[str] | None) -> str:
    """A class in a sentence."""
    return repr(names[label]) if names and label < len(names) else f"class {label}"
