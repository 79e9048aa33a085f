"""What is measured of an attack, one equation a file."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robnas.metrics.robust_accuracy import RobustAccuracy
    from robnas.metrics.success_rate import AttackSuccessRate

__all__ = ["AttackSuccessRate", "RobustAccuracy"]

_HOME = {"AttackSuccessRate": "success_rate", "RobustAccuracy": "robust_accuracy"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"robnas.metrics.{_HOME[name]}"), name)
    raise AttributeError(f"module 'robnas.metrics' has no attribute {name!r}")
