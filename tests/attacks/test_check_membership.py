"""`robnas.testing.check_attack` on membership attacks: the built-in ones pass it, broken ones are told what to do."""

import pytest

from broken_memberships import BROKEN, Sound
from robnas.attacks.membership.confidence import Confidence
from robnas.attacks.membership.hopskipjump import HopSkipJumpDistance
from robnas.attacks.membership.loss import Loss
from robnas.attacks.membership.noise import NoiseRobustness
from robnas.testing import attack_checks, check_attack

BUILT_IN = {  # LiRA needs its shadow models, which are trained in a test loop: its own tests say the same of it
    "loss": (Loss, {}),
    "confidence": (Confidence, {}),
    "prediction": (Confidence, {"of": "prediction"}),
    "noise": (NoiseRobustness, {"copies": 2}),
    "distance": (HopSkipJumpDistance, {"steps": 1, "initial_evaluations": 6}),
}
CHECKS = [
    pytest.param(check, id=f"{name}-{check.name}")
    for name, (cls, arguments) in BUILT_IN.items()
    for check in attack_checks(cls, **arguments)
]


@pytest.mark.parametrize("check", CHECKS)
def test_built_ins_keep_every_rule(check):
    check()


@pytest.mark.parametrize("cls", BROKEN)
def test_a_broken_attack_is_told_which_rule_and_what_to_do(cls):
    check = next(check for check in attack_checks(cls) if check.name == cls.rule)
    with pytest.raises(AssertionError) as raised:
        check()
    assert str(raised.value).startswith(f"{cls.__name__}: {cls.rule}: ")
    assert cls.says in str(raised.value)


def test_what_the_broken_ones_are_made_of_is_fine_but_for_what_is_named():
    assert set(check_attack(Sound)) == {"works_in_a_test_loop"}
