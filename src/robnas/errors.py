"""What the user got wrong, said in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A wrong value from outside: the command line prints it as one line and exits with status 2, without a traceback."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """`unknown("searcher", "dart", ["darts", "snas"])`: names the wrong value, the nearest right one and all that are allowed."""
    known = sorted(allowed)
    by_case = {k.lower(): k for k in known}
    near = get_close_matches(name.lower(), by_case, n=1, cutoff=0.5)
    hint = f" Did you mean {by_case[near[0]]!r}?" if near else ""
    return UserError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}.")


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition`; message: "gamma: 0 is not in (0, 1]"."""
    if not condition:
        raise UserError(message)
