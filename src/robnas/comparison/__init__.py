"""Are networks of one family easier to break than those of another? Architectures are the sample, seeds are nested in them. NumPy alone.

What is compared comes as plain mappings: model → its value for each seed (`Values`), model → its family (`Families`). Where the answer
would be a guess there is no number but a sentence, such as "too few models: 2 nas, 7 manual; …". Names load on first use.
"""

from typing import TYPE_CHECKING

from robnas import lazy

if TYPE_CHECKING:
    from robnas.comparison.brown_forsythe import Spread, spread
    from robnas.comparison.connection import Connection, connected
    from robnas.comparison.families import Difference, Families, Values, difference, means
    from robnas.comparison.inputs import Paired, paired
    from robnas.comparison.matching import Matched, matched
    from robnas.comparison.orders import Superiority, superiority
    from robnas.comparison.pairwise import alike
    from robnas.comparison.permutation import exchanged, flipped, least_exchanged
    from robnas.comparison.power import detectable, detected, models_needed
    from robnas.comparison.ranking import Place, places
    from robnas.comparison.several import holm, least, levels
    from robnas.comparison.single import Single, against

__all__ = [
    "Connection",
    "Difference",
    "Families",
    "Matched",
    "Paired",
    "Place",
    "Single",
    "Spread",
    "Superiority",
    "Values",
    "against",
    "alike",
    "connected",
    "detectable",
    "detected",
    "difference",
    "exchanged",
    "flipped",
    "holm",
    "least",
    "least_exchanged",
    "levels",
    "matched",
    "means",
    "models_needed",
    "paired",
    "places",
    "spread",
    "superiority",
]
__getattr__ = lazy.names(
    __name__,
    {
        "pairwise": "alike",
        "brown_forsythe": "Spread spread",
        "connection": "Connection connected",
        "families": "Difference Families Values difference means",
        "matching": "Matched matched",
        "inputs": "Paired paired",
        "permutation": "exchanged flipped least_exchanged",
        "power": "detectable detected models_needed",
        "ranking": "Place places",
        "several": "holm least levels",
        "single": "Single against",
        "orders": "Superiority superiority",
    },
)
