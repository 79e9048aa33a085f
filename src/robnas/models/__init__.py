"""Networks by name (`build`), behind their normalisation (`normalize`), and read back from runs (`load`, also as `robnas.load`)."""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.models.normalize import Normalize, Normalized

__all__ = ["Normalize", "Normalized"]
__getattr__ = lazy.names(__name__, {"normalize": "Normalize Normalized"})
