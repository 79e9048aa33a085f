"""Membership inference: was this input among those that the model was trained on? Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.attacks.membership.base import Membership
    from robnas.attacks.membership.confidence import Confidence
    from robnas.attacks.membership.hopskipjump import HopSkipJumpDistance
    from robnas.attacks.membership.inputs import Chosen
    from robnas.attacks.membership.lira import LiRA
    from robnas.attacks.membership.loss import Loss
    from robnas.attacks.membership.noise import NoiseRobustness
    from robnas.attacks.membership.result import MembershipResult

__all__ = ["Chosen", "Confidence", "HopSkipJumpDistance", "LiRA", "Loss", "Membership", "MembershipResult", "NoiseRobustness"]
__getattr__ = lazy.names(
    __name__,
    {
        "base": "Membership",
        "confidence": "Confidence",
        "hopskipjump": "HopSkipJumpDistance",
        "inputs": "Chosen",
        "lira": "LiRA",
        "loss": "Loss",
        "noise": "NoiseRobustness",
        "result": "MembershipResult",
    },
)
