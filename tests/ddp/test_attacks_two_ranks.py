"""Every evasion attack in Lightning's test loop: two ranks find what one finds, input by input, and write the same rows once."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader, TensorDataset

from every_evasion import EVERY, named
from ranks import run_on_ranks
from robnas.results import Rows
from small_victims import trained

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}


class Task(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = trained()[0]

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        pass


def run(folder: str, **kwargs) -> list[float]:
    """37 inputs, of which 31 are considered: batches are uneven, and a sampler for two ranks repeats an input."""
    _, x, y = trained()
    data = TensorDataset(x[:37], y[:37], torch.arange(37))
    found = [named(name, max_inputs=31) for name in EVERY]
    trainer = Trainer(default_root_dir=folder, callbacks=found, logger=False, **QUIET, **kwargs)
    trainer.rows, trainer.provenance = Rows(Path(folder) / "results.jsonl"), {"job": "3fa9", "dataset": "digits", "attack_seed": 5}
    trainer.test(Task(), DataLoader(data, batch_size=8), verbose=False)
    return [row.value for attack in found for row in attack.rows]


def on_two_ranks(rank: int, folder: str) -> list[float]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return run(folder, strategy=strategy, devices=2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using `DistributedSampler` with the dataloaders")  # what repeats is counted once: that is tested here
def test_two_ranks_equal_one(tmp_path):
    one = run(str(tmp_path / "one"))
    both = run_on_ranks(on_two_ranks, 2, str(tmp_path / "two"), timeout=300)
    assert both[0] == pytest.approx(one, abs=1e-9)
    assert both[0] == both[1]
    stores = [Rows(tmp_path / name / "results.jsonl") for name in ("one", "two")]
    rows = list(zip(*(store.read() for store in stores), strict=True))
    assert len({row.outcomes for row, _ in rows}) == len(EVERY) + 3 + 2  # members of the ensemble, second radii
    for a, b in rows:
        loose = {"seconds": 0} | ({"value": 0, "ci": 0} if a.metric == "median_distance" else {})
        assert vars(a) | loose == vars(b) | loose
        mine, theirs = stores[0].read_outcomes(a), stores[1].read_outcomes(b)
        assert mine.keys() == theirs.keys()
        assert mine["index"].tolist() == list(range(31))
        for name, values in mine.items():
            close = np.allclose(values, theirs[name], rtol=0, atol=1e-9, equal_nan=True)
            assert close if values.dtype.kind == "f" else np.array_equal(values, theirs[name]), (a.plugin, name)
