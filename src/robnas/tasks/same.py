"""What a search is, in plain values: enough for a checkpoint to make it again, and to refuse the checkpoint of another."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from robnas.errors import UserError
from robnas.space.search_space import Space

if TYPE_CHECKING:
    from robnas.tasks.search import Search

PLAIN = (
    *("layers", "init_channels", "n_step", "order", "learning_rate", "learning_rate_min", "momentum", "weight_decay", "gradient_clip"),
    *("architecture_learning_rate", "architecture_weight_decay", "architecture_warmup", "batch_norm_across_ranks", "seed"),
)
"""Arguments of `Search` that are numbers or names."""


def plain(search: "Search") -> dict[str, Any]:
    """All arguments of `Search`, and under "data" what it knows of the data. `Search(**…)` less "data" makes it again."""
    space = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(search.space).items()}
    objects = {"searcher": search.searcher.to_config(), "space": space, "data": search.data}
    return objects | {name: getattr(search, name) for name in PLAIN}


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
