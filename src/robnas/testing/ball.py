"""Where the images of an attack lie."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robnas.attacks import norms
from robnas.testing.subjects import Network, images
from robnas.testing.trial import Found, Trial, ask

RADII = {"linf": (0.0, 0.01, 0.05, 0.3, 1.0), "l2": (0.0, 0.1, 0.5, 2.0, 20.0)}


def stays_in_its_ball(trial: Trial) -> None:
    """Every image, of a success or not, is within ε of its input in the attack's norm and in [0, 1]."""
    model, x = Network(), images(24)
    first = trial.build()
    radii = RADII[first.norm] if trial.has_ball and trial.one_result else (None,)
    for goal in ["", *trial.goals()]:
        for eps in radii:
            changes: dict[str, Any] = ({} if eps is None else {"eps": eps}) | ({"goal": goal} if goal else {})
            for found in ask(trial.build(**changes), model, x):
                _inside(found, x)


def _inside(found: Found, x: Tensor) -> None:
    r, norm = found.result, found.attack.norm or "linf"
    far = norms.distance(r.x_adv, x, norm)
    tell = "end `step` with `return self.project(x_t, s.x)`"
    worst = int(far.argmax())
    assert bool((far <= found.eps + 1e-6 * max(1, found.eps)).all()), (
        f"left its ball: image {worst} is {float(far[worst]):.3g} from its input, ε is {found.eps:.3g} ({norm}); {tell}"
    )
    assert bool((r.x_adv >= 0).all() & (r.x_adv <= 1).all()), f"left [0, 1]: pixels from {r.x_adv.min():.3g} to {r.x_adv.max():.3g}; {tell}"
    assert torch.equal(r.x_adv[~r.eligible], x[~r.eligible]), (
        "changed images of inputs that are not attacked: leave `x_adv` of them as it is"
    )
    near = torch.where(r.success, far, torch.inf)
    near[~r.eligible | r.errored] = torch.nan
    assert torch.allclose(r.distance, near, rtol=1e-5, atol=1e-9, equal_nan=True), (
        f"`distance` is not that of `x_adv` in {norm}: the distance of a success, else ∞; NaN where nothing was tried or it errored"
    )


def breaks_nothing_at_zero_eps(trial: Trial) -> None:
    """A ball of radius 0 holds the input alone."""
    model, x = Network(), images(8)
    for found in ask(trial.build(eps=0.0), model, x):
        assert torch.equal(found.result.x_adv, x), "changes images at ε = 0: end `step` with `return self.project(x_t, s.x)`"
        assert not found.result.success.any(), "claims successes at ε = 0, where every image is its input"
