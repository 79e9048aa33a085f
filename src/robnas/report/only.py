"""What only one of two studies has: models, attacks, data sets; and of attacks that both have settings and models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from robnas.report import names, settings
from robnas.report.collected import Collected
from robnas.report.columns import by_size
from robnas.report.matched import Attack, attacks, matched
from robnas.report.matrix import Pair, groups, title, who

Measured = Mapping[Attack, Mapping[Pair, Sequence[object]]]


def only(first: Collected, second: Collected, a: str, b: str) -> list[str]:
    """A sentence for each."""
    said = []
    for name, mine, other in ((a, first, second), (b, second, first)):
        for kind, found in _kinds(mine).items():
            if more := [what for what in found if what not in _kinds(other)[kind]]:
                said.append(f"Only {name} has {kind}{_several(more, ', ')}.")
    return said + _in_groups(first, second, a, b)


def _in_groups(first: Collected, second: Collected, a: str, b: str) -> list[str]:
    mine, theirs = groups(first), groups(second)
    models = {names.plain(who(found)[0]) for found in first.rows} & {names.plain(who(found)[0]) for found in second.rows}
    said = []
    for where in [where for where in mine if where in theirs]:
        place = f", {names.data(where[0])} by the {where[1]} protocol" if len(mine) > 1 or len(theirs) > 1 else ""
        old, new = attacks(first, mine[where]), attacks(second, theirs[where])
        pairs = matched(old, new)
        said += _settings(old, new, pairs.keys(), pairs.values(), a, b, place)
        in_first: dict[Attack, set[str]] = {}  # of an attack of the second study
        for one, other in pairs.items():
            in_first.setdefault(other, set()).update(names.plain(model) for model, _ in old[one])
        in_second = {one: {names.plain(model) for model, _ in new[other]} for one, other in pairs.items()}
        for name, has, there in ((a, old, in_second), (b, new, in_first)):
            said += [f"Only {name} has on {model}{place}: {which}." for model, which in _models(has, there, models)]
    return said


def _models(has: Measured, there: Mapping[Attack, AbstractSet[str]], models: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Model, and the attacks that both studies have but only one of them on it.

    there: attack → the models that the other study has it on; models: that both studies have at all.
    """
    found: dict[str, dict[str, int]] = {}
    for attack, others in there.items():
        for model in (title(model) for model, _ in has[attack] if names.plain(model) in models - others):
            counts = found.setdefault(model, {})
            plugin = names.plugin(attack.column.plugin)
            counts[plugin] = counts.get(plugin, 0) + 1
    for model, counts in sorted(found.items(), key=lambda of: names.order(of[0])):
        yield model, _several([f"{plugin} ({n} settings)" if n > 1 else plugin for plugin, n in counts.items()], ", ")


def _settings(
    old: Iterable[Attack], new: Iterable[Attack], mine: Collection[Attack], theirs: Collection[Attack], a: str, b: str, place: str
) -> list[str]:
    """Of attacks that both studies have the settings that only one has. mine, theirs: attacks that the other study has as well."""
    said = []
    sides = [{attack.column: attack for attack in attacks} for attacks in (old, new)]
    for plugin in dict.fromkeys(column.plugin for column in by_size(sides[0])):
        columns = [[column for column in by_size(side) if column.plugin == plugin] for side in sides]
        written = settings.labels(column.setting for side in columns for column in side)
        for name, side, of, matching in ((a, columns[0], sides[0], set(mine)), (b, columns[1], sides[1], set(theirs))):
            more = dict.fromkeys(written[column.setting] or "as configured" for column in side if of[column] not in matching)
            if all(columns) and more:
                said.append(f"Only {name} has {names.plugin(plugin)}{place}: {_several(list(more), '; ')}.")
    return said


def _kinds(collected: Collected) -> dict[str, list[str]]:
    rows = collected.rows
    models = sorted({who(found)[0] for found in rows if found.model}, key=names.order)
    seeds = sorted({found.row.train_seed for found in rows if found.row.train_seed is not None})
    under = sorted({(names.data(found.row.dataset), found.row.protocol) for found in rows if found.row.dataset})
    plugins = {names.plugin(found.row.plugin) for found in rows if found.row.kind in ("attack", "probe")}
    return {
        "": [f"{data} by the {protocol} protocol" for data, protocol in under],
        "models ": list(dict.fromkeys(map(title, models))),
        "attacks and probes ": sorted(plugins),
        "training seeds ": [str(seed) for seed in seeds],
    }


def _several(words: list[str], between: str) -> str:
    """Twenty, and how many more."""
    return between.join(words[:20]) + (f" and {len(words) - 20} more" if len(words) > 20 else "")
