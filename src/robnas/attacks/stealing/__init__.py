"""Functionality stealing: a replica trained on what a black box answers. Names load on first use."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.attacks.stealing.base import Queries, Stealing
    from robnas.attacks.stealing.knockoff import Knockoff
    from robnas.attacks.stealing.oracle import Guard, Oracle
    from robnas.attacks.stealing.pool import Pool

__all__ = ["Guard", "Knockoff", "Oracle", "Pool", "Queries", "Stealing"]
__getattr__ = lazy.names(__name__, {"base": "Queries Stealing", "knockoff": "Knockoff", "oracle": "Guard Oracle", "pool": "Pool"})
