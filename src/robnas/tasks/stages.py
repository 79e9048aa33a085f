"""Where a stage of a search begins (P-DARTS grows the supernet, DrNAS widens it): what Lightning has to be told."""

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from robnas.errors import require
from robnas.search.base import Searcher


def rewire(trainer: Trainer) -> None:
    """After parameters of the module have been replaced in mid-run: DDP holds them, and the optimizers begin anew.

    DDP keeps the parameters and buffers that it found when it wrapped the module, so the module is wrapped again; that sends rank 0's
    weights to every rank. Not inside `training_step`, which runs within the old wrapper.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy.model = strategy.lightning_module
        strategy.configure_ddp()
    strategy.setup_optimizers(trainer)


def require_shapes(searcher: Searcher, epochs: int, init_channels: int) -> None:
    """Raises UserError where the supernet of any stage cannot be built, or its weights not be carried over from the one before."""
    before = searcher.stage(0, epochs)
    for stage in (searcher.stage(epoch, epochs) for epoch in range(epochs)):
        k, where = stage.partial, f"of stage {stage.number}"
        require(k >= 1, f"partial: {k} {where} is below 1")
        divided = init_channels % k == 0
        require(divided, f"init_channels: {init_channels} channels have no 1/{k} to mix (partial {where}); allowed: multiples of {k}")
        narrower = not stage.fresh and k > before.partial
        require(not narrower, f"partial: {k} {where} after {before.partial} would lose the weights taken over; it may only get smaller")
        before = stage


def require_time(searcher: Searcher, epochs: int, warmup: int) -> None:
    """Raises UserError where a stage ends before its architecture has moved, or where the searcher needs more epochs than these."""
    searcher.require_time(epochs)
    stages = [searcher.stage(epoch, epochs) for epoch in range(epochs)]
    shortest, needed = min(stage.epochs for stage in stages), (warmup + 1) * len({stage.number for stage in stages})
    of = f"the {shortest} epochs of a stage" if shortest < epochs else f"{epochs} epochs"
    way_out = f"trainer.max_epochs of at least {needed} is needed, or a smaller --model.architecture_warmup"
    require(warmup < shortest, f"architecture_warmup: {warmup} of {of} leave none for the architecture; {way_out}")
