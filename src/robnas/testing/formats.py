"""What an attack must be able to take."""

from __future__ import annotations

import torch
from torch import Tensor

from robnas.testing.subjects import SHAPES, Network, images
from robnas.testing.trial import Found, Trial, ask, identical


def takes_any_images(trial: Trial) -> None:
    """Two classes and ten, one channel and three, not square, float32 and float64; shapes and precision come back."""
    for classes, shape, dtype in ((2, SHAPES[1], torch.float32), (10, SHAPES[1], torch.float64), (2, SHAPES[0], torch.float64)):
        model, x = Network(classes, shape, dtype), images(6, shape, dtype)
        what = f"{classes} classes, images {list(shape)}, {dtype}"
        for found in _try(trial, model, x, what):
            r = found.result
            assert (r.x_adv.shape, r.x_adv.dtype) == (x.shape, dtype), f"{what}: `x_adv` is {list(r.x_adv.shape)}, {r.x_adv.dtype}"
            assert bool(r.x_adv.isfinite().all()), f"{what}: `x_adv` has values that are not finite"


def takes_no_images(trial: Trial) -> None:
    """An empty batch gives an empty result."""
    for found in _try(trial, Network(), images(4)[:0], "no images at all"):
        assert len(found.result.success) == 0


def works_in_inference_mode(trial: Trial) -> None:
    """As a test loop has it."""
    model, x = Network(), images(6)
    plain = ask(trial.build(), model, x)
    with torch.inference_mode():
        inside = _try(trial, model, x.clone(), "`torch.inference_mode`")
    for a, b in zip(plain, inside, strict=True):
        assert identical(a.result, b.result), "finds something else in `torch.inference_mode`"


def _try(trial: Trial, model: Network, x: Tensor, what: str) -> list[Found]:
    try:
        return ask(trial.build(), model, x)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"cannot do {what}: {type(error).__name__}: {error}") from error
