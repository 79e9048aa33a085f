"""What captions say alike: how many models, seeds and inputs, what an interval is of, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from robnas.report import names
from robnas.report.found import Found
from robnas.report.paper.over_seeds import Who, who
from robnas.report.paper.variants import Variant, in_words

INTERVALS = (
    "Intervals (95%): of one seed over inputs, as its row has it; "
    "of several seeds Student's over seeds, no narrower than theirs over inputs."
)


def counted(rows: Iterable[Found]) -> str:
    """ "17 models (10 NAS, 7 manual), 3 seeds, n = 1,000." """
    every = [found for found in rows if found.row.value is not None]
    models = {who(found) for found in every}
    families = [(look.title, sum(one.family == family for one in models)) for family, look in names.FAMILIES.items()]
    parts = ", ".join(f"{n} {title}" for title, n in families if n)
    runs = {(who(f), f.dataset, f.row.protocol, f.row.search_seed, f.seed) for f in every}
    seeds = _span(list(Counter(run[:3] for run in runs).values()))
    inputs = [found.row.n for found in every if found.row.n]
    of = f", n = {_span(inputs)} inputs" if inputs else ""
    return f"{len(models)} model{'s' * (len(models) != 1)} ({parts}), {seeds} seed{'s' * (seeds != '1')} each{of}."


def settings(chosen: Mapping[tuple[str, str], Variant], without: Iterable[str] = ()) -> str:
    """How each was made, but for the arguments `without`; equal words once."""
    said: dict[str, list[str]] = {}
    for (dataset, protocol), variant in chosen.items():
        words = in_words({k: v for k, v in variant.rows[0].params.items() if k not in tuple(without)})
        if words:
            said.setdefault(words, []).append(f"{names.data(dataset)}, {protocol}")
    return " ".join(f"{'; '.join(where)}: {words}." for words, where in said.items())


def reduced(rows: Iterable[Found]) -> str:
    """What is not at the paper's size, said plainly; "" where everything is."""
    why = list(dict.fromkeys(found.reduced for found in rows if found.reduced))
    return f"Reduced, not at the paper's size: {'; '.join(why)}." if why else ""


def doubts(rows: Iterable[Found]) -> str:
    """Flags of rows, and of how many models each."""
    whose: dict[str, set[Who]] = {}
    for found in rows:
        for flag in found.row.flags:
            whose.setdefault(flag, set()).add(who(found))
    said = "; ".join(f"{flag} ({len(models)} model{'s' * (len(models) != 1)})" for flag, models in whose.items())
    return f"Flagged: {said}." if said else ""


def beside(datasets: Iterable[str], published: Iterable[str], there: bool) -> str:
    """What is said of published values: drawn only on the data set that they are of.

    datasets: of ours; published: those that the paper prints numbers of; there: whether any was drawn.
    """
    theirs = sorted(set(published))
    if not theirs:
        return "The paper prints no numbers of it."
    if there:
        return "Pale: what the paper prints for the same data set; of others it is not shown."
    return f"The paper prints numbers for {', '.join(names.data(d) for d in theirs)} alone, none for {_and(datasets)}: none are shown."


def sentences(*parts: str) -> str:
    """Those that say something."""
    return " ".join(part for part in parts if part)


def some(missing: Sequence[str], most: int = 4) -> str:
    """A list that does not grow without end."""
    more = f" and {len(missing) - most} more" if len(missing) > most else ""
    return "; ".join(missing[:most]) + more


def _and(datasets: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names.data(dataset) for dataset in datasets))


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return "0"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
