"""Poisoning (§3.2, Eq. 6): clean training set → poisoned training set. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.attacks.poisoning.base import Poisoning
    from robnas.attacks.poisoning.label_flip import LabelFlip
    from robnas.attacks.poisoning.record import Record

__all__ = ["LabelFlip", "Poisoning", "Record"]
__getattr__ = lazy.names(__name__, {"base": "Poisoning", "label_flip": "LabelFlip", "record": "Record"})
