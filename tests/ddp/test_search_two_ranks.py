"""The whole task on two ranks with half the batch each, under DDP, against one process (float64, real supernet, BN across ranks)."""

import os
from unittest import mock

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.data.digits import Digits
from robnas.search.darts import DARTS
from robnas.space.search_space import Space
from robnas.tasks import bilevel, chronicle
from robnas.tasks.search import Search

SPACE = Space(operations=("zero", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"), nodes=2)
CASES = [(order, n_step) for order in ("first", "second") for n_step in (1, 5)]


def fit(folder: str, order: str, n_step: int, world_size: int = 1) -> dict[str, torch.Tensor]:
    """Six steps → the state."""
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if world_size > 1 else "auto"
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    arguments = {
        "max_epochs": 1,
        "limit_train_batches": 6,
        "limit_val_batches": 0,
        "precision": "64-true",
        "use_distributed_sampler": False,
    }
    task = Search(DARTS(gamma=0.5), SPACE, 3, 4, n_step, order, architecture_learning_rate=0.05, seed=1)
    t = Trainer(default_root_dir=folder, accelerator="cpu", devices=world_size, strategy=strategy, **arguments, **quiet)
    with mock.patch.object(chronicle, "draw_search", return_value=[]):
        t.fit(task, Digits(batch_size=16, seed=0))
    assert t.global_step == 6
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}


def on_two_ranks(rank: int, folder: str) -> list[dict[str, torch.Tensor]]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return [fit(folder, *case, world_size=2) for case in CASES]


def without_a_reduction(rank: int, folder: str) -> str:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    with mock.patch.object(bilevel, "mean_", return_value=None), pytest.raises(RuntimeError) as error:
        fit(folder, "first", 1, world_size=2)
    return str(error.value)


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    both = run_on_ranks(on_two_ranks, 2, str(tmp_path))
    for k, case in enumerate(CASES):
        one = fit(str(tmp_path), *case)
        for rank in both:
            for name, tensor in one.items():
                assert (tensor - rank[k][name]).abs().max() < 1e-10, (case, name)
        assert any((tensor - both[0][0][name]).abs().max() > 1e-6 for name, tensor in one.items()) == (k > 0)  # the cases do differ


@pytest.mark.slow
def test_a_run_without_reductions_stops(tmp_path):
    messages = run_on_ranks(without_a_reduction, 2, str(tmp_path))
    assert all("differs between ranks" in message for message in messages)
