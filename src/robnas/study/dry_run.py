"""`robnas study FILE --dry-run`: the graph, its size and its cost, and nothing is done."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from robnas.study.costs import BACKWARD, Cost, block_of, cost, hours
from robnas.study.flag_words import typed
from robnas.study.plan import Plan, PlannedJob
from robnas.units import human

KINDS = {"search": "searches", "train": "trainings", "attack": "attacks", "probe": "probes"}


def lines(plan: Plan, measured: Iterable[PlannedJob], done: int, every_job: bool = False) -> list[str]:
    """What to print. measured: jobs that are done and took so long. done: how many of the plan's are. every_job: each command too."""
    costs = {job.id: cost(job) for job in plan.jobs}
    out = [f"study {plan.study} ({plan.file})", ""]
    out += [*_graph(plan, costs), ""]
    if exhibits := _exhibits(plan):
        out += ["for", *exhibits, ""]
    if every_job:
        out += ["jobs", *(f"  {job.id}: robnas {typed(job.argv)}" for job in plan.jobs), ""]
    return out + _sum(plan, costs, list(measured), done)


def once(plan: Plan) -> list[str]:
    """A line about jobs that are one command, where there are such."""
    both = [job for job in plan.jobs if job.also]
    count = sum(len(job.also) for job in both)
    such = f"the same command as one of them and done with it, such as {both[0].also[0]} with {both[0].id}" if both else ""
    return [f"{count:,} more {'is' if count == 1 else 'are'} {such}"] if both else []


def _graph(plan: Plan, costs: dict[str, Cost]) -> list[str]:
    """A line for each block, below what it needs, with its jobs, and what they are the product of."""
    blocks: dict[tuple[str, str], list[PlannedJob]] = defaultdict(list)
    for job in plan.jobs:
        blocks[(job.kind, block_of(job))].append(job)
    of = {job.id: job for job in plan.jobs}
    wide = max(len(name) for _, name in blocks)
    out = ["graph"]
    for kind, title in KINDS.items():
        own = {name: jobs for (k, name), jobs in blocks.items() if k == kind}
        if own:
            out.append(f"  {title}")
        for name, jobs in own.items():
            needs = dict.fromkeys(block_of(of[need]) for job in jobs for need in job.needs)
            said = f"    {name:<{wide}}  {len(jobs):>6,} jobs  {_product(jobs)}"
            said += f"  ← {', '.join(needs)}" if needs else ""
            total = sum(costs[job.id].queries for job in jobs)
            flops = [costs[job.id].flops for job in jobs]
            said += f"  {_many(total)} queries" if total else ""
            said += f"  {scientific(sum(f for f in flops if f is not None))} FLOPs" if any(f is not None for f in flops) else ""
            out.append(said)
    return out


def _product(jobs: list[PlannedJob]) -> str:
    parts: dict[str, set[Any]] = {"models": {job.model for job in jobs if job.model}, "seeds": {job.seed for job in jobs}}
    parts |= {"data sets": {job.dataset for job in jobs}, "protocols": {job.protocol for job in jobs}}
    return ", ".join(f"{len(values)} {name if len(values) > 1 else name[:-1]}" for name, values in parts.items() if values)


def _exhibits(plan: Plan) -> list[str]:
    """Each table, figure and section of the paper, in order, with the blocks that it is made of."""
    blocks: dict[str, Counter[str]] = defaultdict(Counter)
    for job in plan.jobs:
        for exhibit in job.exhibits:
            blocks[exhibit][f"{block_of(job)}"] += 1
    wide = max((len(name) for name in blocks), default=0)
    ordered = sorted(blocks, key=_order)
    return [f"  {name:<{wide}}  {', '.join(f'{block} ({n:,})' for block, n in blocks[name].items())}" for name in ordered]


def _order(exhibit: str) -> tuple[int, float, str]:
    """Sections, tables, figures, each by number."""
    kind, _, number = exhibit.partition(" ")
    digits = "".join(c for c in number if c.isdigit() or c == ".").rstrip(".")
    return ({"Table": 1, "Fig.": 2}.get(kind, 0), float(digits) if digits.replace(".", "", 1).isdigit() else 0.0, exhibit)


def _sum(plan: Plan, costs: dict[str, Cost], measured: list[PlannedJob], done: int) -> list[str]:
    kinds = Counter(str(job.kind) for job in plan.jobs)
    said = ", ".join(f"{kinds[kind]:,} {title if kinds[kind] > 1 else KINDS_OF_ONE[kind]}" for kind, title in KINDS.items() if kinds[kind])
    reduced = sum(job.reduced for job in plan.jobs)
    out = [f"size: {len(plan.jobs):,} jobs ({said})" + (f", {done:,} of them done" if done else "")]
    out += [f"  {said}" for said in once(plan)]
    if reduced:
        out.append(f"  {'all' if reduced == len(plan.jobs) else f'{reduced:,}'} reduced: not at the paper's size")
    known = [c.flops for c in costs.values() if c.flops is not None]
    queries = sum(c.queries for c in costs.values())
    if known:
        without = [kind for kind in KINDS if any(costs[job.id].flops is None for job in plan.jobs if job.kind == kind)]
        left_out = f"; not counted: {', '.join(f'some {KINDS[kind]}' for kind in without)}" if without else ""
        out.append(f"FLOPs: {scientific(sum(known))} multiply-adds, a pass back counted as {BACKWARD - 1} forward{left_out}")
    else:
        out.append("FLOPs: not counted for reduced jobs")
    out.append(f"queries: at most {_many(queries)}")
    open_ones = [job for job in plan.jobs if job.state != "done"]
    spent, unknown = hours(open_ones, measured)
    if unknown < len(open_ones):
        rest = f", without {unknown:,} jobs of which none like them was measured" if unknown else ""
        out.append(f"time: {_hours(spent)} of one worker, from what was measured{rest}")
    elif open_ones:
        out.append("GPU-hours: none like these jobs was measured, so there is no estimate; a job or two in this folder gives one")
    return out


KINDS_OF_ONE = {"search": "search", "train": "training", "attack": "attack", "probe": "probe"}


def _hours(hours: float) -> str:
    return f"{60 * hours:.0f} min" if hours < 2 else f"{hours:,.1f} h"


def _many(count: int) -> str:
    return human(count) if count < 1e12 else scientific(count)


def scientific(value: float) -> str:
    """ "3.1e21"."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
