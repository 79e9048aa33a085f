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
WITHOUT_CHILDREN = {"class_path": "robnas.search.zero_cost.ZeroCost", "init_args": {"layers": 2, "init_channels": 4}}
"""In place of trained children, which are jobs of their own with tests of their own."""
STAGES = {"pdarts": 3, "drnas": 2}


def settings(name: str) -> dict[str, Any]:
    """Class and arguments of the task, in plain values: two nodes a cell, three cells, all ten operations, no warm-up."""
    model: dict[str, Any] = compose([f"{name}.yaml", "digits.yaml"])["model"]
    arguments = model["init_args"]
    arguments["searcher"].setdefault("init_args", {}).update(QUICK.get(name, {}))
    arguments["space"] = {**arguments.get("space", {}), **SHORT}
    arguments |= {"architecture_warmup": 0, "layers": 3, "seed": 1}
    if _trains_children(arguments):
        arguments["evaluator"] = WITHOUT_CHILDREN
    return model


def task(name: str, **over: Any) -> Any:
    """The LightningModule. `searcher`: arguments of the searcher; all others are the task's."""
    model = settings(name)
    module, _, kind = model["class_path"].rpartition(".")
    arguments = model["init_args"]
    arguments["searcher"]["init_args"].update(over.pop("searcher", {}))
    return getattr(import_module(module), kind)(**{**arguments, "space": Space(**arguments["space"]), **over})


def flags(name: str) -> list[str]:
    """What makes of the shipped config the one of `settings`, on the command line, beside `--config`."""
    words = [f"--model.searcher.init_args.{key}={value}" for key, value in QUICK.get(name, {}).items()]
    if _trains_children(compose([f"{name}.yaml", "digits.yaml"])["model"]["init_args"]):
        evaluator: dict[str, Any] = WITHOUT_CHILDREN["init_args"]  # type: ignore[assignment]
        words += ["--model.evaluator=zero_cost", *(f"--model.evaluator.init_args.{key}={value}" for key, value in evaluator.items())]
    return [*words, *(f"--model.space.{key}={value}" for key, value in SHORT.items()), "--model.layers=3", "--model.architecture_warmup=0"]


def _trains_children(arguments: dict[str, Any]) -> bool:
    return arguments.get("evaluator", {}).get("class_path", "").endswith("TrainedChild")


def relaxed() -> list[str]:
    """Names of those that have logits, and so are run by `Search`."""
    from robnas.search.base import Relaxed

    return [name for name in NAMES if issubclass(plugins.load("robnas.searchers", name), Relaxed)]
