"""`scale: tiny`: every class says itself what that means for it, in `scales = {"tiny": {"layers": 5, "trainer": {"max_epochs": 10}}}`.

Two keys are not arguments of the class: `trainer`, and `model`, arguments of the task that a searcher or an evaluator is part of. What
the part says counts more than what the whole says.
"""

from typing import Any

from robnas.configuration.merging import merge
from robnas.configuration.naming import Path, blocks, class_of, expand
from robnas.errors import unknown


def layer(config: dict[str, Any], scale: str, fixed: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `scale` means for the classes of `config`, as a config to lay over it.

    Args:
        config: merged so far; its classes are asked.
        scale: a name that at least one of them declares.
        fixed: top-level keys that keep their values: the model of a run that is only evaluated.

    Raises:
        UserError: no class of the config declares it.
    """
    out: dict[str, Any] = {}
    known: set[str] = set()
    for path, block in blocks(config):
        scales: dict[str, dict[str, Any]] = getattr(class_of(block, path), "scales", {})
        known |= set(scales)
        if path[0] in fixed or any(isinstance(part, int) for part in path):  # an object in a list has no address
            continue
        values = dict(scales.get(scale, {}))
        trainer, model = values.pop("trainer", {}), values.pop("model", {})
        for said in ({"trainer": trainer} if trainer else {}, _at(("model",), model) if model else {}, _at(path, values) if values else {}):
            out = merge(out, said)
    if known and scale not in known:
        raise unknown("scale", scale, known)
    return expand(out)  # type: ignore[no-any-return]


def _at(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {"init_args": values}
    for part in reversed(path):
        nested = {str(part): nested}
    return nested
