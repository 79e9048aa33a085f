"""What is measured of an attack, one equation a file. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.metrics.robust_accuracy import RobustAccuracy
    from robnas.metrics.success_rate import AttackSuccessRate

__all__ = ["AttackSuccessRate", "RobustAccuracy"]
__getattr__ = lazy.names(__name__, {"robust_accuracy": "RobustAccuracy", "success_rate": "AttackSuccessRate"})
