"""What the user got wrong, said in one line."""

import reprlib
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


class UserError(Exception):
    """A wrong value from outside: the command line prints it as one line and exits with status 2, without a traceback."""


def unknown(kind: str, name: object, allowed: Iterable[str]) -> UserError:
    """`unknown("searcher", "dart", ["darts", "snas"])`: names the wrong value, the nearest right one and all that are allowed."""
    known = sorted(allowed)
    by_case = {k.lower(): k for k in known}
    hint = f" Did you mean {by_case[near]!r}?" if (near := _nearest(str(name).lower()[:100], by_case)) else ""
    return UserError(f"unknown {kind} {short(name)}.{hint} Known: {', '.join(known) or 'none'}.")


def short(value: object) -> str:
    """`repr` cut in the middle, so that neither a long value nor one that holds itself a million times costs time or fills a screen."""
    try:
        return _REPR.repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return f"a long {type(value).__name__}"


_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 100, 100


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """One of the same letters goes first: `drats` is `darts` rather than `drnas`."""
    near = get_close_matches(name, known, n=5, cutoff=0.5)
    return max(near, key=lambda k: (sorted(k) == sorted(name), SequenceMatcher(None, k, name).ratio()), default=None)


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition`; message: "gamma: 0 is not in (0, 1]"."""
    if not condition:
        raise UserError(message)
