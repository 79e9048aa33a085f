"""Sampled search on two ranks with half the batch each, under DDP, against one process (float64, real supernet, BN across ranks)."""

import os
from unittest import mock

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.data.digits import Digits
from robnas.search.enas import ENAS
from robnas.search.history import History
from robnas.search.random_search import Random
from robnas.search.shared_weights import SharedWeights
from robnas.search.zero_cost import ZeroCost
from robnas.space.search_space import Space
from robnas.tasks import chronicle
from robnas.tasks.sampled_search import SampledSearch

SPACE = Space(operations=("zero", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"), nodes=2)
CASES = {
    "enas": (ENAS, SharedWeights, {"proposals": 10}),
    "half": (Random, lambda: SharedWeights("half"), {"weight_epochs": 1, "proposals": 1}),
    "unshared": (Random, lambda: ZeroCost("nwot", 2, 2), {"proposals": 3, "layers": 8, "init_channels": 16}),
}


def fit(folder: str, case: str, world_size: int = 1) -> tuple[dict[str, torch.Tensor], History]:
    """Two epochs of three batches → the state, and what was told."""
    searcher, evaluator, arguments = CASES[case]
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if world_size > 1 else "auto"
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    limits = {"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 1, "num_sanity_val_steps": 0}
    task = SampledSearch(searcher(), evaluator(), SPACE, **{"layers": 3, "init_channels": 2, "seed": 1} | arguments)
    t = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=world_size,
        strategy=strategy,
        precision="64-true",
        use_distributed_sampler=False,
        **limits,
        **quiet,
    )
    with mock.patch.object(chronicle, "draw_search", return_value=[]):
        t.fit(task, Digits(batch_size=80, seed=0))
    assert t.global_step == 6
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}, task.told


def on_two_ranks(rank: int, folder: str) -> list[tuple[dict[str, torch.Tensor], History]]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return [fit(folder, case, world_size=2) for case in CASES]


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    both = run_on_ranks(on_two_ranks, 2, str(tmp_path))
    for k, case in enumerate(CASES):
        state, told = fit(str(tmp_path), case)
        for rank in both:
            assert rank[k][1] == told, case
            for name, tensor in state.items():
                assert (tensor - rank[k][0][name]).abs().max() < 1e-10, (case, name)
        assert len(set(told.means)) > 1
