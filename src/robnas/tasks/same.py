"""What a search is, in plain values: enough for a checkpoint to make it again, and to refuse the checkpoint of another."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from robnas.errors import UserError
from robnas.search.configured import Configured, arguments
from robnas.space.search_space import Space

if TYPE_CHECKING:
    from robnas.tasks.supernet_module import SupernetModule


def plain(task: "SupernetModule") -> dict[str, Any]:
    """All arguments of a search: `Search(**…)` makes it again."""
    return {name: _plain(getattr(task, name)) for name in arguments(type(task))}


def _plain(value: Any) -> Any:
    if isinstance(value, Configured):
        return value.to_config()
    if isinstance(value, Space):
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(value).items()}
    return value


def space_of(space: Space | Mapping[str, Any]) -> Space:
    """A space as it is, or from `plain`'s values."""
    if not isinstance(space, Mapping):
        return space
    return Space(
        tuple(space["operations"]), space["nodes"], space["sources"], tuple(space["concat"]), space["loose_ends"], space["repeats"]
    )


def require_same(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Raises UserError, naming the first difference, unless a checkpoint's tensors mean the same in both."""
    other = _identity(theirs)
    for key, value in _identity(mine).items():
        if other[key] != value:
            raise UserError(f"the checkpoint is of another architecture: its {key} is {other[key]!s:.60}, but here it is {value!s:.60}")


def _identity(plain: Mapping[str, Any]) -> dict[str, Any]:
    data = {key: plain["data"].get(key) for key in ("num_classes", "image_shape", "class_names")}
    return data | {"searcher": plain["searcher"]["class_path"]} | {key: plain[key] for key in ("space", "layers", "init_channels")}
