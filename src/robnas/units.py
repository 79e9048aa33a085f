"""Numbers as people write them."""

import re

_FRACTION = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*")


def fraction(text: str) -> float | None:
    """`fraction("8/255")` → 0.03137…; None where the text is no fraction.

    A zero below the stroke is no fraction either, so that the text itself is shown to whoever wrote it.
    """
    match = _FRACTION.fullmatch(text)
    if match is None or float(match[2]) == 0:
        return None
    return float(match[1]) / float(match[2])
