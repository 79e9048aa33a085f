"""The models of a study file: known networks, files, what a search finds, and known cells, changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robnas import plugins
from robnas.errors import UserError, require, short, unknown
from robnas.space import published
from robnas.study import cells, checks
from robnas.study.blocks import Model

MODEL_KEYS = ("network", "search", "cell", "deepen", "replace", "flags")


def models(given: Any, searches: Mapping[str, Any]) -> dict[str, Model]:
    """By name. Raises UserError for the first thing that is wrong."""
    out = {}
    for name, options in checks.named(given, "models").items():
        where = f"models.{checks.name(name, 'models')}"
        options = {"network": options} if isinstance(options, str) else checks.mapping(options or {}, where)
        out[name] = _model(name, options, searches, where)
    return out


def _model(name: str, options: Mapping[str, Any], searches: Mapping[str, Any], where: str) -> Model:
    checks.keys(options, MODEL_KEYS, f"key of {where}")
    kinds = [key for key in ("network", "search", "cell") if options.get(key) is not None]
    require(len(kinds) < 2, f"{where}: {' and '.join(kinds)}: a network is one of them")
    require("cell" in kinds or not {"deepen", "replace"} & set(options), f"{where}: deepen and replace change a cell, and none is named")
    flags = checks.flags(options.get("flags") or {}, f"{where}.flags")
    named = options.get(kinds[0], name) if kinds else name
    require(isinstance(named, str), f"{where}.{''.join(kinds)}: {short(named)} is no name")
    if "search" in kinds:
        if named not in searches:
            raise unknown(f"search of {where}", named, searches)
        return Model(name, search=named, flags=flags)
    if "cell" in kinds:
        deepen = options.get("deepen", False)
        require(isinstance(deepen, bool), f"{where}.deepen: {short(deepen)} is not true or false")
        swaps = tuple(f"{old}={new}" for old, new in checks.mapping(options.get("replace") or {}, f"{where}.replace").items())
        try:
            cells.changed(named, deepen, swaps)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        return Model(name, cell=named, deepen=deepen, replace=swaps, flags=flags)
    return Model(name, network=_network(named, where), flags=flags)


def _network(network: str, where: str) -> str:
    """Raises UserError where nothing is called so; the file of a network is looked for, not read."""
    known = [*published.names(), *plugins.names("robnas.models")]
    path = Path(network).expanduser()
    if "Genotype" in network and "(" in network:
        published.find(network)
    elif network not in known and not path.exists():
        raise unknown(f"network of {where}", network, known)
    elif network not in known and path.is_dir():
        require((path / "genotype.yaml").is_file(), f"network of {where}: the folder {short(network)} has no genotype.yaml")
    return network
