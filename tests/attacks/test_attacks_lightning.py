"""Attacks in Lightning's test loop: rows, outcomes, loggers, inference mode, two ranks."""

import json
import os
from dataclasses import fields

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ranks import run_on_ranks
from robnas.attacks import APGD, PGD, progress, summary
from robnas.errors import UserError
from robnas.results import Row, Rows
from robnas.statistics import wilson
from small_victims import trained

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}


class Task(LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        self.model(batch[0])


def loader(n: int = 80, batch: int = 16, rank: int = 0, world: int = 1, index: bool = True) -> DataLoader:
    _, x, y = trained()
    whole = TensorDataset(x[:n], y[:n], *([torch.arange(n)] if index else []))
    mine = torch.utils.data.Subset(whole, range(rank, n, world))  # every other input: batches differ from those of one process
    return DataLoader(mine, batch_size=batch)


def attacks() -> list[PGD | APGD]:
    most = PGD(6 / 255, steps=4, n_restarts=2, goal="most_likely", max_inputs=70)
    most.name = "pgd_most"
    return [most, APGD(6 / 255, steps=6, max_inputs=70)]


def run(folder, found=None, logger=False, inference_mode=True, data=None, provenance=None, **kwargs) -> list[Row]:
    found = attacks() if found is None else found
    trainer = Trainer(default_root_dir=folder, callbacks=found, logger=logger, inference_mode=inference_mode, **QUIET, **kwargs)
    trainer.provenance = provenance or {}
    trainer.rows = Rows(folder / "results.jsonl")
    trainer.test(Task(trained()[0]), data or loader(), verbose=False)
    return [row for attack in found for row in attack.rows]


@pytest.mark.parametrize("inference_mode", [True, False])
def test_rows_say_what_the_call_says(tmp_path, inference_mode):
    run(tmp_path, inference_mode=inference_mode, provenance={"job": "3fa9", "dataset": "digits", "protocol": "sound", "unknown": 1})
    model, x, y = trained()
    rows = Rows(tmp_path / "results.jsonl").read()
    assert [(r.plugin, r.metric) for r in rows] == [(p, m) for p in ("pgd", "apgd") for m in ("asr", "robust_accuracy", "clean_accuracy")]
    for attack, asr, robust, clean in zip(attacks(), rows[::3], rows[1::3], rows[2::3], strict=True):
        r = attack(model, x[:70], y[:70])
        assert 0 < r.success.sum() < r.eligible.sum() < 70
        assert asr.value == pytest.approx(r.success.sum().item() / r.eligible.sum().item())
        assert asr.ci == pytest.approx(wilson(int(r.success.sum()), int(r.eligible.sum())))
        assert (asr.n, asr.eligible, asr.errored) == (int(r.eligible.sum()), int(r.eligible.sum()), 0)
        assert robust.value == pytest.approx(r.robust.sum().item() / 70)
        assert clean.value == pytest.approx((model(x[:70]).argmax(1) == y[:70]).double().mean().item())
        assert (robust.n, clean.n, asr.queries) == (70, 70, int(r.queries.sum()))
        assert (asr.job, asr.dataset, asr.protocol, asr.access, asr.norm, asr.kind) == (
            "3fa9",
            "digits",
            "sound",
            "white",
            "linf",
            "attack",
        )
        assert asr.params["eps"] == 6 / 255
        assert asr.params["max_inputs"] == 70
        assert asr.versions["torch"].startswith("2.")
        assert asr.victim
        assert asr.seconds > 0
        outcomes = Rows(tmp_path / "results.jsonl").read_outcomes(asr)
        assert np.array_equal(outcomes["index"], np.arange(70))
        assert np.array_equal(outcomes["success"], r.success.numpy())
        assert np.array_equal(outcomes["queries"], r.queries.numpy())


def test_a_rerun_replaces_its_rows(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path)
    assert len(Rows(tmp_path / "results.jsonl").read()) == 6
    assert [r.value for r in first] == [r.value for r in again]
    assert len(list((tmp_path / "outcomes").iterdir())) == 2


def test_another_seed_dataset_or_share_of_the_inputs_is_another_measurement(tmp_path):
    for provenance in ({}, {"attack_seed": 1}, {"dataset": "other"}):
        run(tmp_path, provenance=provenance)
    (asr, *_) = run(tmp_path, limit_test_batches=2)
    assert asr.params["inputs"] == 32
    assert len(Rows(tmp_path / "results.jsonl").read()) == 4 * 6
    assert len(list((tmp_path / "outcomes").iterdir())) == 4 * 2


def test_the_seed_and_the_protocol_of_the_run_reach_the_attack_and_its_rows(tmp_path):
    class Seeds(PGD):
        def __call__(self, *args, seed=0, **kwargs):
            seen.append(seed)
            return super().__call__(*args, seed=seed, **kwargs)

    seen = []
    rows = run(tmp_path, [Seeds(steps=1, n_restarts=1)], provenance={"attack_seed": 7, "protocol": "sound"})
    assert set(seen) == {7}
    assert {(r.attack_seed, r.protocol) for r in rows} == {(7, "sound")}


class Memory(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.tables = {}, {}

    def log_metrics(self, metrics, step=None):
        self.numbers |= metrics

    def log_table(self, key, columns, data):
        self.tables[key] = (columns, data)


def test_every_logger_is_told(tmp_path):
    memory = Memory()
    rows = run(tmp_path, logger=memory)
    assert memory.numbers["pgd_most/asr"] == rows[0].value
    assert memory.numbers["apgd/robust_accuracy"] == rows[4].value
    columns, data = memory.tables["attacks/apgd"]
    assert len(columns) == len(data[0])


def test_one_table_for_all_attacks_100_wide(tmp_path, capsys):
    rows = run(tmp_path)
    assert capsys.readouterr().out == ""  # a trainer with rows has a verb that prints
    console = Console(width=100, record=True, force_terminal=False)
    summary.show(rows, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    pgd = next(line for line in text.splitlines() if "pgd" in line)
    values = [f"{100 * r.value:.1f}" for r in rows[:3]]
    for cell in ("pgd_most", "most likely", "6/255", f"{values[0]} [", f"{values[1]} [", values[2], f"{rows[0].queries}"):
        assert cell in pgd, cell
    assert "model" not in text
    assert "NaN" not in text
    other = [Row(**(vars(r) | {"model": "wide_resnet", "job": "b", "queries": 1_234_567, "errored": 3})) for r in rows]
    summary.show([*rows, *other], console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for cell in ("wide_resnet", "no numbers (NaN) on 3", "1.23M", "untargeted"):
        assert cell in text


def test_a_file_gets_a_line_now_and_then(tmp_path, capsys, monkeypatch):
    model, x, y = trained()
    batches = DataLoader(TensorDataset(x[:12], y[:12], torch.arange(12)), batch_size=4)
    for every, lines in ((0.0, 3), (1e9, 0)):
        monkeypatch.setattr(progress, "EVERY", every)
        found = [PGD(steps=1, n_restarts=1)]
        trainer = Trainer(default_root_dir=tmp_path, callbacks=found, logger=False, **(QUIET | {"enable_progress_bar": True}))
        trainer.test(Task(model), batches, verbose=False)
        assert capsys.readouterr().out.count(" of 3 batches\n") == lines


def test_a_trainer_of_nobody_prints_the_table_itself(tmp_path, capsys):
    trainer = Trainer(default_root_dir=tmp_path, callbacks=attacks(), logger=False, **QUIET)
    trainer.test(Task(trained()[0]), loader(), verbose=False)
    assert capsys.readouterr().out.count("Attacks on") == 1
    assert len(Rows(tmp_path / "results.jsonl").read()) == 6


def test_batches_without_an_index_are_counted_in_their_order(tmp_path):
    with_index = run(tmp_path / "a")
    without = run(tmp_path / "b", data=loader(index=False))
    assert [r.value for r in with_index] == [r.value for r in without]


def test_inputs_that_error_are_named(tmp_path):
    class Dark(nn.Module):
        def forward(self, x):
            return trained()[0](x) + torch.where(x.flatten(1)[:, 20:40].mean(1) > 0.5, torch.nan, 0.0)[:, None]

    _, x, _ = trained()
    lost = (x[:80].flatten(1)[:, 20:40].mean(1) > 0.5).nonzero().flatten().tolist()
    assert 0 < len(lost) < 80
    trainer = Trainer(default_root_dir=tmp_path, callbacks=[attack := PGD(1e-4, 1e-5)], logger=False, **QUIET)
    with pytest.warns(UserWarning, match=f"on {len(lost)} inputs; counted apart: {lost[0]}"):
        trainer.test(Task(Dark()), loader(), verbose=False)
    asr, robust, _ = attack.rows
    assert asr.errored == robust.errored == len(lost)
    assert robust.n == 80 - len(lost)
    assert asr.n <= robust.n


def test_nothing_to_attack_is_said(tmp_path):
    data = DataLoader(TensorDataset(torch.rand(4, 3, 8, 8).double(), torch.zeros(4).long(), torch.arange(4) + 5000), batch_size=2)
    with pytest.warns(UserWarning, match="nothing was attacked"):
        assert run(tmp_path, [PGD()], data=data) == []


def test_batches_of_another_kind_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"\(x, y, index\) or \(x, y\)"):
        run(tmp_path, [PGD()], data=DataLoader(TensorDataset(torch.rand(4, 3, 8, 8).double())))


def on_two_ranks(rank: int, folder) -> list[float]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    found = run(folder, data=loader(rank=rank, world=2), strategy=strategy, devices=2, use_distributed_sampler=False)
    return [r.value for r in found]


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    one = run(tmp_path / "one")
    both = run_on_ranks(on_two_ranks, 2, tmp_path / "two")
    assert both == [[r.value for r in one]] * 2
    stores = [Rows(tmp_path / name / "results.jsonl") for name in ("one", "two")]
    for a, b in zip(*(store.read() for store in stores), strict=True):
        assert {**vars(a), "seconds": 0} == {**vars(b), "seconds": 0}
        mine, theirs = stores[0].read_outcomes(a), stores[1].read_outcomes(b)
        for name, values in mine.items():
            assert np.allclose(values, theirs[name], rtol=0, atol=1e-12, equal_nan=True), name
    assert len(json.loads(stores[1].path.read_text().splitlines()[0])) == len(fields(Row))
