"""How a search went, as a picture: the weights of operations of a relaxed one, the scores of architectures of a sampled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from robnas.space.drawing import TITLES, words
from robnas.space.genotype import Genotype
from robnas.space.search_space import CELL_KINDS, Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from robnas.search.history import History

COLOURS = {
    "zero": "#c8c8c8",
    "max_pool_3x3": "#9ecae1",
    "avg_pool_3x3": "#4292c6",
    "skip_connect": "#d62728",
    "sep_conv_3x3": "#c7e9c0",
    "sep_conv_5x5": "#74c476",
    "sep_conv_7x7": "#238b45",
    "dil_conv_3x3": "#dadaeb",
    "dil_conv_5x5": "#9e9ac8",
    "conv_7x1_1x7": "#fdae6b",
}
"""Families share a hue, and only the skip connect, which §5.1 is about, is red."""


GONE = "#f3f3f3"
"""Behind an edge that has no operation left."""


def draw_weights(
    epochs: Sequence[int],
    weights: Mapping[str, Tensor],
    space: Space,
    genotype: Genotype,
    stages: Sequence[int] = (),
    edges: Mapping[str, Tensor] | None = None,
    name: str = "",
) -> Figure:
    """One panel an edge, arranged as the cell is: a row for each node, a column for each source; bands are operations' shares of the edge.

    Shares, since weights that hold the factor of an edge, or are damped, would leave thin strips. The band of an operation that is
    pruned ends at once, where the last record with it is.

    Args:
        epochs: [T], after how many epochs.
        weights: per kind of cell [T, E, O], of any sum over O.
        space: orders edges and operations.
        genotype: what was derived; its edges stand in a bold frame with the operation's name.
        stages: epochs with which a stage begins; each a line.
        edges: per kind of cell [E], the factor of each edge at the end, which stands above its panel; none where edges count alike.
        name: of the searcher and the run, in small type above all.
    """
    from matplotlib.figure import Figure

    sources = space.nodes + 1
    corner = space.nodes > 3  # is empty, and large enough for the legend; else that stands beside
    factors = edges or {}
    column = 2.5 if factors else 2.1  # inches
    figure = Figure(figsize=(column * sources + 1.7 * (not corner), 3.0 * space.nodes), layout="constrained")
    if name:
        figure.suptitle(name, fontsize=8, color="#777777", x=0.01, ha="left")
    parts: Any = figure.subfigures(2, 1, hspace=0.03)
    for kind, part in zip(CELL_KINDS, parts, strict=True):
        title = f"{TITLES[kind]}: share of each operation in its edge\nBold frames: the edges that the cell keeps"
        title += "; edge: its factor at the end" if kind in factors else ""
        title += "; dashed: a new stage" if stages else ""
        part.suptitle(title, fontsize=11, x=0.01, ha="left")
        grid = part.subplots(space.nodes, sources, sharex=True, sharey=True, squeeze=False)
        kept = {(node, edge.source): edge.operation for node, edges in genotype.cells[kind].numbered() for edge in edges}
        for axes in grid.flat:
            axes.set_visible(False)
        for e, (node, source) in enumerate(space.edges):
            axes = grid[node - 2][source]
            axes.set_visible(True)
            _bands(axes, epochs, weights[kind][:, e], space)
            for border in stages:
                axes.axvline(border, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
            _label(axes, node, source, last=node == space.nodes + 1)
            if operation := kept.get((node, source)):
                _frame(axes, operation)
            if kind in factors and weights[kind][-1, e].any():
                axes.set_title(f"edge {float(factors[kind][e]):.2f}", fontsize=8, pad=3, color="#333333", loc="right")
        handles = [_swatch(operation) for operation in space.operations]  # as the bands lie
        place, columns = ("upper right", 2) if corner else ("outside right upper", 1)
        part.legend(handles=handles, loc=place, fontsize=9.5, frameon=False, ncols=columns)
    parts[-1].supxlabel("epoch", fontsize=10)
    return figure


def draw_scores(told: History) -> Figure:
    """Each architecture's score in the order in which they were told, and the best so far.

    Of a long search each point is the mean of as many as a bin holds, before a band from the lowest to the highest of them.

    Args:
        told: at least one.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    ends = list(accumulate(b.n for b in told.bins))
    middles = [end - (b.n - 1) / 2 for end, b in zip(ends, told.bins, strict=True)]
    best = list(accumulate((b.best for b in told.bins), max))
    if told.width > 1:
        band: dict[str, Any] = {"color": "#9ecae1", "alpha": 0.5, "linewidth": 0, "label": "from the lowest to the highest of them"}
        axes.fill_between(middles, [b.worst for b in told.bins], [b.best for b in told.bins], **band)
    name = "an architecture" if told.width == 1 else f"mean of {told.width} architectures"
    axes.scatter(middles, told.means, s=max(2, 24 - len(ends) // 50), color="#4292c6", alpha=0.6, linewidths=0, label=name)
    axes.step(ends, best, where="post", color="#d62728", linewidth=1.6, label="best so far")
    axes.set(xlabel="architectures scored", ylabel="score", title=f"{len(told)} architectures, best {best[-1]:.4g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """`stem`.svg and `stem`.png; equal figures give equal files."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "robnas", "svg.fonttype": "none"}):
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(stem.with_suffix(".png"), dpi=110, metadata={"Software": None})
    return [stem.with_suffix(".svg"), stem.with_suffix(".png")]


def _bands(axes: Axes, epochs: Sequence[int], weights: Tensor, space: Space) -> None:
    """weights: [T, O]; an empty row stays empty. The first operation lies on top, as it stands first in the legend."""
    from matplotlib.ticker import MaxNLocator

    colours = [COLOURS.get(o, "#000000") for o in reversed(space.operations)]
    if not weights[-1].any():
        axes.set_facecolor(GONE)
    sums = weights.sum(-1, keepdim=True)
    times, shares = _stepped(epochs, weights / sums.where(sums > 0, 1))
    axes.stackplot(times, shares.T.flip(0).double().numpy(), colors=colours, linewidth=0.3, edgecolor="white")
    axes.set(xlim=(epochs[0], max(epochs[-1], epochs[0] + 1)), ylim=(0, 1), yticks=[0, 0.5, 1])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.tick_params(labelsize=8)


def _stepped(epochs: Sequence[int], weights: Tensor) -> tuple[list[int], Tensor]:
    """Where a weight has become zero, the new record stands at the time of the old one too. [T], [T, O] → [T + n], [T + n, O]."""
    rows, times = [weights[0]], [epochs[0]]
    for t, (before, now) in enumerate(pairwise(weights.unbind())):
        if ((before > 0) & (now == 0)).any():
            rows, times = [*rows, now], [*times, epochs[t]]
        rows, times = [*rows, now], [*times, epochs[t + 1]]
    return times, torch.stack(rows)


def _label(axes: Axes, node: int, source: int, last: bool) -> None:
    axes.set_title(f"{source} → {node}", fontsize=9, pad=3, color="#777777", loc="left")
    if source == 0:
        axes.set_ylabel(f"node {node}", fontsize=10)
    if last:
        axes.set_xlabel(f"from {'input' if source < 2 else 'node'} {source}", fontsize=10)


def _frame(axes: Axes, operation: str) -> None:
    axes.set_title(f"{axes.get_title('left')}  {words(operation)}", fontsize=9, pad=3, color="black", fontweight="bold", loc="left")
    for spine in axes.spines.values():
        spine.set(linewidth=2.2, color="black")


def _swatch(operation: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=COLOURS.get(operation, "#000000"), label=words(operation))
