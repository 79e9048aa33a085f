"""A figure's SVG in fewer letters: the same picture, to a hundredth of a point."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def slim(text: str) -> str:
    """text: as matplotlib writes it. Coordinates are rounded, what is said often is said once, and names that nothing refers to go.

    Of a figure with much text that is half of it or less.
    """
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' (d|x|y|points|transform)="([^"]*)"', lambda found: f' {found[1]}="{_rounded(*found.groups())}"', text)
    text = re.sub(r">\s+<", "><", text)
    return _in_classes(_short_names(text))


def width(text: str) -> float | None:
    """In points; None where it does not say."""
    found = re.search(r'<svg[^>]*? width="([\d.]+)pt"', text)
    return float(found[1]) if found else None


def _rounded(name: str, numbers: str) -> str:
    """Scales keep all digits: what they scale is large."""
    numbers = re.sub(r"\s+", " ", numbers).strip()
    parts = re.split(r"((?:scale|matrix)\([^)]*\))", numbers)
    numbers = "".join(part if i % 2 else re.sub(r"-?\d+\.\d{3,}", _hundredths, part) for i, part in enumerate(parts))
    return re.sub(r" ?([A-Za-z]) ?", r"\1", numbers) if name == "d" else numbers


def _hundredths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _short_names(text: str) -> str:
    """Of what is referred to; the others have none. Equal figures give equal names."""
    names = _names()
    short = {name: next(names) for name in dict.fromkeys(re.findall(r'(?:href="|url\()#([^")]+)', text))}
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", text)
    return re.sub(r'(href="|url\()#([^")]+)', lambda found: f"{found[1]}#{short[found[2]]}", text)


def _in_classes(text: str) -> str:
    """Looks that several shapes share, in the head."""
    if "</style>" not in text:
        return text
    counted = Counter(re.findall(r' style="([^"]*)"', text))
    names = _names()
    classes = {look: next(names) for look, n in counted.most_common() if n > 1 and "url(" not in look}
    text = re.sub(r' style="([^"]*)"', lambda found: f' class="{classes[found[1]]}"' if found[1] in classes else found[0], text)
    rules = "".join(f".{name}{{{look}}}" for look, name in classes.items())
    return text.replace("</style>", f"{rules}</style>", 1)


def _names() -> Iterator[str]:
    """a, b, …, z, aa, ab, …"""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(_LETTERS, repeat=length))
