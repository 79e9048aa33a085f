"""A theft by the command line: whose data it takes, and that a kill while it asks loses no answer and asks nothing twice."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from command_line import refused, robnas
from robnas import jobs

SMALL = "--wandb=off --trainer.accelerator=cpu --trainer.max_epochs=1 --model.network=resnet --model.options={depth: 10, width: 4}"
VICTIM = f"fit --config classify --config digits {SMALL} --data.members=0.5 --data.seed=3 --trainer.limit_train_batches=2"

NET = '''
import os
import torch
from torch import nn


class Net(nn.Module):
    """Writes down how many images each query has."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(768, 10)

    def forward(self, x):
        with open(os.environ["ASKED"], "a") as file:
            file.write(f"{len(x)}\\n")
        return self.layer(x.flatten(1))
'''


def test_data_are_the_victims_and_the_same_seed_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert robnas(VICTIM, capsys).status == 0
    steal = f"fit --config knockoff --scale=tiny {SMALL} --attacks.knockoff.victim=runs/classify/latest --attacks.knockoff.budget=40"
    said = robnas(f"{steal} --data.batch_size=20 --seed_everything=0", capsys)
    assert said.status == 0, said.err
    assert "knockoff: ace" in said.out
    assert "knockoff: queries 40" in said.out
    (job,) = [job for job in jobs.find(tmp_path / "runs") if job.experiment == "knockoff"]
    config = yaml.safe_load((job.folder / "config.yaml").read_text())
    given = config["data"]["init_args"]
    assert config["data"]["class_path"] == "robnas.data.digits.Digits"
    assert (given["members"], given["seed"], given["batch_size"]) == (0.5, 3, 20)
    assert config["attacks"]["knockoff"]["init_args"]["victim"] != "runs/classify/latest"  # another one tomorrow
    assert '"flags": ["the victim\'s own seed"]' in (job.folder / "results.jsonl").read_text()
    assert "finished already" in robnas(f"{steal} --data.batch_size=20 --seed_everything=0", capsys).out
    assert "the pool (non_members) has" in refused(steal.replace("budget=40", "budget=4000"), capsys)
    assert len([job for job in jobs.find(tmp_path / "runs") if job.experiment == "knockoff"]) == 1  # what was refused leaves no folder


def theft(folder, *words):
    """An adaptive one from a victim that counts, in a process of its own."""
    flags = ("--attacks.knockoff.victim=net.py:Net", "--attacks.knockoff.pool=train", "--attacks.knockoff.budget=400")
    small = ("--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--model.network=resnet", "--model.options={depth: 10, width: 4}")
    command = ("fit", "--config", "knockoff/adaptive.yaml", "--config", "digits.yaml", "--wandb=off", *flags, *small, *words)
    environment = os.environ | {"ASKED": str(folder / "asked.txt"), "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "robnas", *command], cwd=folder, env=environment, stdout=log, stderr=log)


@pytest.mark.slow
@pytest.mark.parametrize("after", [3000, 12000])  # bytes of answers
def test_killed_while_it_asks(tmp_path, after):
    (tmp_path / "net.py").write_text(NET)
    process = theft(tmp_path)
    parts = tmp_path / "runs" / "knockoff-adaptive"
    while not any(part.stat().st_size > after for part in parts.glob("*/queries.part")):
        assert process.poll() is None, (tmp_path / "log.txt").read_text()
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (part,) = parts.glob("*/queries.part")
    assert theft(tmp_path, "--ckpt_path=last").wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()
    assert not part.exists()
    with np.load(part.with_name("queries.npz")) as table:
        assert len(set(table["index"].tolist())) == 400
        asked = int(table["asked"])
    seen = sum(n for n in map(int, (tmp_path / "asked.txt").read_text().split()) if n == 16)  # the referee asks in other handfuls
    assert asked in (400, 416)
    assert asked - 16 <= seen <= asked
