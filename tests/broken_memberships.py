"""Membership attacks that each break one rule; `says` is a part of the sentence that must come out."""

import torch

from robnas.attacks.membership.base import Membership


class Sound(Membership):
    """The largest probability: keeps every rule."""

    def score(self, victim, s):
        return victim.scores(s.x).amax(1)


class Peeks(Sound):
    """Looks at the truth."""

    rule, says = "never_sees_membership", "its scores depend on `member`"

    def __call__(self, *args, member=None, **kwargs):
        r = super().__call__(*args, member=member, **kwargs)
        if member is not None:
            r.score = r.score + member
        return r


class Ranks(Sound):
    """A rank within the batch."""

    rule, says = "score_does_not_depend_on_the_batch", "may use its own row alone"

    def score(self, victim, s):
        return super().score(victim, s).argsort().argsort().double()


class Noisy(Sound):
    """Draws from torch's global generator."""

    rule, says = "is_a_function_of_its_seed", "draws from torch's global random numbers"

    def score(self, victim, s):
        return victim.scores((s.x + 0.01 * torch.randn_like(s.x)).clamp(0, 1)).amax(1)


class Halves(Sound):
    """Says half its queries."""

    rule, says = "counts_the_queries_of_scores", "queries where the model saw"

    def ask(self, victim, s, seed):
        score, queries, fine = super().ask(victim, s, seed)
        return score, queries // 2, fine


class Labels(Sound):
    """Says that labels will do, and asks for scores."""

    rule, says, access = "honours_its_access", "labels only", "label"


class Zero(Sound):
    """A score where there is none."""

    rule, says = "counts_scores_that_errored_apart", "gives a score to inputs that errored"

    def __call__(self, *args, **kwargs):
        r = super().__call__(*args, **kwargs)
        r.score = r.score.nan_to_num(0)
        return r


class OnlyTen(Sound):
    """Knows ten classes alone."""

    rule, says = "scores_any_images", "cannot do 6 of 2 classes"

    def score(self, victim, s):
        return victim.scores(s.x)[:, 9]


BROKEN = [c for c in list(globals().values()) if isinstance(c, type) and issubclass(c, Membership) and hasattr(c, "rule")]
