"""Fig. 11: a loss contour drawn as a map and as a surface. Colours and heights mean the same in every picture, so two can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robnas.probes.surface import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Contour lines, in nats of loss; colours run from below the first to above the last."""


def picture(gamma: Array, grid: Array, level: float, title: str, unit: str) -> Figure:
    """Γ [R, R] (rows α, columns β) over grid [R]: a map with the contour Γ(0, 0) + level in white, and a surface on a logarithmic axis.

    unit: of a step, for the axes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.3), layout="constrained")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    flat = figure.add_subplot(1, 2, 1)
    filled = draw(flat, gamma, grid, level)
    flat.set(xlabel=f"β ({unit})", ylabel=f"α ({unit})")
    _colour_bar(figure, filled, flat)
    _surface(figure.add_subplot(1, 2, 2, projection="3d"), gamma, grid)
    return figure


def small_multiples(gammas: Array, grid: Array, level: float, titles: Sequence[str], title: str, unit: str) -> Figure:
    """Γ of several inputs [n, R, R], a map each."""
    from matplotlib.figure import Figure

    columns = min(4, len(gammas))
    rows = -(-len(gammas) // columns)
    figure = Figure(figsize=(1.4 + 2.2 * columns, 0.7 + 2.3 * rows), layout="constrained")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).reshape(rows, columns)
    for axes in panels.flat[len(gammas) :]:
        axes.set_axis_off()
    for axes, gamma, name in zip(panels.flat, gammas, titles, strict=False):
        filled = draw(axes, gamma, grid, level)
        axes.set_title(name, fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel(f"β ({unit})", fontsize=8)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"α ({unit})", fontsize=8)
    _colour_bar(figure, filled, panels)
    return figure


def draw(axes: Any, gamma: Array, grid: Array, level: float) -> Any:
    """The map alone → what a colour bar needs."""
    colours, norm = _colours()
    z, levels = np.log10(_shown(gamma)), np.log10(LEVELS)  # lines between points are straight in what is drawn
    filled = axes.contourf(grid, grid, z, levels=levels, cmap=colours, norm=norm, extend="both")
    axes.contour(grid, grid, z, levels=levels, colors="black", linewidths=0.3, linestyles="solid", alpha=0.5)
    middle = len(grid) // 2
    above = np.log10(_shown(gamma)[middle, middle] + level)
    if z.min() < above < z.max():
        axes.contour(grid, grid, z, levels=[above], colors="white", linewidths=1.6)
    axes.plot(0, 0, "+", color="white", markersize=7)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)  # with more, their numbers touch
    axes.tick_params(labelsize=8)
    return filled


def _colour_bar(figure: Figure, filled: Any, axes: Any) -> None:
    bar = figure.colorbar(filled, ax=axes, shrink=0.9, label="loss (nats)", ticks=np.log10(LEVELS))
    bar.ax.set_yticklabels([f"{v:g}" for v in LEVELS])


def _surface(axes: Any, gamma: Array, grid: Array) -> None:
    colours, norm = _colours()
    z = np.log10(np.clip(_shown(gamma), 1e-3, 1e2))
    beta, alpha = np.meshgrid(grid, grid)
    axes.plot_surface(beta, alpha, z, facecolors=colours(norm(z)), rstride=1, cstride=1, linewidth=0, antialiased=False, shade=True)
    exponents, ends = range(-3, 3), [grid[0], 0, grid[-1]]
    axes.set(zlim=(-3, 2), zticks=list(exponents), xlabel="β", ylabel="α", xticks=ends, yticks=ends)
    axes.set_zticklabels([f"{10.0**e:g}" for e in exponents])
    axes.set_zlabel("loss (nats)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.view_init(elev=28, azim=-60)
    axes.set_box_aspect(None, zoom=0.82)  # at 1 the label of the vertical axis is cut off


def _shown(gamma: Array) -> Array:
    """What overflowed lies above all levels; no loss is below a logarithmic axis."""
    return np.nan_to_num(np.maximum(gamma, 1e-6), nan=1e6, posinf=1e6)


def _colours() -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm

    colours = mpl.colormaps["viridis"]
    return colours, BoundaryNorm(np.log10(LEVELS), colours.N, extend="both")
