"""`check_attack`: every rule that an attack must keep, tried on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from robnas.attacks.callback import Attack
from robnas.attacks.sweep import EpsSweep
from robnas.testing import ball, conduct, formats, honesty, independence, loop, scores
from robnas.testing.trial import Trial


class Rule(NamedTuple):
    """keep: raises AssertionError where it is broken. why_not: "" or why the rule does not apply to an attack."""

    keep: Callable[[Trial], None]
    why_not: Callable[[Trial], str] = lambda trial: ""


class Check(NamedTuple):
    """One rule, ready to be tried on one attack: `check()` raises AssertionError where it is broken."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        """Try it."""
        self.run()

    def __str__(self) -> str:
        return self.name


def _no_ball(trial: Trial) -> str:
    if not trial.one_result:
        return "its radii are its own: those that it has are checked by stays_in_its_ball"
    return "" if trial.has_ball else "it has no ball (ε = ∞)"


def _no_goals(trial: Trial) -> str:
    return "" if trial.goals() else "its __init__ takes no targeted `goal`"


def _several(trial: Trial) -> str:
    return "" if trial.one_result else "it is made of an attack that has this argument; check that one too"


EVASION = (
    Rule(conduct.keeps_its_arguments),
    Rule(conduct.is_documented),
    Rule(conduct.leaves_its_bases_names_alone),
    Rule(ball.stays_in_its_ball),
    Rule(ball.breaks_nothing_at_zero_eps, _no_ball),
    Rule(conduct.leaves_the_model_alone),
    Rule(conduct.leaves_images_and_labels_alone),
    Rule(honesty.counts_its_queries),
    Rule(honesty.honours_its_access),
    Rule(independence.is_a_function_of_its_seed),
    Rule(independence.does_not_depend_on_the_batch),
    Rule(independence.hardly_depends_on_the_batch_in_float32),
    Rule(honesty.verifies_its_successes),
    Rule(honesty.aims_at_the_goal, _no_goals),
    Rule(honesty.counts_errors_apart),
    Rule(honesty.respects_only_correct, _several),
    Rule(formats.takes_any_images),
    Rule(formats.takes_no_images),
    Rule(formats.works_in_inference_mode),
    Rule(conduct.can_be_copied),
    Rule(loop.works_in_a_test_loop),
)

MEMBERSHIP = (
    Rule(conduct.keeps_its_arguments),
    Rule(conduct.is_documented),
    Rule(conduct.leaves_its_bases_names_alone),
    Rule(conduct.leaves_the_model_alone),
    Rule(conduct.leaves_images_and_labels_alone),
    Rule(scores.never_sees_membership),
    Rule(scores.counts_the_queries_of_scores),
    Rule(honesty.honours_its_access),
    Rule(independence.is_a_function_of_its_seed),
    Rule(scores.score_does_not_depend_on_the_batch),
    Rule(scores.counts_scores_that_errored_apart),
    Rule(scores.scores_any_images),
    Rule(formats.works_in_inference_mode),
    Rule(conduct.can_be_copied),
    Rule(loop.works_in_a_test_loop, lambda trial: "it asks about training inputs of a run folder, which there is none of here"),
)


TELL = {
    "left the ball": "end `step` with `return self.project(x_t, s.x)`",
    "must match the size of tensor": "after `s.leave(…)` take of what was computed before it the rows that still stand: `s.keep(gradient)`",
    "'BlackBox' object has no attribute": 'gradients are for `access = "white"` alone',
}
"""What an exception says → what an author must do."""

STATIC = {"keeps_its_arguments", "is_documented", "leaves_its_bases_names_alone"}


def _compares(trial: Trial) -> bool:
    """Neither an evasion, nor one at several radii, nor a membership attack."""
    return not (trial.one_result or trial.scores or issubclass(trial.cls, EpsSweep))


def _rules(trial: Trial) -> tuple[Rule, ...]:
    return MEMBERSHIP if trial.scores else EVASION


def attack_checks(subject: type[Attack] | Attack, **arguments: Any) -> Iterator[Check]:
    """The rules that apply to an attack, each as (name, callable): `@pytest.mark.parametrize("check", attack_checks(Mine), ids=str)`.

    subject, arguments: as of `check_attack`.
    """
    trial = Trial(subject, arguments)
    apart = left_out(subject, **arguments)
    for rule in _rules(trial):
        if rule.keep.__name__ not in apart:
            yield Check(rule.keep.__name__, _tried(rule, trial))


def left_out(subject: type[Attack] | Attack, **arguments: Any) -> dict[str, str]:
    """Rule → why it does not apply to this attack; what an attack cannot keep it says itself, in a dict of that form named `exempt`."""
    trial = Trial(subject, arguments)
    said: dict[str, str] = dict(getattr(trial.build(), "exempt", {}))
    if _compares(trial):
        why = "its results compare models or attacks: check_attack of the attack that it is made of tells"
        said |= {rule.keep.__name__: why for rule in _rules(trial) if rule.keep.__name__ not in STATIC}
    return {rule.keep.__name__: why for rule in _rules(trial) if (why := said.get(rule.keep.__name__) or rule.why_not(trial))}


def check_attack(subject: type[Attack] | Attack, *, all: bool = False, **arguments: Any) -> dict[str, str]:
    """Try every rule on an attack → rules that do not apply to it, and why.

    Args:
        subject: a class, or an attack as it is to be used (copied, never changed).
        all: try all rules before anything is raised, instead of stopping at the first that is broken.
        arguments: of the class: few steps and queries, as each rule runs it several times.

    Raises:
        AssertionError: a broken rule, with what an author must do; with `all`, a line for each.
    """
    broken = []
    for check in attack_checks(subject, **arguments):
        try:
            check()
        except AssertionError as error:
            if not all:
                raise
            broken.append(error)
    if broken:
        raise AssertionError("\n".join(map(str, broken)))
    return left_out(subject, **arguments)


def _tried(rule: Rule, trial: Trial) -> Callable[[], None]:
    def run() -> None:
        said = f"{trial.cls.__name__}: {rule.keep.__name__}:"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rule.keep(trial)
        except AssertionError as error:
            raise AssertionError(f"{said} {str(error).partition(chr(10))[0]}") from error
        except Exception as error:
            tell = next((tell for said_so, tell in TELL.items() if said_so in str(error)), "see the traceback above")
            raise AssertionError(f"{said} raised {type(error).__name__}: {error}; {tell}") from error

    return run
