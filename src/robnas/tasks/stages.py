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


def require_time(searcher: Searcher, epochs: int, warmup: int) -> None:
    """Raises UserError where a stage ends before its architecture has moved, or where the searcher has no stages for so many epochs."""
    shortest = min(searcher.stage(epoch, epochs).epochs for epoch in range(epochs))
    of = f"the {shortest} epochs of a stage" if shortest < epochs else f"{epochs} epochs"
    require(warmup < shortest, f"architecture_warmup: {warmup} of {of} leave none for the architecture")
