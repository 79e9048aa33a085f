"""Many jobs: where and in which order they run. Imports neither torch nor Lightning; the worker processes do."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.study.executor import Executor, Outcome
    from robnas.study.pool import Pool

__all__ = ["Executor", "Outcome", "Pool"]
__getattr__ = lazy.names(__name__, {"executor": "Executor Outcome", "pool": "Pool"})
