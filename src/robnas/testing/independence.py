"""What a result may depend on: the input, its index and the seed; nothing else."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robnas.attacks.result import EvasionResult
from robnas.testing.subjects import Network, images
from robnas.testing.trial import Trial, ask, identical

COUNTS = ("success", "queries", "gradients", "correct", "robust", "eligible", "errored", "prediction", "label", "target", "index")
"""What must be the same to the last bit; `x_adv` and `distance` may differ by rounding."""


def does_not_depend_on_the_batch(trial: Trial) -> None:
    """An input ends the same alone, in batches of any size, in any order, whoever stands beside it; exactly in float64."""
    model, x = Network(), images(65)
    attack, index = trial.build(), torch.arange(65) + 1000
    whole = ask(attack, model, x, index=index)
    mixed = torch.randperm(65, generator=torch.Generator().manual_seed(2))
    some = torch.tensor([0, 17, 33, 64])
    for rows, size, how in ((torch.arange(65), 16, "16"), (torch.arange(65), 64, "64"), (mixed, 256, "another order"), (some, 1, "1")):
        other = ask(attack, model, x[rows], index=index[rows], size=size)
        for a, b in zip(whole, other, strict=True):
            _agree(a.result, b.result, rows, "in batches of " + how if how.isdigit() else "in " + how)


TELL = "what is computed for an input may use its own row alone (sums over dim 0, batch means and torch.rand are not)"


def _agree(a: EvasionResult, b: EvasionResult, rows: Tensor, how: str) -> None:
    for name in COUNTS:
        differ = int((getattr(a, name)[rows] != getattr(b, name)).sum())
        assert not differ, f"depends on the batch: `{name}` of {differ} of {len(rows)} inputs differs {how}; {TELL}"
    for name in ("x_adv", "distance"):
        mine, other = getattr(a, name)[rows], getattr(b, name)
        assert torch.allclose(mine, other, rtol=0, atol=1e-7, equal_nan=True), f"depends on the batch: `{name}` differs {how}; {TELL}"


def hardly_depends_on_the_batch_in_float32(trial: Trial) -> None:
    """There, at least 99.5% of the outcomes are the same."""
    model, x = Network(dtype=torch.float32), images(200, dtype=torch.float32)
    attack = trial.build()
    for a, b in zip(ask(attack, model, x), ask(attack, model, x, size=16), strict=True):
        for name in ("success", "robust", "errored"):
            share = float((getattr(a.result, name) == getattr(b.result, name)).double().mean())
            assert share >= 0.995, f"depends on the batch: in float32 only {share:.1%} of `{name}` are the same in batches of 16; {TELL}"


def is_a_function_of_its_seed(trial: Trial) -> None:
    """Two calls with one seed agree bit for bit, and no global random state is read or changed."""
    model, x = Network(), images(12)
    attack = trial.build()
    found = []
    kept = (torch.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002
    try:
        for other in (5, 5, 6):
            torch.manual_seed(other)
            np.random.seed(other)  # noqa: NPY002
            random.seed(other)
            before = _global_state()
            found.append(ask(attack, model, x, seed=3))
            for name, now in _global_state().items():
                assert now == before[name], f"draws from {name}'s global random numbers: take `s.uniform()` or `s.normal()`"
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])
    for again, why in (
        (found[1], "two calls with one seed differ: keep nothing between calls, and draw with `s.uniform()` or `s.normal()`"),
        (found[2], "depends on a global seed: draw with `s.uniform()` or `s.normal()`"),
    ):
        for a, b in zip(found[0], again, strict=True):
            assert identical(a.result, b.result), f"is not a function of its seed: {why}"
    fresh = ask(trial.build(), model, x, seed=3)
    for a, b in zip(found[0], fresh, strict=True):
        assert identical(a.result, b.result), "is not a function of its seed: an attack built anew finds something else"


def _global_state() -> dict[str, Any]:
    numpy: Any = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [str(numpy[0]), np.asarray(numpy[1]).tolist(), numpy[2:]],
        "random": random.getstate(),
    }
