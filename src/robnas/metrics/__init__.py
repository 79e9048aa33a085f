"""What is measured of an attack, one equation a file. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.metrics.agreement import Agreement
    from robnas.metrics.average_cross_entropy import AverageCrossEntropy
    from robnas.metrics.divergence import Divergence
    from robnas.metrics.robust_accuracy import RobustAccuracy
    from robnas.metrics.success_rate import AttackSuccessRate

__all__ = ["Agreement", "AttackSuccessRate", "AverageCrossEntropy", "Divergence", "RobustAccuracy"]
__getattr__ = lazy.names(
    __name__,
    {
        "agreement": "Agreement",
        "average_cross_entropy": "AverageCrossEntropy",
        "divergence": "Divergence",
        "robust_accuracy": "RobustAccuracy",
        "success_rate": "AttackSuccessRate",
    },
)
