"""What only one of two studies has: models, attacks, data sets; and settings, of attacks that both have."""

from __future__ import annotations

from robnas.report import names, settings
from robnas.report.collected import Collected
from robnas.report.columns import by_size
from robnas.report.matched import matched, unknown
from robnas.report.matrix import by_column, groups


def only(first: Collected, second: Collected, a: str, b: str) -> list[str]:
    """Models, attacks and probes, data sets and protocols that one of them has; and settings, of attacks that both have."""
    said = []
    for name, mine, other in ((a, first, second), (b, second, first)):
        for kind, found in _kinds(mine).items():
            if more := sorted(found - _kinds(other)[kind]):
                said.append(f"Only {name} has {kind} {_first(more, ', ')}.")
    return said + _settings(first, second, a, b)


def _settings(first: Collected, second: Collected, a: str, b: str) -> list[str]:
    mine, theirs = groups(first), groups(second)
    shared = [where for where in mine if where in theirs]
    said: dict[str, None] = {}  # each once, in order
    for where in shared:
        old, new = by_column(first, mine[where]), by_column(second, theirs[where])
        pairs = matched(old, new)
        under = f", {names.data(where[0])} by the {where[1]} protocol" if len(shared) > 1 else ""
        for plugin in dict.fromkeys(column.plugin for column in by_size(old)):
            sides = [[column for column in by_size(own) if column.plugin == plugin] for own in (old, new)]
            written = settings.labels({column.setting for side in sides for column in side})
            for name, side, has in ((a, sides[0], pairs.keys()), (b, sides[1], pairs.values())):
                if all(sides) and (more := list(dict.fromkeys(written[column.setting] for column in side if column not in set(has)))):
                    said[f"Only {name} has {names.plugin(plugin)}{under}: {_first(more, '; ')}."] = None
        for (plugin, in_second), extra in unknown(pairs).items():
            values = ", ".join(f"{key} ({value})" for key, value in extra.items())
            said[f"Only {b if in_second else a} knows of {names.plugin(plugin)} {values}: numbers are compared all the same."] = None
    return list(said)


def _first(words: list[str], between: str) -> str:
    """Twenty, and how many more."""
    return between.join(words[:20]) + (f" and {len(words) - 20} more" if len(words) > 20 else "")


def _kinds(collected: Collected) -> dict[str, set[str]]:
    rows = collected.rows
    return {
        "models": {names.model(model) for model, _ in collected.models()},
        "data": {names.data(found.row.dataset) for found in rows if found.row.dataset},
        "attacks and probes": {names.plugin(found.row.plugin) for found in rows if found.row.kind in ("attack", "probe")},
        "protocols": {found.row.protocol for found in rows},
        "training seeds": {str(found.row.train_seed) for found in rows if found.row.train_seed is not None},
    }
