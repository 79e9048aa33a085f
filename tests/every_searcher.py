"""Every searcher that robnas has, as its own config sets it under the overlay, at a size for tests."""

from importlib import import_module
from typing import Any

from robnas import plugins
from robnas.configuration.compose import compose
from robnas.space.search_space import Space

NAMES = [plugin.name for plugin in plugins.declared("robnas.searchers") if plugin.built_in]
EPOCHS = 3
"""As many as there are stages at most; SGAS decides edges in two of them, and shared weights are trained in one at least."""
QUICK: dict[str, dict[str, Any]] = {"sgas": {"warmup": 1}, "amoebanet": {"population": 4, "tournament": 2}}
"""Arguments of searchers by which these few epochs show all that they do."""
SHORT = {"nodes": 2}
STAGES = {"pdarts": 3, "drnas": 2}


def settings(name: str) -> dict[str, Any]:
    """Class and arguments of the task, in plain values: two nodes a cell, three cells, all ten operations, no warm-up."""
    model: dict[str, Any] = compose([f"{name}.yaml", "digits.yaml"])["model"]
    arguments = model["init_args"]
    arguments["searcher"].setdefault("init_args", {}).update(QUICK.get(name, {}))
    arguments["space"] = {**arguments.get("space", {}), **SHORT}
    arguments |= {"architecture_warmup": 0, "layers": 3, "seed": 1}
    if "evaluator" in arguments and arguments["evaluator"]["class_path"].endswith("TrainedChild"):  # jobs of their own
        arguments["evaluator"] = {"class_path": "robnas.search.zero_cost.ZeroCost"}
        for key in ("n_step", "weight_epochs"):
            arguments.pop(key, None)
    return model


def task(name: str, **over: Any) -> Any:
    """The LightningModule. `searcher`: arguments of the searcher; all others are the task's."""
    model = settings(name)
    module, _, kind = model["class_path"].rpartition(".")
    arguments = model["init_args"]
    arguments["searcher"]["init_args"].update(over.pop("searcher", {}))
    return getattr(import_module(module), kind)(**{**arguments, "space": Space(**arguments["space"]), **over})


def relaxed() -> list[str]:
    """Names of those that have logits, and so are run by `Search`."""
    from robnas.search.base import Relaxed

    return [name for name in NAMES if issubclass(plugins.load("robnas.searchers", name), Relaxed)]
