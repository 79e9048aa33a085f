"""Many jobs: where and in which order they run. Imports neither torch nor Lightning; the worker processes do."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robnas.study.pool import Outcome, Pool

__all__ = ["Outcome", "Pool"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from robnas.study import pool

        return getattr(pool, name)
    raise AttributeError(f"module 'robnas.study' has no attribute {name!r}")
