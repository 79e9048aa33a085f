"""The likelihood ratio of LiRA (Carlini et al., "Membership Inference Attacks From First Principles", S&P 2022, §V–VI): tensors alone."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from robnas.errors import require, unknown

FEW = 64
"""Shadows below which `variance="auto"` is "global" (§VI-C: a variance of each input's own takes many shadows to estimate)."""
LEAST = 2
"""Shadows with an input, and without it, from which on it has a score."""
VARIANCES = ("auto", "global", "input")


class Normal(NamedTuple):
    """Of each input's φ over some of the shadows. mean, std: [N], NaN where n < `LEAST`; n: [N] shadows that it was fitted to."""

    mean: Tensor
    std: Tensor
    n: Tensor


def confidence(logits: Tensor, y: Tensor) -> Tensor:
    """φ = log(p_y / (1 − p_y)), §IV-C, in float64. logits: [B, m], y: [B] → [B].

    1 − p_y is never formed: with p = softmax(z), φ = z_y − log Σ_{k≠y} exp z_k exactly, so that p_y = 1 − 1e-80 is told from 1. (The
    authors' code adds 1e-45 to 1 − p_y.) Not finite where the logits are not, or where the model rules out all other classes.
    """
    z = logits.double()
    others = z.scatter(1, y[:, None], -torch.inf)
    return z.gather(1, y[:, None])[:, 0] - others.logsumexp(1)


def fit(phi: Tensor, among: Tensor, variance: str = "auto") -> Normal:
    """A normal for each input over the shadows that it is `among`. phi: [S, N], finite where it counts; among: [S, N] bool.

    Args:
        variance: "input": each input's own; "global": one for all inputs, that of φ about each input's own mean (the authors' code takes
            it about the mean of all); "auto": global below `FEW` shadows, S of them in all.

    The mean as in Algorithm 1 (their code: the median); squares are divided by the degrees of freedom, not by the count.
    """
    if variance not in VARIANCES:
        raise unknown("variance", variance, VARIANCES)
    require(phi.shape == among.shape and phi.ndim == 2, f"shadows: φ {list(phi.shape)} and members {list(among.shape)}; [S, N] both")
    among = among & phi.isfinite()  # a shadow that gave no number for an input says nothing of it
    ordered = phi.double().masked_fill(~among, torch.inf).sort(0).values  # so that the order of shadows changes no bit
    among = ordered < torch.inf
    count = among.sum(0)
    enough = count >= LEAST
    mean = ordered.where(among, 0).sum(0) / count
    squares = (ordered - mean).square().where(among, 0).sum(0)
    if variance == "global" or (variance == "auto" and len(phi) < FEW):
        std = (squares[enough].sum() / (count[enough] - 1).sum()).sqrt().expand_as(mean)
    else:
        std = (squares / (count - 1)).sqrt()
    return Normal(mean.where(enough, torch.nan), std.where(enough, torch.nan), count)


def log_density(phi: Tensor, normal: Normal) -> Tensor:
    """log N(φ; μ, σ²) [N]; NaN where there is no normal, or one without spread (all its shadows say the same)."""
    std = normal.std.where(normal.std > 0, torch.nan)
    return -((phi - normal.mean) / std).square() / 2 - std.log() - math.log(2 * math.pi) / 2


def online(phi: Tensor, member: Normal, non_member: Normal) -> Tensor:
    """log Λ [N], Algorithm 1: how much likelier φ [N] is of a model trained with the input than of one trained without it."""
    return log_density(phi, member) - log_density(phi, non_member)


def offline(phi: Tensor, non_member: Normal) -> Tensor:
    """(φ − μ_out) / σ_out [N]. Eq. 4's Λ = 1 − Pr[Z > φ] is the standard normal's distribution function of it: the same order of
    inputs, and no two far ones both rounded to 1. One-sided: a model less sure than those without the input never speaks for it.
    """
    return (phi - non_member.mean) / non_member.std.where(non_member.std > 0, torch.nan)
