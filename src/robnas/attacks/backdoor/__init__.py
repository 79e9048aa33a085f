"""Backdoors (§3.2, Eq. 7): a trigger that a model is trained to obey. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.attacks.backdoor.badnets import BadNets
    from robnas.attacks.backdoor.base import Backdoor
    from robnas.attacks.backdoor.blended import Blended
    from robnas.attacks.backdoor.clean_label import CleanLabel
    from robnas.attacks.backdoor.trigger import Trigger
    from robnas.attacks.backdoor.trojannn import TrojanNN

__all__ = ["Backdoor", "BadNets", "Blended", "CleanLabel", "Trigger", "TrojanNN"]
__getattr__ = lazy.names(
    __name__,
    {
        "badnets": "BadNets",
        "base": "Backdoor",
        "blended": "Blended",
        "clean_label": "CleanLabel",
        "trigger": "Trigger",
        "trojannn": "TrojanNN",
    },
)
