"""The rows of a finished search: what was found, how large the network is that it makes, and what it took."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from robnas import plugins
from robnas.identity import IGNORED
from robnas.models.cells import SIZES
from robnas.results import Row
from robnas.search.summary import worth

if TYPE_CHECKING:
    from robnas.search.configured import Configured
    from robnas.space.genotype import Genotype
    from robnas.tasks.supernet_task import SupernetTask


def rows_of(search: "SupernetTask", genotype: "Genotype", epochs: int, seconds: float, origin: Mapping[str, Any]) -> list[Row]:
    """Rows of kind "search": normal/depth, …, parameters/paper, parameters/tiny, seconds, epochs, evaluations.

    Args:
        search: of it, the searcher names the plug-in and its arguments, beside those of the task that say how it is scored and stepped;
            the evaluator's stand there as evaluator_score, evaluator_epochs, …
        genotype: what was found.
        epochs: how many there were.
        seconds: wall clock.
        origin: what every row of the run says.
    """
    shape = search.data["image_shape"]
    data = {"num_classes": search.data["num_classes"], "in_channels": shape[0], "image_size": max(shape[1:])}
    values = worth(genotype, SIZES, data) | {"seconds": round(seconds, 1), "epochs": float(epochs)}
    if (evaluations := getattr(search, "evaluations", None)) is not None:
        values["evaluations"] = float(evaluations)
    params = search.searcher.to_config()["init_args"]
    params |= {name: getattr(search, name) for name in ("n_step", "order", "proposals") if hasattr(search, name)}
    if (evaluator := getattr(search, "evaluator", None)) is not None:
        params |= {"evaluator": name_of(evaluator)} | {f"evaluator_{name}": value for name, value in counted(evaluator).items()}
    same = {"kind": "search", "plugin": name_of(search.searcher), "params": params, "family": "nas", "seconds": round(seconds, 1)}
    return [Row(**{**origin, **same, "metric": metric, "value": value}) for metric, value in values.items()]


def counted(evaluator: "Configured") -> dict[str, Any]:
    """The evaluator's arguments by which scores may differ: a search that went on with other workers replaces its own rows."""
    given, place = evaluator.to_config()["init_args"], "model.init_args.evaluator.init_args"
    return {name: value for name, value in given.items() if not any(fnmatchcase(f"{place}.{name}", key) for key in IGNORED)}


def name_of(plugin: "Configured") -> str:
    """The short name by which configs call its class; of one that has none, the class's name in small letters."""
    kind = type(plugin)
    path = f"{kind.__module__}.{kind.__qualname__}"
    return next((p.name for p in plugins.declared(plugin.group) if p.class_path == path), kind.__name__.lower())
