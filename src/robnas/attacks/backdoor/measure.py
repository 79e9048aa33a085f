"""How well a trigger works: every test input as it is and stamped, before a trojan model and a clean one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from robnas import collectives
from robnas.attacks.backdoor.trigger import Trigger
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.victim import answered
from robnas.data.base import as_float
from robnas.data.sampling import ImageSet
from robnas.statistics import wilson

CHUNK = 256


@torch.no_grad()
def over(images: ImageSet, models: Mapping[str, nn.Module], trigger: Trigger) -> Outcomes:
    """What models (pixels in [0, 1] → logits) answer → index, label; NAME_clean and NAME_stamped, the classes, and NAME_errored: [N] each.

    Each rank takes some chunks, the same ones however many ranks there are. The trigger is stamped on 8-bit pixels, as on an image file.
    """
    mine = {}
    chunks = torch.split(torch.arange(len(images.y)), CHUNK)
    for k in range(collectives.rank(), len(chunks), collectives.world_size()):
        batch = images.__getitems__(chunks[k])
        found = {"index": chunks[k], "label": batch.y}
        for name, model in models.items():
            like = next(model.parameters())
            logits = [model(as_float(batch._replace(x=x.to(like.device)), like.dtype).x) for x in (batch.x, trigger.stamp(batch.x))]
            found |= {f"{name}_{way}": z.argmax(1).cpu() for way, z in zip(("clean", "stamped"), logits, strict=True)}
            found[f"{name}_errored"] = ~(answered(logits[0]) & answered(logits[1])).cpu()
        mine[k] = found
    every = {k: one for some in collectives.gather(mine) for k, one in some.items()}
    return {name: torch.cat([every[k][name] for k in sorted(every)]).numpy() for name in every[0]}


def eligible(found: Outcomes, target: int, with_target: bool = False, most: int | None = None) -> NDArray[np.bool_]:
    """[N] inputs on which success can be told: one of the target class is answered with it without any trigger.

    with_target: those too, as in the authors' code. most: of the inputs with the first so many indices alone.
    """
    among = found["index"] < (len(found["index"]) if most is None else most)
    return among if with_target else among & (found["label"] != target)


def success_rate(found: Outcomes, name: str, target: int, among: NDArray[np.bool_]) -> Number:
    """ASR: stamped inputs that the model `name` answers with the target class, of those that count; what errored is in neither."""
    counted = among & ~found[f"{name}_errored"]
    hits, n = int((counted & (found[f"{name}_stamped"] == target)).sum()), int(counted.sum())
    lost = int(among.sum()) - n
    flags = (f"{lost} inputs without an answer",) if lost else ()
    return Number(hits / n if n else None, n, wilson(hits, n), "wilson", flags)
