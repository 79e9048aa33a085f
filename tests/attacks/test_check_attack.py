"""`robnas.testing.check_attack`: the built-in attacks pass it, and broken ones are told what to do."""

import subprocess
import sys

import pytest

from broken_attacks import BROKEN, Base
from robnas import plugins
from robnas.attacks import APGD, NES, PGD, Ensemble, EpsSweep, Evasion, HopSkipJump, Square
from robnas.attacks.foreign import Foreign
from robnas.attacks.noise import Noise
from robnas.attacks.transfer import Transfer
from robnas.testing import attack_checks, check_attack, left_out

BUILT_IN = {
    "pgd": (PGD, {"steps": 3, "n_restarts": 2}),
    "pgd_l2": (PGD, {"steps": 2, "n_restarts": 2, "norm": "l2", "eps": 0.5, "step_size": 0.3, "loss": "margin"}),
    "pgd_exact": (PGD, {"steps": 2, "n_restarts": 1, "random_start": False, "exact": True}),
    "apgd": (APGD, {"steps": 4}),
    "apgd_t": (APGD, {"steps": 3, "loss": "targeted_dlr", "n_targets": 2, "norm": "l2", "eps": 0.5}),
    "square": (Square, {"n_queries": 8}),
    "square_l2": (Square, {"n_queries": 8, "norm": "l2", "eps": 0.5}),
    "noise": (Noise, {"n_queries": 5}),
    "nes": (NES, {"steps": 2, "n_queries": 6}),
    "hopskipjump": (HopSkipJump, {"steps": 2, "initial_evaluations": 6}),
    "hopskipjump_linf": (HopSkipJump, {"steps": 1, "initial_evaluations": 6, "norm": "linf"}),
    "ensemble": (Ensemble, {"steps": 2, "n_targets": 2, "n_queries": 4}),
    "eps_sweep": (EpsSweep, {"attack": PGD(steps=2, n_restarts=1), "eps": [0.01, 0.05, 0.2]}),
}
CHECKS = [
    pytest.param(check, id=f"{name}-{check.name}")
    for name, (cls, arguments) in BUILT_IN.items()
    for check in attack_checks(cls, **arguments)
]


@pytest.mark.parametrize("check", CHECKS)
def test_built_ins_keep_every_rule(check):
    check()


def test_every_built_in_evasion_is_among_them():
    declared = {p.load() for p in plugins.declared("robnas.attacks") if p.built_in}
    evasions = {cls for cls in declared if issubclass(cls, Evasion) and not issubclass(cls, Foreign)}
    assert {cls for cls, _ in BUILT_IN.values()} == evasions | {EpsSweep}


def test_what_compares_models_is_checked_as_far_as_rules_apply():
    assert len(set(left_out(Transfer).values())) == 1
    assert [check.name for check in attack_checks(Transfer)] == ["keeps_its_arguments", "is_documented", "leaves_its_bases_names_alone"]
    check_attack(Transfer)


@pytest.mark.parametrize("cls", BROKEN)
def test_a_broken_attack_is_told_which_rule_and_what_to_do(cls):
    check = next(check for check in attack_checks(cls) if check.name == cls.rule)
    with pytest.raises(AssertionError) as raised:
        check()
    assert str(raised.value).startswith(f"{cls.__name__}: {cls.rule}: ")
    assert cls.says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_what_the_broken_ones_are_made_of_is_fine():
    assert check_attack(Base) == {}
    assert check_attack(Base(eps=0.1), all=True) == {}


def test_the_first_broken_rule_is_raised_or_all_of_them():
    cls = next(c for c in BROKEN if c.__name__ == "Undocumented")
    with pytest.raises(AssertionError, match=r"^Undocumented: is_documented: [^\n]*$"):
        check_attack(cls)
    cls = next(c for c in BROKEN if c.__name__ == "Claims")
    with pytest.raises(AssertionError, match="verifies_its_successes") as raised:
        check_attack(cls, all=True)
    assert len(str(raised.value).split("\n")) >= 2  # NaN inputs aside, claims at ε where none broke


def test_rules_that_do_not_apply_are_named_with_a_reason():
    assert left_out(PGD) == {}
    assert left_out(HopSkipJump) == {"breaks_nothing_at_zero_eps": "it has no ball (ε = ∞)"}
    assert set(left_out(Ensemble)) == {"aims_at_the_goal"}
    assert set(left_out(EpsSweep, attack=PGD(), eps=[0.1])) == {"breaks_nothing_at_zero_eps", "aims_at_the_goal", "respects_only_correct"}


@pytest.mark.slow
def test_an_object_is_copied_and_stays_as_it_was():
    attack = PGD(eps=0.1, steps=2, n_restarts=1)
    before = dict(vars(attack))
    check_attack(attack)
    assert vars(attack) == before


@pytest.mark.slow
def test_authors_need_neither_pytest_nor_scikit_learn():
    code = "import sys; sys.modules.update(dict.fromkeys(['pytest', 'sklearn']))\n"
    code += "from robnas.testing import check_attack; from robnas.attacks import PGD; check_attack(PGD, steps=1, n_restarts=1)"
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True, timeout=600)
