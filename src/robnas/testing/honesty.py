"""What an attack says it did, beside what was seen of it."""

from __future__ import annotations

import torch
from torch import Tensor

from robnas.attacks.base import ACCESS
from robnas.attacks.goal import Goal, margin
from robnas.attacks.result import EvasionResult
from robnas.errors import UserError
from robnas.testing.subjects import Network, images
from robnas.testing.trial import Trial, ask


def counts_its_queries(trial: Trial) -> None:
    """`queries` are the images that the model was asked for, and one for each that a run ended with; `gradients` those with a gradient."""
    x = images(12)
    for rows in (torch.arange(12), torch.tensor([5])):
        model = Network()
        found = ask(trial.build(), model, x[rows], index=rows)
        seen = model.seen
        tell = "ask `victim` alone, by its own methods; it counts"
        assert not seen.direct, f"asked the module that was handed over for {seen.direct} images: {tell}"
        told, asked = sum(int(f.result.queries.sum()) for f in found), seen.images + seen.ends
        assert told == asked, f"says {told} queries where the model saw {asked} images: {tell}"
        told = sum(int(f.result.gradients.sum()) for f in found)
        assert told == seen.gradients, f"says {told} gradients where {seen.gradients} images were passed with one: {tell}"


def honours_its_access(trial: Trial) -> None:
    """It asks for no more than `access` says."""
    model, attack = Network(), trial.build()
    access = attack.access
    try:
        ask(attack, model, images(8))
    except (UserError, AttributeError) as error:
        raise AssertionError(f"asks for more than access = {access!r} gives: {error}") from error
    given = max(model.seen.boxes, key=lambda name: -ACCESS.index(name), default=access)
    assert ACCESS.index(given) >= ACCESS.index(access), (
        f"has access = {access!r} and was given {given!r}: say access = {given!r}, or ask for less"
    )
    assert access == "white" or not model.seen.gradients, f"took gradients with access = {access!r}: say access = 'white'"


def verifies_its_successes(trial: Trial) -> None:
    """What the model that was handed over says of `x_adv` is what the result says of it."""
    model, x = Network(), images(40)
    y = model.plainly(x).argmax(1)
    y[::5] = (y[::5] + 1) % 10
    for goal in ["", *trial.goals()]:
        for found in ask(trial.build(**({"goal": goal} if goal else {})), model, x, y):
            _verified(found.result, model, x, y)


def _verified(r: EvasionResult, model: Network, x: Tensor, y: Tensor) -> None:
    clean, logits = model.plainly(x), model.plainly(r.x_adv)
    correct = margin(clean, y) > 0
    aimed = r.target >= 0
    wanted = torch.where(aimed, r.target, y)
    lead = margin(logits, wanted)
    reached = torch.where(aimed, lead >= -1e-9, lead <= 1e-9)
    tell = "leave `success` to `Evasion`, which asks the model that was handed over"
    false = int((r.success & ~reached).sum())
    assert not false, f"claims {false} successes that the model does not confirm: {tell}"
    assert not bool((r.success & ~r.eligible).any()), f"claims successes on inputs that it did not attack: {tell}"
    assert torch.equal(r.correct, correct), "`correct` is not what the model says of the clean images: leave it to `Evasion`"
    assert not bool((r.robust & (~correct | (margin(logits, y) <= -1e-9))).any()), (
        "calls inputs robust that the model gets wrong, clean or attacked: leave `robust` to `Evasion`"
    )
    sure = (logits.sort(dim=1).values[:, -2:].diff(dim=1) > 1e-9).squeeze(1)
    assert torch.equal(r.prediction[sure], logits.argmax(1)[sure]), "`prediction` is not the class that the model gives `x_adv`"


def aims_at_the_goal(trial: Trial) -> None:
    """most_likely is the second class of the clean image (c₂), least_likely the last (c_m)."""
    model, x = Network(), images(16)
    clean = model.plainly(x)
    for goal in trial.goals():
        for found in ask(trial.build(goal=goal), model, x):
            expected = Goal.of(goal, clean, clean.argmax(1)).target
            assert expected is not None
            assert torch.equal(found.result.target, expected), f"goal {goal}: `target` is another class than the clean logits say"


def counts_errors_apart(trial: Trial) -> None:
    """An input on which the model gives NaN is errored: neither broken nor robust, without distance; the others end as they would alone."""
    x = images(24)
    x[:, 0, 0, 0] = torch.where(torch.arange(24) % 3 == 0, 0.9, 0.2)
    dark = x[:, 0, 0, 0] > 0.5
    y = Network().plainly(x).argmax(1)
    index = torch.arange(24)
    found = ask(trial.build(), Network(dark=0.5), x, y, index)
    plain = ask(trial.build(), Network(dark=0.5), x[~dark], y[~dark], index[~dark])
    for a, b in zip(found, plain, strict=True):
        r = a.result
        _apart(r)
        assert bool(r.errored[dark].all()), "inputs with NaN are not `errored`: leave what `Evasion` notes of them"
        assert torch.equal(r.success[~dark], b.result.success), "NaN of one input changes what happens to the others"
    x[:, 0, 0, 0] = torch.linspace(0.4, 0.5, 24, dtype=x.dtype)  # NaN is met on the way
    for a in ask(trial.build(), Network(dark=0.5), x, y, index):
        _apart(a.result)


def _apart(r: EvasionResult) -> None:
    lost = r.errored
    tell = "an input that gave NaN is counted apart"
    assert not bool((lost & r.success).any()), f"claims successes on inputs that errored: {tell}"
    assert not bool((lost & r.robust).any()), f"calls inputs robust that errored: {tell}"
    assert bool(r.distance[lost].isnan().all()), f"gives a distance to inputs that errored: {tell}"


def respects_only_correct(trial: Trial) -> None:
    """Attacked is what the model gets right; with `only_correct=False` everything."""
    model, x = Network(), images(16)
    y = model.plainly(x).argmax(1)
    y[::4] = (y[::4] + 1) % 10
    for only in (True, False):
        for found in ask(trial.build(only_correct=only), model, x, y):
            r = found.result
            right = r.correct if only else ~r.errored | (r.queries > 0)
            assert torch.equal(r.eligible, right), f"only_correct={only}: attacks other inputs; leave `eligible` to `Evasion`"
            assert not bool((r.queries[~r.eligible] > 0).any()), "asks for inputs that it must not attack"
