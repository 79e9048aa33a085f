"""Ranks that search apart are stopped, also where every weight and every score is equal: a reduction makes them so."""

import os
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.data.digits import Digits
from robnas.search.amoebanet import AmoebaNet
from robnas.search.enas import ENAS
from robnas.search.random_search import Random
from robnas.search.shared_weights import SharedWeights
from small_sampled_search import SPACE, SmallSampled

SEARCHERS = {"enas": lambda: ENAS(finalists=1), "random": Random, "amoebanet": lambda: AmoebaNet(population=2, tournament=1)}


class Perturb(Callback):
    """Once the search has begun, the second rank's searcher is another."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.rank == 1 and trainer.global_step == 0:
            if isinstance(pl_module.searcher, ENAS):
                with torch.no_grad():
                    next(iter(pl_module.searcher.controller.parameters())).add_(1e-6)
            else:
                pl_module.searcher.seed += 1


def _fit(rank: int, folder: Path, name: str, perturbed: bool, before: bool) -> tuple[dict, dict]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    limits = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    task = SmallSampled(SEARCHERS[name](), SharedWeights(), SPACE, seed=1, draw_every=0)
    if before and rank == 1:
        build = task.searcher.build

        def other(space, seed):
            build(space, seed)
            Perturb(1).on_train_batch_start(type("", (), {"global_step": 0}), task, None, 0)

        task.searcher.build = other
    callbacks = [Perturb(rank)] if perturbed else []
    same = {"accelerator": "cpu", "devices": 2, "use_distributed_sampler": False, "default_root_dir": str(folder)}
    t = Trainer(strategy=strategy, callbacks=callbacks, **limits, **quiet, **same)
    t.fit(task, Digits(batch_size=80, seed=0))
    return task.searcher.state(), task.agreed()


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHERS)
def test_searchers_that_differ_stop_the_run(tmp_path, name):
    with pytest.raises(RuntimeError, match=r"the searcher's state differs between ranks|what was asked and told differs"):
        run_on_ranks(_fit, 2, tmp_path, name, True, False)


@pytest.mark.slow
def test_every_rank_begins_with_the_first_one_s_policy(tmp_path):
    (mine, _), (theirs, _) = run_on_ranks(_fit, 2, tmp_path, "enas", False, True)
    for name, value in mine["policy"]["controller"].items():
        assert torch.equal(value, theirs["policy"]["controller"][name])
