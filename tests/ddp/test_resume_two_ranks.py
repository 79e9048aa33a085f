"""Two ranks, killed in mid-epoch and gone on with: the same bits as two ranks that were left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robnas.runtime.loggers import read

SCRIPT = Path(__file__).parents[1] / "small_run.py"


def start(folder, **arguments):
    words = [f"{k}={v}" for k, v in arguments.items()]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(SCRIPT), str(folder), "devices=2", "epochs=2", *words]
    return subprocess.run(command, check=False, timeout=180, env=environment, stderr=subprocess.DEVNULL).returncode


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path):
    assert start(tmp_path / "whole") == 0
    assert start(tmp_path / "killed", kill=23, workers=1) == -signal.SIGKILL
    assert start(tmp_path / "killed", ckpt=tmp_path / "killed" / "checkpoints" / "last.ckpt", workers=1) == 0
    whole, killed = (torch.load(tmp_path / name / "end.pt", weights_only=True) for name in ("whole", "killed"))
    assert all(torch.equal(whole[k], killed[k]) for k in whole)
    table = [[{k: v for k, v in row.items() if k != "seconds"} for row in read(tmp_path / n / "metrics.csv")] for n in ("whole", "killed")]
    assert table[0] == table[1]
