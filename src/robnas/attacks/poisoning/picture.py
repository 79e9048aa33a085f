"""§4.2 as a picture: how tightly a training fits its flipped and its clean labels, epoch by epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

CURVES = {
    "loss_flipped": ("flipped", "#c2410c", "-"),
    "loss_clean": ("clean", "#2563eb", "-"),
    "accuracy_flipped_given": ("flipped: label as given (fitted)", "#c2410c", "-"),
    "accuracy_flipped_true": ("flipped: true label (resisted)", "#c2410c", "--"),
    "accuracy_clean": ("clean", "#2563eb", "-"),
}
"""Name → in the legend, colour, line."""


def draw(history: Mapping[int, Mapping[str, float]], title: str, path: Path) -> None:
    """history: epoch → numbers of `Parts`. Equal bytes for equal numbers."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = sorted(history)
    for name, (label, colour, line) in CURVES.items():
        axes, scale = (left, 1) if name.startswith("loss") else (right, 100)
        there = [epoch for epoch in epochs if name in history[epoch]]
        if there:
            marker = "o" if len(there) == 1 else ""
            axes.plot([e + 1 for e in there], [scale * history[e][name] for e in there], line, marker=marker, color=colour, label=label)
    left.set(ylabel="cross-entropy with the labels given", ylim=(0, None))
    right.set(ylabel="answers, %", ylim=(-2, 102))
    left.set_title(f"{title}: training inputs, not augmented", fontsize=10, loc="left")
    for axes in (left, right):
        _finish(axes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "robnas"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _finish(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="epochs")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#e4e4e4")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
