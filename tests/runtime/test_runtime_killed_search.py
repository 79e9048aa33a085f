"""A search killed in mid-epoch, and the same command with `--ckpt_path last`: the same cell, the same α, the same weights, bit for bit."""

import os
import subprocess
import sys
import time

import pytest
import torch

from robnas import jobs

COMMAND = (
    *("fit", "--config", "darts_iii.yaml", "--config", "digits.yaml", "--wandb=off", "--runs=runs"),
    *("--model.layers=2", "--model.init_channels=2", "--trainer.max_epochs=2", "--trainer.limit_train_batches=6"),
    *("--trainer.limit_val_batches=1", "--trainer.save_every_n_steps=2", "--data.num_workers=1"),
)


def robnas(folder, *words):
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "robnas", *COMMAND, *words], cwd=folder, env=environment, stdout=log, stderr=log)


def finished(folder, *words):
    assert robnas(folder, *words).wait(timeout=300) == 0, (folder / "log.txt").read_text()
    (job,) = jobs.find(folder / "runs")
    assert job.state() == "finished"
    return (job.folder / "genotype.yaml").read_text(), torch.load(job.folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_in_mid_epoch(tmp_path, ranks):
    devices = () if ranks == 1 else ("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu")
    cell, whole = finished(tmp_path / "whole", *devices)

    process = robnas(tmp_path / "killed", *devices)
    while not list((tmp_path / "killed").glob("runs/*/*/checkpoints/previous.ckpt")):  # while the second is being written, of step 4 of 12
        assert process.poll() is None, (tmp_path / "killed" / "log.txt").read_text()
        time.sleep(0.01)
    process.kill()
    process.wait()
    (job,) = jobs.find(tmp_path / "killed" / "runs")
    assert job.state() == "unfinished"
    kept = torch.load(job.folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 2 <= kept < 12

    again, resumed = finished(tmp_path / "killed", *devices, "--ckpt_path", "last")
    assert again == cell
    assert whole["global_step"] == resumed["global_step"] == 12
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in whole["state_dict"].items())
    assert any("alpha" in name for name in whole["state_dict"])
