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


def human(count: int) -> str:
    """Three digits and a prefix: 11_173_962 → "11.2 M"."""
    if count < 1000:
        return str(count)
    prefix, value = next((p, count / 10**e) for e, p in ((9, "G"), (6, "M"), (3, "k")) if count >= 999.5 * 10 ** (e - 3))
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {prefix}"


def magnitude(text: str) -> float | None:
    """`magnitude("3.5M")` → 3_500_000.0, as is "3.5e6"; None where the text is no such number."""
    match = re.fullmatch(r"\s*(\d[\d_]*(?:\.\d+)?(?:e\+?\d{1,2})?)\s*([kMG]?)\s*", text)
    return None if match is None else float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match[2]]
