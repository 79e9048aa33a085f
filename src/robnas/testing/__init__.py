"""For authors of attacks: `check_attack(MyAttack)`, in the spirit of scikit-learn's `check_estimator`."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.testing.checks import Check, attack_checks, check_attack, left_out

__all__ = ["Check", "attack_checks", "check_attack", "left_out"]
__getattr__ = lazy.names(__name__, {"checks": "Check attack_checks check_attack left_out"})
