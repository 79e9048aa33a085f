"""P-DARTS and DrNAS over the real supernet: what a stage changes, what it forgets, and what goes on."""

import pytest
import torch
from lightning.pytorch import Trainer

from robnas.data.digits import Digits
from robnas.search.drnas import DrNAS
from robnas.search.pdarts import PDARTS
from robnas.space.search_space import Space
from robnas.tasks.search import Search

# Of two cells both are reduction cells.
SPACE = Space(operations=("zero", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"), nodes=2)
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Watched(Search):
    """Notes what stands at the first batch of every epoch, before its step, and what α was after the last one."""

    def on_train_batch_start(self, batch, batch_idx):
        before = {kind: alpha.detach().clone() for kind, alpha in self.searcher.alpha.items()}
        super().on_train_batch_start(batch, batch_idx)
        if batch_idx == 0:
            mixture = self.mixture()
            now = {
                "before": before["reduce"],
                "alpha": self.searcher.alpha["reduce"].detach().clone(),
                "cells": len(self.network.layers),
                "channels": self.network.layers[0].cell.sources[0]["sep_conv_3x3"]["pointwise_1"].shape[-1],
                "alive": int(mixture.alive["reduce"].sum(-1).max()) if mixture.alive else len(SPACE.operations),
                "dropout": mixture.dropout,
                "known": [len(o.optimizer.state) for o in self.optimizers()],
                "held": [p for o in self.optimizers() for group in o.optimizer.param_groups for p in group["params"]],
                "own": [*self.network.parameters(), *self.searcher.alpha.values()],
            }
            self.seen = [*getattr(self, "seen", []), now]


def run(searcher, folder, monkeypatch, epochs, **arguments) -> list[dict]:
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *a: [])
    task = Watched(searcher, **{"space": SPACE, "init_channels": 4, "architecture_learning_rate": 0.3, "seed": 1} | arguments)
    limits = {"max_epochs": epochs, "limit_train_batches": 2, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    Trainer(default_root_dir=str(folder), accelerator="cpu", **limits, **QUIET).fit(task, Digits(batch_size=8, seed=0))
    return task.seen


@pytest.fixture
def grown(tmp_path, monkeypatch):
    return run(PDARTS(add_layers=(0, 1, 2), keep=(4, 3)), tmp_path, monkeypatch, 6, layers=2)


@pytest.fixture
def widened(tmp_path, monkeypatch):
    return run(DrNAS(partial=(4, 2), keep=(3,)), tmp_path, monkeypatch, 4, layers=2, init_channels=8)


def held_are_own(now) -> bool:
    return {id(p) for p in now["held"]} == {id(p) for p in now["own"]}


def test_pdarts_grows_drops_and_forgets(grown):
    assert [now["cells"] for now in grown] == [2, 2, 3, 3, 4, 4]
    assert [now["alive"] for now in grown] == [5, 5, 4, 4, 3, 3]
    assert [now["dropout"] for now in grown] == pytest.approx([0, 0, 0.4, 0.2, 0.7, 0.35])
    assert [now["known"][0] > 0 for now in grown] == [False, True] * 3  # both optimizers are made anew
    assert [now["known"][1] for now in grown] == [0, 2] * 3
    assert all(held_are_own(now) for now in grown)
    for first, second in ((0, 1), (2, 3), (4, 5)):
        assert grown[first]["alpha"].abs().max() < 0.01  # α starts anew
        assert grown[second]["alpha"].abs().max() > 0.1  # and moves, by the new optimizer
        assert torch.equal(grown[second]["alpha"], grown[second]["before"])


def test_drnas_widens_and_drops_while_its_distribution_goes_on(widened):
    assert [now["channels"] for now in widened] == [4, 4, 8, 8]  # of the 16 of a reduction cell
    assert [now["alive"] for now in widened] == [5, 5, 3, 3]
    assert {now["dropout"] for now in widened} == {0}
    assert [now["known"][1] for now in widened] == [0, 2] * 2
    assert all(held_are_own(now) for now in widened)
    assert widened[2]["alpha"].abs().max() > 0.1
    assert all(torch.equal(now["alpha"], now["before"]) for now in widened)
