"""A theft on two ranks equals that in one process: the same queries, asked once, the same replica, the same rows."""

import os

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.attacks.stealing import Knockoff
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from robnas.runtime.trainer import Trainer
from robnas.tasks import Classifier
from small_theft import SMALL, data, fit


def steal(folder: str, victim: str, ranks: int = 1):
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if ranks > 1 else "auto"
    quiet = {"enable_progress_bar": False, "logger": False, "accelerator": "cpu", "precision": "64-true", "max_epochs": 2}
    thief = Knockoff(victim=victim, budget=64, strategy="adaptive")
    t = Trainer(default_root_dir=folder, callbacks=[thief], devices=ranks, strategy=strategy, **quiet)
    model, digits = Classifier(**SMALL), data()
    t.fit(model, digits)
    final_test(t, model, digits)
    with np.load(f"{folder}/queries.npz") as table:
        return {k: v.clone() for k, v in model.state_dict().items()}, {k: table[k] for k in ("index", "answers", "asked", "reward")}


def on_a_rank(rank: int, folder: str, victim: str):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return steal(folder, victim, 2)


def rows_of(folder) -> dict[str, tuple[float, int]]:  # once all ranks have ended: the first writes them, and no other waits for that
    return {row.metric: (row.value, row.n) for row in Rows(folder / "results.jsonl").read() if row.plugin == "knockoff"}


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    fit(tmp_path / "victim", max_epochs=2)
    state, table = steal(str(tmp_path / "one"), str(tmp_path / "victim"))
    for other, their_table in run_on_ranks(on_a_rank, 2, str(tmp_path / "two"), str(tmp_path / "victim")):
        assert all(np.array_equal(table[k], their_table[k]) for k in table)
        assert int(their_table["asked"]) == 64
        assert max(float((state[k] - other[k]).abs().max()) for k in state) < 1e-10
    rows, their_rows = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert rows
    assert their_rows.keys() == rows.keys()
    for name, (value, n) in rows.items():
        assert their_rows[name] == (pytest.approx(value, abs=1e-9), n)
    assert len(Rows(tmp_path / "two" / "results.jsonl").read()) == len(Rows(tmp_path / "one" / "results.jsonl").read())
    assert not any(torch.isnan(t).any() for t in state.values())
