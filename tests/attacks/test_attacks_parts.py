"""Attacks made of several, in Lightning's test loop: rows of each part, two ranks."""

import os

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from command_line import robnas
from ranks import run_on_ranks
from robnas.attacks import APGD, PGD, Ensemble, EpsSweep, Square, summary
from robnas.attacks.base import Evasion
from robnas.results import Row, Rows
from small_victims import trained

RADII = [3 / 255, 6 / 255, 12 / 255]


class Task(LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        self.model(batch[0])


def attacks(nested: bool = True) -> list:
    sweep = EpsSweep(PGD(steps=4, n_restarts=1, max_inputs=40), RADII, nested=nested)
    sweep.name = "sweep"
    return [sweep, Ensemble(6 / 255, steps=5, n_targets=2, n_queries=15, max_inputs=40)]


def run(folder, found=None, rank=0, world=1, **kwargs) -> list[Row]:
    found = attacks() if found is None else found
    _, x, y = trained()
    data = Subset(TensorDataset(x[:48], y[:48], torch.arange(48)), range(rank, 48, world))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = Trainer(default_root_dir=folder, callbacks=found, logger=False, **quiet, **kwargs)
    trainer.rows = Rows(folder / "results.jsonl")
    trainer.test(Task(trained()[0]), DataLoader(data, batch_size=16), verbose=False)
    return [row for attack in found for row in attack.rows]


def test_rows_of_each_radius_are_in_the_form_of_the_attack_alone(tmp_path):
    rows = run(tmp_path, attacks(nested=False)[:1])
    (alone,) = [PGD(6 / 255, 2 / 255, steps=4, n_restarts=1, max_inputs=40)]
    single = run(tmp_path / "single", [alone])
    mine = [row for row in rows if row.params["eps"] == 6 / 255]
    assert [(r.metric, r.value, r.params, r.plugin, r.queries, r.key) for r in mine] == [
        (r.metric, r.value, r.params, r.plugin, r.queries, r.key) for r in single
    ]
    assert [r.params["eps"] for r in rows] == [eps for eps in RADII for _ in range(3)]
    nested = run(tmp_path, attacks()[:1])
    assert all(r.params["nested"] for r in nested)
    assert len(Rows(tmp_path / "results.jsonl").read()) == 18  # what was measured in another way replaces nothing
    run(tmp_path, attacks()[:1])
    assert len(Rows(tmp_path / "results.jsonl").read()) == 18


def test_rows_of_each_member_and_of_all(tmp_path):
    rows = run(tmp_path, attacks()[1:])
    model, x, y = trained()
    found = attacks()[1].of_each(model, x[:40], y[:40])
    asr = [row for row in rows if row.metric == "asr"]
    assert [(r.plugin, r.params.get("after"), r.access) for r in asr] == [
        ("apgd", [], "white"),
        ("apgd", ["apgd_ce"], "white"),
        ("square", ["apgd_ce", "apgd_t"], "score"),
        ("ensemble", None, "white"),
    ]
    for row, r in zip(asr, found.values(), strict=True):
        assert (row.n, row.queries) == (int(r.eligible.sum()), int(r.queries.sum()))
        assert row.value == pytest.approx(int(r.success.sum()) / row.n)
    robust = [row.value for row in rows if row.metric == "robust_accuracy"]
    assert robust == sorted(robust, reverse=True)
    assert robust[-1] == robust[-2]
    console = Console(width=100, record=True, force_terminal=False)
    summary.show(rows, console)
    text = console.export_text()
    for name in ("ensemble.apgd_ce", "ensemble.apgd_t", "ensemble.square"):
        assert name in text
    assert max(map(len, text.splitlines())) <= 100


def others() -> list[Evasion]:
    return [
        PGD(0.2, 0.05, 4, 2, norm="l2", max_inputs=40),
        APGD(6 / 255, 5, loss="targeted_dlr", n_targets=2, max_inputs=40),
        Square(8 / 255, 20, max_inputs=40),
    ]


def on_two_ranks(rank: int, folder) -> list[float]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return [r.value for r in run(folder, [*attacks(), *others()], rank, 2, strategy=strategy, devices=2, use_distributed_sampler=False)]


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    one = run(tmp_path / "one", [*attacks(), *others()])
    both = run_on_ranks(on_two_ranks, 2, tmp_path / "two")
    assert both == [[r.value for r in one]] * 2
    stores = [Rows(tmp_path / name / "results.jsonl") for name in ("one", "two")]
    for a, b in zip(*(store.read() for store in stores), strict=True):
        assert {**vars(a), "seconds": 0} == {**vars(b), "seconds": 0}
        mine, theirs = stores[0].read_outcomes(a), stores[1].read_outcomes(b)
        for name, values in mine.items():
            assert np.allclose(values, theirs[name], rtol=0, atol=1e-12, equal_nan=True), name


def test_members_have_short_names_in_a_config_and_the_scale_reaches_into_a_sweep(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(
        "attacks:\n  both:\n    class_path: ensemble\n    init_args:\n      eps: 4/255\n      members:\n"
        "        one: {class_path: pgd, init_args: {eps: 4/255}}\n        two: {class_path: square, init_args: {eps: 4/255}}\n"
        "  swept:\n    class_path: eps_sweep\n    init_args: {attack: {class_path: square}, eps: [2/255, 4/255]}\n"
    )
    said = robnas("attack --config classify --config own.yaml --config digits --print_config", capsys)
    assert said.status == 0, said.err
    assert "robnas.attacks.pgd.PGD" in said.out
    assert said.out.count("n_queries: 500") == 2
