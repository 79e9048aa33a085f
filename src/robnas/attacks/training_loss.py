"""What a model that is being trained makes of single inputs: nothing of the training moves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas import collectives
from robnas.data.base import ImageData, as_float
from robnas.data.sampling import GlobalBatches, ImageSet, Loader


def answers(
    trainer: Trainer,
    model: LightningModule,
    data: ImageData,
    images: ImageSet,
    index: Tensor,
    amend: Callable[[Tensor, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss against the labels of `images`, and the class answered, of its entries index: [N] → [N] each, in that order, on every rank.

    Un-augmented, in evaluation mode, with the weights of this moment; the ranks share the work, so all of them must ask. Running
    statistics, random numbers and modes stay as they are. amend: (x: [B, C, H, W] in [0, 1], index: [B]), what is done to images in place
    before they are shown.
    """
    batches = GlobalBatches(index, data.batch_size, rank=collectives.rank(), world_size=collectives.world_size())
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with evaluating(model), trainer.precision_plugin.forward_context():
        for batch in Loader(images, batches, data.num_workers):
            x, y, entry = as_float(batch._replace(x=batch.x.to(model.device)), model.dtype)  # type: ignore[arg-type]
            if amend is not None:
                amend(x, entry)
            logits = model(x)
            loss = cross_entropy(logits, y.to(model.device), reduction="none")
            found.append((entry, loss.cpu(), logits.argmax(1).cpu()))
    everywhere = [mine for ranks in collectives.gather(found) for mine in ranks]
    entry, loss, prediction = (torch.cat(parts) for parts in zip(*everywhere, strict=True))
    place = torch.empty_like(entry)
    place[index.argsort()] = entry.argsort()  # entry[place] is index
    return loss[place], prediction[place]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; then every module is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
