"""What a test says of a claim: it holds, it does not, or there is not enough data to say either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from robnas.comparison import detected, holm, least, levels, models_needed

HOLDS, DOES_NOT, UNKNOWN = "holds", "does not", "not enough data"
UNMET = "premise not met"
"""Of a theorem about other models than the study's."""
LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    """A claim tested on one measure under one data set and protocol.

    Args:
        key: of the claim. what: it was measured by; stand_in: whether that is not what the paper used. setting: data set and protocol.
        sign: 1 where the claim says that value > at, −1 where value < at.
        value, low, high: of the test, in `unit` ("points", "ratio", …, ratios as log₁₀); None where there are too few models.
        p: two-sided, that value = at; adjusted: by Holm over all such tests of the study. None of what is no test.
        p_short: two-sided, that value is as far from `at` as `matters`; short_adjusted: by Holm over all of these. That a claim holds, and
            that it does not, are thus decided at the same level, and no claim can be wrong in both.
        tests: how many there are. least: the smallest p that so many models can give; possible: that after Holm.
        matters: the smallest gap worth the claim, in the same unit. error, freedom: standard error of the value; detectable: the smallest
            gap that the study would have called shown four times in five, all other tests being as they are; None where it could not.
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
    p_short: float | None = None
    short_adjusted: float | None = None
    tests: int = 0
    least: float = 0.0
    possible: float | None = None
    at: float = 0.0
    matters: float = 0.0
    error: float | None = None
    freedom: float | None = None
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
    def impossible(self) -> bool:
        """Whether no numbers could have decided it: so few models give no p that is small enough among so many tests."""
        return self.possible is not None and self.possible > LEVEL

    @property
    def verdict(self) -> str:
        """One of the three; of a theorem that its premise is not met."""
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
        nearest, most = sorted((self.sign * (self.low - self.at), self.sign * (self.high - self.at)))
        if nearest > 0 and self.adjusted is not None and self.adjusted <= LEVEL:
            return HOLDS, ""
        if most < max(self.matters, 1e-12) and self.short_adjusted is not None and self.short_adjusted <= LEVEL:
            return DOES_NOT, self._short(most)
        return UNKNOWN, self._undecided(nearest, most)

    def _short(self, most: float) -> str:
        """How a claim fails. most: the end of the interval that is nearest to it."""
        if most < 0:
            return "short of what was claimed" if self.at else "it is the other way round"
        return f"too small to matter: {self._mattering} would"

    @property
    def _mattering(self) -> str:
        return said(self.sign * self.matters, self.unit)

    def _undecided(self, nearest: float, most: float) -> str:
        if nearest > 0:
            p, adjusted, what = self.p, self.adjusted, ""
        elif most < max(self.matters, 1e-12):
            p, adjusted = self.p_short, self.short_adjusted
            what = "the interval lies on the other side: " if most < 0 else f"the interval has no room for {self._mattering}: "
        else:
            return f"neither shown nor ruled out: {self._mattering} would matter" if self.matters else "neither shown nor ruled out"
        if p is None or adjusted is None:
            return f"{what}not tested"
        needed = models_needed(LEVEL / self.tests)
        more = f"; {needed} models of each family could do" if self.smallest and self.smallest < needed else ""
        return f"{what}p = {p:.2g} by itself, {adjusted:.2g} among {self.tests} tests{more}"

    @property
    def number(self) -> str:
        """ "+12.3 points [5.1, 19.6]"; "" where there is none."""
        if self.value is None:
            return ""
        low, high = (said(end, self.unit, bare=True) for end in (self.low, self.high))
        return f"{said(self.value, self.unit)} [{low}, {high}]" if self.low is not None else said(self.value, self.unit)


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """With p by Holm: all tests of the study are one family, whatever they are about; so are all that a gap is too small."""
    own, short = ({i: None if v.saturated or v.few else getattr(v, name) for i, v in enumerate(verdicts)} for name in ("p", "p_short"))
    adjusted, beyond, level = holm(own), holm(short), levels(own, LEVEL)
    possible = least(own, {i: v.least for i, v in enumerate(verdicts)})
    out = []
    for i, v in enumerate(verdicts):
        known = v.error is not None and v.freedom is not None and i in level and possible[i] <= LEVEL
        gap = detected(v.error or 0.0, v.freedom or 1.0, level[i]) if known else None
        judged = replace(v, adjusted=adjusted.get(i), short_adjusted=beyond.get(i), tests=len(adjusted))
        out.append(replace(judged, possible=possible.get(i), detectable=gap))
    return out


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
