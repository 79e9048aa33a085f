"""`trainer.jobs`: where children run, how often, and what is said."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule

from robnas.identity import identity_of
from robnas.runtime import children
from robnas.runtime.children import Children
from robnas.runtime.trainer import Trainer


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    runner = Children(runner="study_runner:main", preload=())
    runner.folder = tmp_path / "children"
    yield runner
    runner._end()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_run_folders_come_back_and_processes_stay_warm(made, tmp_path):
    found = made([["job", tmp_path, "a"], ["job", tmp_path, "b"]], workers=2)
    assert found == [tmp_path / "some" / identity_of({"name": name})[:12] for name in "ab"]
    made([["where", tmp_path, "c"]])
    pid, threads, _ = (tmp_path / "c").read_text().split()
    assert threads == "1"
    assert alive(pid)
    made.teardown(None, None, "fit")
    assert not alive(pid)


def test_a_command_without_a_run_folder_has_failed(made, tmp_path):
    assert made([["say", tmp_path, "a"]]) == [None]


def test_a_failure_is_tried_again_and_then_said_in_one_line(made, tmp_path, capsys):
    found = made([["fail", tmp_path, "a"], ["job", tmp_path, "b"], ["fail_once", tmp_path, "c"]], workers=1)
    assert [folder is None for folder in found] == [True, False, False]
    assert sorted((tmp_path / "ran.txt").read_text().split()) == ["a", "a", "b", "c", "c"]
    (line,) = capsys.readouterr().out.splitlines()
    assert "failed twice" in line
    assert str(next(made.folder.glob("*.log")).parent) in line


def test_progress_is_said_now_and_then(made, tmp_path, capsys, monkeypatch):
    made.quiet = False
    made([["job", tmp_path, "a"], ["job", tmp_path, "b"]], workers=1)
    assert capsys.readouterr().out.count("children: 1 of 2 trained") == 1
    monkeypatch.setattr(children, "SAY_EVERY", 0)
    made([["job", tmp_path, "c"]])
    assert "children: 3 of 3 trained" in capsys.readouterr().out


def test_no_commands_start_nothing(made):
    assert made([]) == []
    assert made._pool is None


class Asks(LightningModule):
    """Asks for one child in a step; `fails`: and then breaks."""

    def __init__(self, command, fails=False):
        super().__init__()
        self.command, self.fails, self.automatic_optimization, self.found = command, fails, False, None
        self.still = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        self.found = self.trainer.jobs([self.command])
        if self.fails:
            raise ValueError("a bug")

    def train_dataloader(self):
        return [0]

    def configure_optimizers(self):
        return torch.optim.SGD([self.still], 0.1)


@pytest.mark.parametrize("fails", [False, True])
def test_a_trainers_processes_end_with_its_fit(tmp_path, monkeypatch, fails):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    runner = Children(runner="study_runner:main", preload=())
    trainer = Trainer(
        max_epochs=1, default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[runner]
    )
    assert trainer.jobs is runner
    model = Asks(["where", tmp_path, "a"], fails)
    if fails:
        with pytest.raises(ValueError, match="a bug"):
            trainer.fit(model)
    else:
        trainer.fit(model)
    assert runner.folder == tmp_path / "children"
    assert not alive((tmp_path / "a").read_text().split()[0])


def test_every_trainer_has_them_but_a_barebones_one(tmp_path):
    assert isinstance(Trainer(accelerator="cpu", logger=False).jobs, Children)
    assert Trainer(accelerator="cpu", barebones=True).jobs is None


def test_devices_are_those_that_this_process_sees(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-1")
    assert children.cuda_devices() == ["3", "GPU-1"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(children.torch.cuda, "device_count", lambda: 2)
    assert children.cuda_devices() == ["0", "1"]
