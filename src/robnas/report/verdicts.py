"""What a test says of a claim: it holds, it does not, or there is not enough data to say either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from robnas.comparison import holm, models_needed

HOLDS, DOES_NOT, UNKNOWN = "holds", "does not", "not enough data"
NOT_BROKEN = "not broken"
"""Of an inequality that no input breaks: finitely many of them prove none."""
LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """A claim tested on one measure under one data set and protocol.

    Args:
        key: of the claim. what: it was measured by; stand_in: whether that is not what the paper used. setting: data set and protocol.
        sign: 1 where the claim says that value > 0, −1 where value < 0.
        value, low, high: of the test, in `unit` ("points", "ratio", …, ratios as log₁₀); None where there are too few models.
        p: by itself; adjusted: by Holm over all tests of the study; None of what is no test.
        matters: the smallest gap worth the claim, in the same unit; detectable: the smallest that would have been shown.
        models: "10 nas, 7 manual". few: why there is no number. saturated: why there is no room for one.
        decided: "" where `verdict` follows from interval and p; else what was found without them.
        reduced: why it is not at the paper's size. note: what else must be known.
    """

    key: str
    what: str
    setting: tuple[str, str]
    sign: int = 1
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    p: float | None = None
    adjusted: float | None = None
    tests: int = 0
    matters: float = 0.0
    detectable: float | None = None
    models: str = ""
    smallest: int = 0
    few: str = ""
    saturated: str = ""
    decided: str = ""
    stand_in: bool = False
    reduced: str = ""
    note: str = ""

    @property
    def of_data(self) -> bool:
        """Whether it stands on published cells alone, and on no row of the study."""
        return self.setting == ("", "") and self.value is not None

    @property
    def made(self) -> bool:
        """Whether it is a test of rows that came to a number."""
        return self.value is not None and not self.of_data

    @property
    def verdict(self) -> str:
        """One of the three; of a theorem that is not broken that."""
        return self._judged()[0]

    @property
    def why(self) -> str:
        """In a few words."""
        return self._judged()[1]

    def _judged(self) -> tuple[str, str]:
        if self.decided:
            return self.decided, self.note
        if self.few or self.value is None or self.low is None or self.high is None:
            return UNKNOWN, self.few or "no rows"
        if self.saturated:
            return UNKNOWN, self.saturated
        least, most = sorted((self.sign * self.low, self.sign * self.high))
        shown = self.adjusted is not None and self.adjusted <= LEVEL
        if shown and least > 0:
            return HOLDS, ""
        if shown and most < 0:
            return DOES_NOT, "it is the other way round"
        if most < self.matters:
            return DOES_NOT, f"too small to matter: {said(self.matters, self.unit)} would"
        return UNKNOWN, self._undecided()

    def _undecided(self) -> str:
        if self.p is not None and self.p <= LEVEL and self.tests > 1:
            needed = models_needed(LEVEL / self.tests)
            more = f"; {needed} models of each family could do" if self.smallest and self.smallest < needed else ""
            return f"p = {self.p:.2g} by itself, {self.adjusted:.2g} among {self.tests} tests{more}"
        return f"neither shown nor ruled out: {said(self.matters, self.unit)} would matter"

    @property
    def number(self) -> str:
        """ "+12.3 points [5.1, 19.6]"; "" where there is none."""
        if self.value is None:
            return ""
        low, high = (said(end, self.unit, bare=True) for end in (self.low, self.high))
        return f"{said(self.value, self.unit)} [{low}, {high}]" if self.low is not None else said(self.value, self.unit)


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """With p by Holm: all tests of the study are one family, whatever they are about."""
    p = holm({i: None if v.saturated else v.p for i, v in enumerate(verdicts)})
    return [replace(v, adjusted=p.get(i), tests=len(p)) for i, v in enumerate(verdicts)]


def said(value: float | None, unit: str, bare: bool = False) -> str:
    """A number of a test as people read it: points in percent, ratios as factors."""
    if value is None:
        return "∞"
    if unit == "points":
        text = f"{100 * value:.1f}" if bare else f"{100 * value:+.1f} points"
    elif unit == "percentiles":
        text = f"{100 * value:.0f}" if bare else f"{100 * value:+.0f} percentiles"
    elif unit == "ratio":
        text = f"{10**value:.3g}" if bare else f"×{10**value:.3g}"
    else:
        text = f"{value:.3g}" if bare else f"{value:+.3g}{' ' + unit if unit else ''}"
    return text.replace("-", "−")
