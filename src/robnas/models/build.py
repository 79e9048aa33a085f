"""From what a user calls a network to a module: a name, a file or the run folder of a search.

Two steps, because a checkpoint must not depend on files that may change: `describe` resolves the name to a plain description that is
stored in the checkpoint, `build` makes the module of a description. `of_architecture` does so from all that a checkpoint says.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robnas import jobs, plugins
from robnas.errors import UserError, short, unknown
from robnas.models.cells import cells
from robnas.models.normalize import Normalized
from robnas.space import published
from robnas.space.genotype import Genotype

GROUP = "robnas.models"
"""Entry points: a name → a constructor `f(num_classes, image_shape, size, **options) -> nn.Module`."""


ARCHITECTURE = ("description", "size", "options", "num_classes", "image_shape", "class_names", "mean", "std")
"""What a checkpoint says of a model, in plain values: everything but its weights and its recipe."""


def describe(network: str) -> dict[str, Any]:
    """A published cell's name, a genotype file, pasted `Genotype(…)` text, the run folder of a search, or a model plug-in's name.

    Returns plain values: {"name", "family": "nas" | "manual" | "custom"} and {"genotype"} or {"plugin"}.

    Raises:
        UserError: nothing is called so; names the nearest right name.
    """
    models = plugins.names(GROUP)
    if network in models:
        return {"name": network, "family": getattr(plugins.load(GROUP, network), "family", "custom"), "plugin": network}
    try:
        genotype = published.find(network)
    except UserError:
        if set(network) & set("/.([\n"):  # a file or a text: what is wrong with it has been said
            raise
        raise unknown("network", network, [*published.names(), *models]) from None
    return {"name": _title(network), "family": "nas", "genotype": genotype.to_dict()}


def as_network(description: dict[str, Any]) -> str:
    """What `describe` makes the same network of, wherever it is: a plug-in's name, or the cell itself as text."""
    return str(description["plugin"]) if "plugin" in description else Genotype.from_dict(description["genotype"]).to_yaml()


def build(
    description: dict[str, Any],
    *,
    num_classes: int,
    image_shape: tuple[int, int, int],
    size: str = "paper",
    options: dict[str, Any] | None = None,
) -> nn.Module:
    """The module of `describe(…)`: images of `image_shape` = (C, H, W) → logits [B, num_classes].

    Raises:
        UserError: an option that its constructor does not have, a size that it does not know, or options that do not go together.
    """
    options = dict(options or {})
    constructor = _constructor(description, options)
    cell = {"genotype": Genotype.from_dict(description["genotype"])} if "genotype" in description else {}
    try:
        return constructor(num_classes=num_classes, image_shape=image_shape, size=size, **cell, **options)
    except (ValueError, TypeError, ZeroDivisionError) as error:  # a library's word for channels that cannot be divided into groups
        if not options:
            raise
        raise UserError(f"network {description['name']} cannot be built with {short(options)}: {short(str(error))}") from error


def check(description: dict[str, Any], size: str, options: dict[str, Any]) -> None:
    """Raise UserError for what `build` would refuse, before any data are read: the networks of ours are built without memory for weights.

    Constructors from elsewhere need not be able to do that; of theirs the names of the options are looked at.
    """
    _constructor(description, options)
    if description["family"] in ("nas", "manual"):
        with torch.device("meta"):
            build(description, num_classes=10, image_shape=(3, 32, 32), size=size, options=options)


def of_architecture(architecture: Mapping[str, Any]) -> Normalized:
    """Pixels in [0, 1] → logits, weights drawn from torch's generator, in the layout that convolutions are fastest in.

    architecture: "description", "num_classes", "image_shape", "size", "options" as in `build`; "mean" and "std" as in `Normalize`.
    """
    network = build(
        architecture["description"],
        num_classes=architecture["num_classes"],
        image_shape=tuple(architecture["image_shape"]),
        size=architecture["size"],
        options=architecture["options"],
    )
    return Normalized(network, architecture["mean"], architecture["std"]).to(memory_format=torch.channels_last)


def with_weights(architecture: Mapping[str, Any], state: Mapping[str, Tensor], name: str) -> Normalized:
    """`of_architecture` with weights, in evaluation mode; the caller's own random draws stay as they are. `name`: of the file, for errors.

    Raises:
        UserError: the weights do not fit, as where a plug-in has changed.
    """
    with torch.random.fork_rng([]):  # weights are drawn, and then read
        model = of_architecture(architecture)
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise UserError(
            f"{name}: the weights do not fit network {architecture['description']['name']}: {first[0].strip()[:200]}"
        ) from error
    model.architecture = {key: architecture[key] for key in ARCHITECTURE if key in architecture}
    return model.eval()


def _constructor(description: dict[str, Any], options: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """Raises UserError for an option that it does not take."""
    constructor: Callable[..., nn.Module] = cells if "genotype" in description else plugins.load(GROUP, description["plugin"])
    known = inspect.signature(constructor).parameters.values()
    allowed = [p.name for p in known if p.kind is not p.VAR_KEYWORD and p.name not in ("genotype", "num_classes", "image_shape", "size")]
    for name in options:
        if name not in allowed and not any(p.kind is p.VAR_KEYWORD for p in known):
            raise unknown(f"option of network {description['name']}", name, allowed)
    return constructor


def _title(network: str) -> str:
    """A short name for rows and tables: a published name as we write it, the experiment that searched the cell, or the file's stem."""
    with suppress(UserError):
        return published.entry(network).name
    if "(" in network or "\n" in network:
        return "pasted"
    path = Path(network)
    if path.name == "genotype.yaml":
        path = path.parent
    if path.is_dir():
        path = path.resolve()
        job = jobs.job_at(path)
        known = job.facts.get("network") if job else None  # of a training whose cell came from elsewhere: it keeps its name
        return str(known or f"{path.parent.name}-{path.name[:6]}")
    return path.stem
