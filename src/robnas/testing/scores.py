"""The rules of membership attacks that are not those of evasions."""

from __future__ import annotations

from typing import Any

import torch

from robnas.attacks.membership.base import Membership
from robnas.testing.independence import TELL
from robnas.testing.subjects import SHAPES, Network, images
from robnas.testing.trial import Trial, identical, score


def never_sees_membership(trial: Trial) -> None:
    """Who is a member decides nothing: scores are the same whatever is said of it."""
    model, x = Network(), images(12)
    found = [score(trial.build(), model, x, member=member) for member in (None, torch.arange(12) < 6, torch.arange(12) >= 6)]
    for other in found[1:]:
        assert identical(found[0].score, other.score), "its scores depend on `member`: that is the truth, for the result alone"


def score_does_not_depend_on_the_batch(trial: Trial) -> None:
    """An input's score is the same alone, in batches of any size, in any order, whoever stands beside it; exactly in float64."""
    model, x = Network(), images(65)
    y, index = model.plainly(x).argmax(1), torch.arange(65) + 1000
    whole = score(trial.build(), model, x, y, index)
    mixed, some = torch.randperm(65, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 17, 33, 64])
    for rows, size, how in (
        (torch.arange(65), 16, "batches of 16"),
        (torch.arange(65), 64, "batches of 64"),
        (mixed, 256, "another order"),
        (some, 1, "batches of 1"),
    ):
        other = score(trial.build(), model, x[rows], y[rows], index[rows], size=size)
        same = torch.isclose(whole.score[rows].double(), other.score.double(), rtol=1e-9, atol=1e-9, equal_nan=True)
        assert bool(same.all()), f"depends on the batch: scores of {int((~same).sum())} of {len(rows)} inputs differ in {how}; {TELL}"
        for name in ("queries", "errored"):
            assert torch.equal(getattr(whole, name)[rows], getattr(other, name)), f"depends on the batch: `{name}` differs in {how}; {TELL}"


def counts_the_queries_of_scores(trial: Trial) -> None:
    """`queries` are the images that the model was asked for."""
    x = images(12)
    for rows in (torch.arange(12), torch.tensor([5])):
        model, attack = Network(), trial.build()
        r = score(attack, model, x[rows], index=rows)
        tell = "ask `victim` alone, by its own methods; it counts"
        assert not model.seen.direct, f"asked the module that was handed over for {model.seen.direct} images: {tell}"
        own = type(attack).ask is Membership.ask  # else it leaves the asking to an evasion, whose last image is a query
        told, asked = int(r.queries.sum()), model.seen.images + (0 if own else model.seen.ends)
        assert told == asked, f"says {told} queries where the model saw {asked} images: {tell}"


def counts_scores_that_errored_apart(trial: Trial) -> None:
    """An input on which the model gives NaN is errored, its score NaN; the others have the score that they have alone."""
    x, index = images(24), torch.arange(24)
    x[:, 0, 0, 0] = torch.where(index % 3 == 0, 0.9, 0.2)
    dark, y = index % 3 == 0, Network().plainly(x).argmax(1)
    r = score(trial.build(), Network(dark=0.5), x, y, index)
    plain = score(trial.build(), Network(dark=0.5), x[~dark], y[~dark], index[~dark])
    assert bool(r.errored[dark].all()), "inputs with NaN are not `errored`: leave what `Membership` notes of them"
    assert bool(r.score[r.errored].isnan().all()), "gives a score to inputs that errored: NaN is needed"
    assert torch.allclose(r.score[~dark].double(), plain.score.double(), rtol=1e-9, atol=1e-9, equal_nan=True), (
        "NaN of one input changes the score of others"
    )


def scores_any_images(trial: Trial) -> None:
    """Two classes and ten, one channel and three, not square, float32 and float64, and no images at all."""
    for classes, shape, dtype in ((2, SHAPES[1], torch.float32), (10, SHAPES[1], torch.float64), (2, SHAPES[0], torch.float64)):
        what = f"{classes} classes, images {list(shape)}, {dtype}"
        for n in (6, 0):
            model, x = Network(classes, shape, dtype), images(6, shape, dtype)[:n]
            try:
                r: Any = score(trial.build(), model, x)
            except Exception as error:
                raise AssertionError(f"cannot do {n} of {what}: {type(error).__name__}: {error}") from error
            assert r.score.shape == (n,), f"{what}: {list(r.score.shape)} scores of {n} inputs"
