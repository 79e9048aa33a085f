"""docs/scaling.md: launchers are played by two processes of this machine; what needs GPUs or a cluster is parsed."""

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from command_line import robnas
from robnas import jobs
from robnas.errors import UserError
from robnas.study import command

TEXT = (Path(__file__).parents[1] / "docs" / "scaling.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
PLAIN, (SLURM, TORCHRUN) = [text for kind, text in BLOCKS if not kind], [text for kind, text in BLOCKS if kind]
FITS = [line.removeprefix("robnas ") for text in PLAIN for line in text.splitlines() if line.startswith("robnas fit")]
STUDIES = [line.removeprefix("robnas study ") for text in PLAIN for line in text.splitlines() if line.startswith("robnas study")]

FEW = ["max_epochs=1", "limit_train_batches=2", "limit_val_batches=1", "accelerator=cpu", "enable_progress_bar=false"]
SMALL = " --config digits.yaml --wandb=off --model.layers=2 --model.init_channels=2" + "".join(f" --trainer.{flag}" for flag in FEW)


@pytest.mark.slow
def test_what_one_machine_runs_on_gpus_is_understood(capsys):
    assert FITS
    for told in FITS:
        said = robnas(told + " --trainer.accelerator=cpu --print_config", capsys)  # there need be no GPU to read it
        trainer = yaml.safe_load(said.out)["trainer"]
        assert (trainer["devices"], trainer["strategy"]) == (4, "ddp")


def test_what_ray_runs_is_understood(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = []

    def begin(*args, **kwargs):
        made.append(kwargs)
        raise UserError("understood")

    monkeypatch.setattr("robnas.study.ray_executor.RayExecutor", begin)
    monkeypatch.setattr(command.graph, "plan", lambda *args: None)  # the whole paper takes a while
    for told in STUDIES:
        with pytest.raises(UserError, match="understood"):
            command.main(shlex.split(told))
    assert {made["address"] for made in made} == {"auto"}
    assert {made["store"] for made in made} >= {None, "s3://my-bucket/quickstart"}
    assert 1.0 in {made["gpus"] for made in made}


def test_ray_understands_how_it_is_told_to_start():
    start = pytest.importorskip("ray.scripts.scripts").start
    told = re.findall(r"`ray start ([^`]*)`", TEXT)
    read = [start.make_context("start", shlex.split(words)).params for words in told]
    assert [(given["head"], given["address"]) for given in read] == [(True, None), (False, "HEAD:6379")]


def test_a_batch_script_asks_for_what_its_command_uses():
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\d+)$", SLURM, re.MULTILINE))
    used = dict(re.findall(r"--trainer\.(\w+)=(\d+)", SLURM))
    assert (asked["nodes"], asked["ntasks-per-node"]) == (used["num_nodes"], used["devices"])
    assert asked["gpus-per-node"] == asked["ntasks-per-node"]
    asked, used = dict(re.findall(r"--([\w-]+)=(\d+) ", TORCHRUN)), dict(re.findall(r"--trainer\.(\w+)=(\d+)", TORCHRUN))
    assert (asked["nnodes"], asked["nproc-per-node"]) == (used["num_nodes"], used["devices"])


def launched(told, folder, environment):
    """The command on two nodes of one process each → what they said."""
    told = re.sub(r"--nproc-per-node=\d+", "--nproc-per-node=1", told.replace("/shared/runs", str(folder / "runs"))) + SMALL
    told = re.sub(r"--trainer\.devices=\d+", "--trainer.devices=1", told)
    ranks = [
        subprocess.Popen(
            shlex.split(told), cwd=folder, env=os.environ | environment(rank), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for rank in range(2)
    ]
    try:
        return [(process.communicate(timeout=400)[0], process.returncode) for process in ranks]
    finally:
        for process in ranks:
            process.kill()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def finished(said, folder):
    assert [status for _, status in said] == [0, 0], said
    (job,) = jobs.find(folder / "runs")
    assert job.state() == "finished"
    assert sum(f"run folder: {folder / 'runs'}" in text for text, _ in said) == 1


@pytest.mark.slow
def test_slurm_on_two_nodes(tmp_path):
    told = next(line for line in SLURM.splitlines() if line.startswith("srun ")).removeprefix("srun robnas")
    port, host = str(free_port()), "127.0.0.1"

    def task(rank):
        shared = {"JOB_ID": "1", "JOB_NAME": "search", "NTASKS": "2", "NNODES": "2", "NTASKS_PER_NODE": "1", "JOB_NODELIST": host}
        own = {"PROCID": rank, "NODEID": rank, "LOCALID": 0}
        return {f"SLURM_{name}": str(value) for name, value in (shared | own).items()} | {"MASTER_ADDR": host, "MASTER_PORT": port}

    finished(launched(f"{sys.executable} -m robnas {told}", tmp_path, task), tmp_path)


@pytest.mark.slow
def test_torchrun_on_two_nodes(tmp_path):
    told = TORCHRUN.strip().replace("node0:29500", f"127.0.0.1:{free_port()}").replace("torchrun", "-m torch.distributed.run", 1)
    finished(launched(f"{sys.executable} {told}", tmp_path, lambda rank: {}), tmp_path)
