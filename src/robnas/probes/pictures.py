"""Pictures of probes on the disk: an array as PNG, a matplotlib Figure as SVG and, for loggers, as PNG beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def is_figure(value: Any) -> TypeGuard[Figure]:
    """Whether it is a matplotlib Figure; matplotlib is not imported for an answer."""
    figure = sys.modules.get("matplotlib.figure")
    return figure is not None and isinstance(value, figure.Figure)


def save(picture: Any, path: Path) -> Path:
    """`picture`: [H, W, 3] uint8, or a Figure. path: of the PNG, which is returned. Equal pictures, equal bytes."""
    import matplotlib as mpl
    from matplotlib.image import imsave

    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, np.ndarray):
        imsave(path, picture)
        return path
    with mpl.rc_context({"svg.hashsalt": "robnas"}):
        picture.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    picture.savefig(path, dpi=150)
    return path
