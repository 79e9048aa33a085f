"""Many jobs: where and in which order they run. Imports neither torch nor Lightning; the worker processes do."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.study.pool import Outcome, Pool

__all__ = ["Outcome", "Pool"]
__getattr__ = lazy.names(__name__, {"pool": "Outcome Pool"})
