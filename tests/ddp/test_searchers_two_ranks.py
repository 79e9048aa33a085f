"""Every searcher on two ranks with half the batch each, under DDP, against one process (float64, real supernet, BN across ranks)."""

import os
from typing import Any
from unittest import mock

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

import every_searcher
from penalised import Smooth
from ranks import run_on_ranks
from robnas.data.digits import Digits
from robnas.space.search_space import Space
from robnas.tasks import chronicle
from robnas.tasks.search import Search

PENALISED = "an input gradient in the loss"
# No max pooling: digits have flat regions, and which of equal pixels is the largest is a matter of rounding, as is then its gradient.
SPACE = Space(operations=("zero", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"), nodes=2)


def make(name: str) -> Any:
    """Second order for the penalty: its pass is differentiated for α and for the weights then."""
    if name == PENALISED:
        return Search(Smooth(), SPACE, 3, 4, order="second", architecture_learning_rate=0.05, seed=1)
    return every_searcher.task(name)


def fit(folder: str, name: str, world_size: int = 1) -> tuple[dict[str, torch.Tensor], Any, Any]:
    """Two batches an epoch → state, stage and cell."""
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if world_size > 1 else "auto"
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    limits = {"max_epochs": every_searcher.EPOCHS, "limit_train_batches": 2, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    where = {"accelerator": "cpu", "devices": world_size, "strategy": strategy, "use_distributed_sampler": False}
    task = make(name)
    t = Trainer(default_root_dir=folder, precision="64-true", **where, **limits, **quiet)
    with mock.patch.object(chronicle, "draw_search", return_value=[]):
        t.fit(task, Digits(batch_size=16, seed=0))
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}, task.stage, task.searcher.derive()


def on_two_ranks(rank: int, folder: str, name: str) -> tuple[dict[str, torch.Tensor], Any, Any]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return fit(folder, name, world_size=2)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "darts" else pytest.mark.slow) for name in (*every_searcher.NAMES, PENALISED)]
)
def test_two_ranks_equal_one_process(tmp_path, name):
    state, stage, cell = fit(str(tmp_path), name)
    assert stage.number == every_searcher.STAGES.get(name, 1) - 1
    for theirs, their_stage, their_cell in run_on_ranks(on_two_ranks, 2, str(tmp_path), name, timeout=300):
        assert their_stage == stage
        assert their_cell == cell
        assert theirs.keys() == state.keys()
        for key, tensor in state.items():
            assert (tensor - theirs[key]).abs().max() < 1e-9, key
