"""An attack that is killed goes on from the batch that was under way; ranks and kills change nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader, Subset, TensorDataset

from ranks import run_on_ranks
from robnas.attacks import NES, HopSkipJump
from robnas.attacks.unfinished import Unfinished
from robnas.results import Rows
from small_victims import trained

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}


class Task(LightningModule):
    def __init__(self):
        super().__init__()
        self.model = trained()[0]

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        pass


class Slow(HopSkipJump):
    """Waits before its last batch, or counts its batches."""

    waits, calls = False, 0

    def __call__(self, model, x, y=None, index=None, seed=0, batch_size=256, starts=None):
        type(self).calls += 1
        if self.waits and 40 in index:
            time.sleep(600)
        return super().__call__(model, x, y, index, seed, batch_size, starts)


def attacks():
    return [Slow(steps=3, initial_evaluations=20), NES(6 / 255, steps=2, n_queries=20)]


def run(folder, rank=0, world=1, found=None, **kwargs):
    _, x, y = trained()
    data = TensorDataset(x[:48], y[:48], torch.arange(48))
    found = attacks() if found is None else found
    trainer = Trainer(default_root_dir=folder, callbacks=found, logger=False, **QUIET, **kwargs)
    trainer.rows, trainer.provenance = Rows(Path(folder) / "results.jsonl"), {"job": "3fa9", "dataset": "digits"}
    trainer.test(Task(), DataLoader(Subset(data, range(rank, 48, world)), batch_size=8), verbose=False)
    return [row for attack in found for row in attack.rows]


def same(a, b, atol=0.0):
    stores = [Rows(Path(folder) / "results.jsonl") for folder in (a, b)]
    for one, other in zip(*(store.read() for store in stores), strict=True):
        assert {**vars(one), "seconds": 0, "value": 0, "ci": 0} == {**vars(other), "seconds": 0, "value": 0, "ci": 0}
        assert one.value == pytest.approx(other.value, abs=atol)
        assert one.ci == pytest.approx(other.ci, abs=atol)
        mine, theirs = stores[0].read_outcomes(one), stores[1].read_outcomes(other)
        for name, values in mine.items():
            assert np.allclose(values, theirs[name], rtol=0, atol=atol, equal_nan=True), name


def test_the_median_distance_and_the_budget_are_said(tmp_path, capsys):
    attack = HopSkipJump(steps=3, initial_evaluations=20)
    rows = {row.metric: row for row in run(tmp_path, found=[attack])}
    said = capsys.readouterr().err
    queries = attack.expected(192)
    assert (
        f"hopskipjump: about {queries:,} queries an input, at most {attack.budget(192):,}; of 48 inputs, about {48 * queries:,}\n" in said
    )
    row = rows["median_distance"]
    distance = Rows(tmp_path / "results.jsonl").read_outcomes(row)["distance"]
    assert row.value == pytest.approx(np.nanmedian(distance))
    assert row.ci[0] < row.value < row.ci[1]
    assert row.n == np.isfinite(distance).sum() > 40
    assert row.access == "label"
    assert row.norm == "l2"
    assert row.params["eps"] == float("inf")
    assert rows["asr"].value == 1


def test_what_was_through_is_not_asked_again(tmp_path, monkeypatch):
    class Fails(Slow):
        def __call__(self, *args, index=None, **kwargs):
            if 40 in index:
                raise RuntimeError("the machine goes down")
            return super().__call__(*args, index=index, **kwargs)

    monkeypatch.setattr(Unfinished, "worth", 0.0)
    run(tmp_path / "whole", found=[Slow(steps=3, initial_evaluations=20)])
    Fails.name = Slow.name
    with pytest.raises(RuntimeError, match="goes down"):
        run(tmp_path / "killed", found=[Fails(steps=3, initial_evaluations=20)])
    (kept,) = (tmp_path / "killed" / "outcomes").glob("*.unfinished")
    assert len(list(kept.iterdir())) == 5
    Slow.calls = 0
    run(tmp_path / "killed", found=[Slow(steps=3, initial_evaluations=20)])
    assert Slow.calls == 1
    same(tmp_path / "whole", tmp_path / "killed")
    assert not kept.exists()
    Slow.calls = 0
    run(tmp_path / "killed", found=[Slow(steps=3, initial_evaluations=20)])  # a run that was whole is done again when asked for
    assert Slow.calls == 6


def test_other_arguments_pixels_or_labels_find_nothing(tmp_path):
    class Trainer:
        rows, provenance = Rows(tmp_path / "results.jsonl"), {"job": "a"}

    x, y, index = torch.rand(3, 1, 2, 2), torch.arange(3), torch.arange(3)
    one = Unfinished.of(Trainer, "pgd", {"eps": 0.1}, "victim")
    files = {
        one.file(x, y, index),
        one.file(x + 1, y, index),
        one.file(x, y + 1, index),
        one.file(x, y, index + 1),
        one.file(x[:2], y[:2], index[:2]),
    }
    files |= {
        Unfinished.of(Trainer, "pgd", {"eps": 0.2}, "victim").file(x, y, index),
        Unfinished.of(Trainer, "pgd", {"eps": 0.1}, "other").file(x, y, index),
    }
    assert len(files) == 7
    assert one.file(x.clone(), y, index) in files


def test_a_quick_batch_is_not_kept(tmp_path):
    kept = Unfinished(tmp_path)
    outcomes = {"index": np.arange(2), "distance": np.array([0.5, np.nan])}
    kept.save(tmp_path / "a.npz", {"pgd": (outcomes, 0.3)}, {})
    assert kept.load(tmp_path / "a.npz") is None
    kept.save(tmp_path / "a.npz", {"pgd": (outcomes, 0.8), "pgd/eps 2": (outcomes, 0.4)}, {"flags": np.array(["random"])})
    found, noticed = kept.load(tmp_path / "a.npz")
    assert noticed["flags"].tolist() == ["random"]
    assert [seconds for _, seconds in found.values()] == [0.8, 0.4]
    assert list(found) == ["pgd", "pgd/eps 2"]
    assert np.array_equal(found["pgd"][0]["distance"], outcomes["distance"], equal_nan=True)
    kept.forget()
    assert not tmp_path.exists()


def on_two_ranks(rank, folder):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return [row.value for row in run(folder, rank, 2, strategy=strategy, devices=2, use_distributed_sampler=False)]


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    one = run(tmp_path / "one")
    both = run_on_ranks(on_two_ranks, 2, str(tmp_path / "two"))
    assert both[0] == pytest.approx([row.value for row in one], abs=1e-9)
    same(tmp_path / "one", tmp_path / "two", atol=1e-9)


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path, monkeypatch):
    """SIGKILL while the last of six batches is under way."""
    program = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
import test_attacks_resumed as t
t.Unfinished.worth, t.Slow.waits = 0.0, True
t.run({str(tmp_path / "killed")!r})
"""
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 120
    while len(list((tmp_path / "killed" / "outcomes").glob("slow-*.unfinished/*.npz"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(Unfinished, "worth", 0.0)
    run(tmp_path / "whole")
    Slow.calls = 0
    run(tmp_path / "killed")
    assert Slow.calls == 1
    same(tmp_path / "whole", tmp_path / "killed")
    assert not list((tmp_path / "killed" / "outcomes").glob("*.unfinished"))
