"""How well a training fits its poisoned and its clean part: §4.2's reading of Theorem 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robnas import seeds
from robnas.attacks.callback import Number
from robnas.data.altered import Altered
from robnas.statistics import bootstrap, wilson


@dataclass(frozen=True)
class Parts:
    """Some entries whose labels were changed, and some that are as they were.

    Args:
        flipped: [F] entries whose label is not the true one.
        clean: [C] entries that nothing was done to.
        given: [F + C] labels as training sees them, of the flipped and then of the clean.
        true: [F + C] labels of the clean data.
    """

    flipped: Tensor
    clean: Tensor
    given: Tensor
    true: Tensor

    @classmethod
    def of(cls, poisoned: Altered, drawn: Tensor, most: int, seed: int) -> Parts:
        """Of the drawn entries at most `most` of each, by seed; the same for every rank and after every kill."""
        true = poisoned.images.y[poisoned.source]
        line = drawn[seeds.bits(drawn, 1, seed, "parts")[:, 0].argsort(stable=True)]
        flipped, clean = (line[rows][:most].sort().values for rows in ((poisoned.y != true)[line], ~poisoned.touched[line]))
        index = torch.cat([flipped, clean])
        return cls(flipped, clean, poisoned.y[index], true[index])

    @property
    def index(self) -> Tensor:
        """[F + C]"""
        return torch.cat([self.flipped, self.clean])

    def numbers(self, loss: Tensor, prediction: Tensor) -> dict[str, Number]:
        """loss, prediction: [F + C] → the mean loss of each part against the labels given, and shares of right answers, with intervals.

        `accuracy_flipped_given`: flipped inputs that are answered with the wrong label they were given, so fitted; `…_true`: with the true
        one, so resisted. A part that is empty has no number.
        """
        f = len(self.flipped)
        parts = {"flipped": slice(0, f), "clean": slice(f, None)}
        given, true = prediction == self.given, prediction == self.true
        found = {f"loss_{name}": _mean(loss[rows]) for name, rows in parts.items()}
        found |= {"accuracy_flipped_given": _share(given[:f]), "accuracy_flipped_true": _share(true[:f])}
        return found | {"accuracy_clean": _share(given[f:])}


def _mean(values: Tensor) -> Number:
    of = values.double().numpy()
    return Number(float(of.mean()), len(of), bootstrap(of, n_resamples=999), "bootstrap") if len(of) else Number(None, 0)


def _share(right: Tensor) -> Number:
    hits, n = int(right.sum()), len(right)
    return Number(hits / n, n, wilson(hits, n), "wilson") if n else Number(None, 0)


def plain(numbers: dict[str, Number]) -> dict[str, float]:
    """Those that there are."""
    return {name: number.value for name, number in numbers.items() if number.value is not None and np.isfinite(number.value)}
