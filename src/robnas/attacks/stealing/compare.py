"""How near a replica is to its victim, input by input: Eq. 8's objective and what stands beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robnas import collectives
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.victim import answered
from robnas.data.base import as_float
from robnas.data.sampling import ImageSet
from robnas.metrics.average_cross_entropy import cross_entropy
from robnas.metrics.divergence import divergence
from robnas.statistics import bootstrap, wilson

CHUNK = 256


@torch.no_grad()
def compare(victim: nn.Module, replica: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Two models (pixels in [0, 1] → logits) on x: [B, C, H, W] → [B] each, on the CPU.

    ace, divergence: in nats, NaN where a model gave no numbers, which `errored` says; victim, replica: the classes they answer.
    """
    v, r = victim(x), replica(x)
    errored = ~(answered(v) & answered(r))
    apart = {"ace": cross_entropy(v, r), "divergence": divergence(v, r)}
    found = {name: value.masked_fill(errored, torch.nan) for name, value in apart.items()}
    found |= {"victim": v.argmax(1), "replica": r.argmax(1), "errored": errored}
    return {name: value.cpu() for name, value in found.items()}


def over(images: ImageSet, victim: nn.Module, replica: nn.Module, device: Any, dtype: torch.dtype) -> Outcomes:
    """Of all inputs of a set: each rank takes some chunks, the same ones however many ranks there are; index and label beside."""
    mine = {}
    chunks = torch.split(torch.arange(len(images.y)), CHUNK)
    for k in range(collectives.rank(), len(chunks), collectives.world_size()):
        batch = as_float(images.__getitems__(chunks[k]), dtype)
        mine[k] = compare(victim, replica, batch.x.to(device)) | {"index": chunks[k], "label": batch.y}
    every = {k: one for some in collectives.gather(mine) for k, one in some.items()}
    return {name: torch.cat([every[k][name] for k in sorted(every)]).numpy() for name in every[0]}


def numbers(found: Outcomes) -> dict[str, Number]:
    """ACE first. What errored is in no number; means have bootstrap intervals over inputs, shares Wilson's."""
    fine = ~found["errored"]
    n, lost = int(fine.sum()), int(found["errored"].sum())
    flags = (f"{lost} inputs without an answer",) if lost else ()
    out = {name: _mean(found[name][fine], flags) for name in ("ace", "divergence")}
    victim, replica, label = (found[name][fine] for name in ("victim", "replica", "label"))
    shares = {"agreement": victim == replica, "replica_accuracy": replica == label, "victim_accuracy": victim == label}
    for name, hit in shares.items():
        hits = int(hit.sum())
        out[name] = Number(hits / n if n else None, n, wilson(hits, n), "wilson", flags)
    return out


def _mean(values: Any, flags: tuple[str, ...]) -> Number:
    if not len(values):
        return Number(None, 0, flags=flags)
    interval = bootstrap(values) if np.isfinite(values).all() else None  # a replica may rule out what the victim answers
    return Number(float(values.mean()), len(values), interval, "bootstrap" if interval else None, flags)
