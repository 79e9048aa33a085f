"""A model beside the data that it is to be judged on: do they fit, and does it know more than how often each class comes?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from robnas.attacks.victim import probabilities
from robnas.errors import UserError, require
from robnas.models.foreign_logits import fault, two
from robnas.plugins import said
from robnas.statistics import wilson
from robnas.tasks.class_order import called, doubt


def same_images(model: Sequence[int] | None, data: Sequence[int] | None, means: int, name: str) -> None:
    """Raise UserError where the model is for images of another size, or normalises another number of channels."""
    if model is not None and data is not None and tuple(model) != tuple(data):
        raise UserError(f"the model is for images {list(model)}, but those of {name} are {list(data)} (channels, height, width)")
    if data is not None and means not in (1, data[0]):
        raise UserError(f"mean, std: {means} numbers each, but images of {name} have {data[0]} channels")


def order_of_classes(model: Sequence[str] | None, data: Sequence[str] | None, by_name: bool, name: str) -> list[int] | None:
    """For each of the data's classes its column among the model's; None where the two agree, or one of them has no names.

    The same names in another order are refused unless `by_name`: which of the two orders is wrong cannot be known from here.

    Raises:
        UserError: names the first class that differs.
    """
    if model is None or data is None or list(model) == list(data):
        return None
    if len(model) != len(data):
        raise UserError(f"the model has {len(model)} classes, {name} has {len(data)}")
    first = next(i for i, pair in enumerate(zip(model, data, strict=True)) if pair[0] != pair[1])
    differs = f"class {first} is {model[first]!r} in the model, but {data[first]!r} in {name}"
    same = sorted(model) == sorted(data) and len(set(model)) == len(model)
    require(same, f"{differs}: the two do not have the same classes")
    require(by_name, f"{differs}: the same {len(model)} names in another order; --model.map_classes=true maps them by name")
    return [list(model).index(label) for label in data]


def in_range(x: Tensor, name: str) -> None:
    """Raise UserError where pixels are not in [0, 1]. x: [B, C, H, W]."""
    require(x.is_floating_point(), f"images of {name} are {x.dtype}; floating point in [0, 1] is needed")
    inside = bool((x >= 0).all() & (x <= 1).all())
    advice = "they must be in [0, 1], with normalisation inside the model (mean, std)"
    require(inside, f"images of {name} have pixels from {float(x.min()):.3g} to {float(x.max()):.3g}; {advice}")


def answer(ask: Callable[[], Any], x: Tensor, one_logit: bool, classes: int | None, name: str) -> Tensor:
    """What the network answers to x: [B, C, H, W], as [B, classes]; of a one-logit network [B, 2].

    Raises:
        UserError: it cannot be run on images of this size, or answers with anything but logits of the data's classes.
    """
    try:
        found = ask()
    except Exception as error:  # code of the user's own: it may raise anything
        text = said(error)
        channels, *size = x.shape[1:]
        other = "grey images" if channels == 3 else "colour images"
        given = f"{channels} channel{'s' * (channels > 1)} of {' × '.join(map(str, size))} pixels"
        advice = f"it is given {given}: is it for another size, or for {other}?"
        raise UserError(f"the model cannot be run on images {list(x.shape[1:])} of {name}: {text[:300]}; {advice}") from error
    wrong = fault(found, len(x), one_logit)
    require(not wrong, wrong)
    logits: Tensor = two(found.reshape(len(x), 1)) if one_logit else found
    m = logits.shape[1]
    require(classes is None or m == classes, f"the model has {m} classes, {name} has {classes}")
    return logits


def mapping(model: Sequence[str] | None, data: Sequence[str] | None, classes: int | None, most: int = 20) -> list[str]:
    """Index → name of a class, the model's beside the data's."""
    if data is None:
        return [f"classes: {classes if classes is not None else 'number unknown'}, without names in the data"]
    how = "no names of the model's own: it is taken to have the data's order" if model is None else "the model's beside the data's"
    lines = [f"classes, {how}:"]
    for i, label in enumerate(data[:most]):
        own = (
            ""
            if model is None
            else f"  model: {model[i]!r}" + ("" if model[i] == label else f" (column {list(model).index(label)} is used)")
        )
        lines.append(f"  class {i}: {label!r}{own}")
    return [*lines, f"  … and {len(data) - most} more"] if len(data) > most else lines


@dataclass
class Seen:
    """Predictions counted.

    Attributes:
        labels: how often each class came.
        halves: (label, answer) → count, of two halves of the inputs.
        probable: whether all answers looked like probabilities.
    """

    hits: int = 0
    n: int = 0
    classes: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    halves: tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]] = field(default_factory=lambda: (Counter(), Counter()))
    probable: bool = True

    def add(self, logits: Tensor, y: Tensor, classes: int | None, half: Tensor) -> None:
        """logits: [B, m], y: [B], half: [B] 0 or 1. Raises UserError for a label that the model has no class for."""
        low, high, m = int(y.min()), int(y.max()), logits.shape[1]
        require(0 <= low <= high < m, f"labels from {low} to {high}; the model has {m} classes, numbered from 0")
        answers = logits.argmax(1)
        self.hits += int((answers == y).sum())
        self.probable = self.probable and _probable(logits)
        for which, label, given in zip(half.tolist(), y.tolist(), answers.tolist(), strict=True):
            self.halves[which][label, given] += 1
        self.n, self.classes = self.n + len(y), classes or m
        self.labels.update(y.tolist())

    @staticmethod
    def together(parts: Sequence[Seen]) -> Seen:
        """Of all ranks."""
        labels: Counter[int] = sum((part.labels for part in parts), Counter())
        first, second = (sum((part.halves[i] for part in parts), Counter()) for i in range(2))
        probable = all(part.probable for part in parts)
        return Seen(sum(p.hits for p in parts), sum(p.n for p in parts), max(p.classes for p in parts), labels, (first, second), probable)

    @property
    def majority(self) -> tuple[int, float]:
        """The most frequent class and its share; of equally frequent ones the first."""
        label, count = min(self.labels.items(), key=lambda item: (-item[1], item[0]))
        return label, count / self.n

    def lines(self, names: Sequence[str] | None) -> list[str]:
        """Clean accuracy beside the majority's share, and what else is odd."""
        require(self.n > 0, "there are no images to look at the model with")
        low, high = wilson(self.hits, self.n)
        label, share = self.majority
        accuracy = f"clean accuracy {self.hits / self.n:.1%} (95% interval {100 * low:.1f} to {100 * high:.1f}, n = {self.n})"
        lines = [f"{accuracy}; always answering {called(label, names)}, the most frequent class, gives {share:.1%}"]
        if self.probable:
            lines.append("answers look like probabilities, not logits: have the model return what comes before its softmax or sigmoid")
        odd, many = doubt(self.halves, names)
        return [*lines, f"some classes may be in another order: {odd}"] if odd and not many else lines

    def in_another_order(self, names: Sequence[str] | None) -> str:
        """What is wrong where relabelling at least half of the classes would make the model much better; else ""."""
        odd, many = doubt(self.halves, names)
        if not many:
            return ""
        how = (
            "--model.class_names (in the model's order) with --model.map_classes=true" if names else "put its outputs into the data's order"
        )
        return f"the model's classes seem to be in another order than the data's: {odd}: {how}, or --model.insist=true goes on"

    def at_chance(self, names: Sequence[str] | None) -> str:
        """What is wrong where the interval's lower end does not exceed the majority's share and 1 / classes; else ""."""
        low, high = wilson(self.hits, self.n)
        label, share = self.majority
        chance = max(share, 1 / self.classes)
        if low > chance:
            return ""
        what = f"the share of the most frequent class, {called(label, names)}" if chance == share else f"1 / {self.classes} classes"
        accuracy = f"{self.hits / self.n:.1%} (95% interval {100 * low:.1f} to {100 * high:.1f}, n = {self.n})"
        advice = "weights, normalisation (mean, std) or class order are likely wrong; --model.insist=true goes on"
        return f"the model is at chance: its clean accuracy of {accuracy} does not exceed {chance:.1%}, {what}: {advice}"


def _probable(logits: Tensor) -> bool:
    """Whether [B, m] look like a softmax's answer, or like that of a sigmoid taken for one logit."""
    if logits.shape[1] == 2 and not bool(logits[:, 0].any()):
        z = logits[:, 1]
        return bool(((z >= 0) & (z <= 1)).all())
    return probabilities(logits)
