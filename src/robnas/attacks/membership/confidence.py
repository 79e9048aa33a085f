"""Confidence as a sign of membership (Salem et al., 2019; Song & Mittal, 2021): models are surer of what they were trained on."""

from typing import Any, ClassVar

from torch import Tensor

from robnas.attacks.membership.base import Membership
from robnas.attacks.state import State
from robnas.attacks.victim import BlackBox
from robnas.errors import unknown

OF = ("label", "prediction")


class Confidence(Membership):
    """Membership by confidence: the probability of the true label, from one query. With `of: prediction`, the largest probability.

    Args:
        of: "label" (Song & Mittal, 2021), which an attacker needs the label for and which is low where the model errs; or "prediction"
            (Salem et al., 2019), which needs none.
        kwargs: see `Membership`.
    """

    access: ClassVar[str] = "score"
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"max_inputs": 300}}

    def __init__(self, of: str = "label", **kwargs: Any) -> None:
        self.of = of
        super().__init__(**kwargs)
        if of not in OF:
            raise unknown("of", of, OF)

    def score(self, victim: BlackBox, s: State) -> Tensor:
        """p_y, or max p."""
        p = victim.scores(s.x)
        return p.gather(1, s.y[:, None]).squeeze(1) if self.of == "label" else p.amax(1)
