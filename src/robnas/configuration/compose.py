"""All of it in order: configs as they come, each with its scale, then the flags, which always win."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from robnas.configuration import files, flags, reading, scaling
from robnas.configuration.merging import merge, without_appends
from robnas.configuration.naming import expand


def compose(
    configs: Sequence[str], edits: Iterable[tuple[str, Any]] = (), base: dict[str, Any] | None = None, fixed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The merged configuration, classes as import paths, keys not yet checked.

    Args:
        configs: names or paths, the later over the earlier.
        edits: flags as (dotted name, value), over all configs.
        base: what lies below all configs: model, data and seed of a run that is evaluated.
        fixed: top-level keys of `base` that configs do not change, only flags do.

    Raises:
        UserError: no such config, class or scale, or YAML that cannot be read.
    """
    merged = expand(base or {})
    paths = [files.find(name) for name in configs]  # a name that does not exist is said before any class is imported
    for path in paths:
        content = {key: value for key, value in reading.read_file(path).items() if key not in fixed}
        merged = lay(merged, expand(content), fixed)
    edits = list(edits)
    scale = next((value for name, value in reversed(edits) if name == "scale"), None)
    for name, value in edits:
        merged = flags.edit(merged, name, value)
    if scale is not None:
        merged = merge(merged, scaling.layer(merged, str(scale), fixed))
        for name, value in edits:
            if not name.endswith("+"):
                merged = flags.edit(merged, name, value)
    return merged  # type: ignore[no-any-return]


def lay(base: dict[str, Any], over: dict[str, Any], fixed: tuple[str, ...] = ()) -> dict[str, Any]:
    """One config over another; where `over` says `scale`, it acts on the classes of both, and `over`'s own values win over it."""
    merged = merge(base, over)
    if over.get("scale") is not None:
        merged = merge(merge(merged, scaling.layer(merged, str(over["scale"]), fixed)), without_appends(over))
    return merged  # type: ignore[no-any-return]


def experiment(configs: Sequence[str], fallback: str) -> str:
    """What a run is called unless `experiment` says it: the first config's name, "darts_iii" of darts_iii.yaml and darts_iii/paper.yaml.

    A sub-folder's config keeps its folder's name and its own: "darts_iii-paper".
    """
    if not configs:
        return fallback
    path = files.find(configs[0])
    shipped = {file: name for name, file in files.shipped().items()}
    name = shipped.get(path, path.name)
    return str(Path(name).with_suffix("")).replace("/", "-")
