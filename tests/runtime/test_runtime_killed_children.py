"""A search by trained children, killed while it trains one, and gone on with: the same cell, and no child trained twice."""

import os
import signal
import subprocess
import sys
import time

import pytest

from robnas import jobs

COMMAND = (
    *("fit", "--model=SampledSearch", "--model.searcher=random", "--model.evaluator=trained_child", "--model.proposals=1"),
    *("--model.evaluator.init_args.epochs=2", "--model.evaluator.init_args.layers=2", "--model.evaluator.init_args.init_channels=2"),
    *("--model.evaluator.init_args.trainer={limit_train_batches: 2, limit_val_batches: 1}", "--data=digits", "--trainer.max_epochs=4"),
    *("--trainer.accelerator=cpu", "--wandb=off", "--experiment=search"),
)


def robnas(folder, *words):
    folder.mkdir(exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "robnas", *COMMAND, *words], cwd=folder, stdout=log, stderr=log)


def found(folder):
    """The search's job, its children's."""
    all_jobs = jobs.find(folder / "runs")
    (search,) = [job for job in all_jobs if job.experiment == "search"]
    return search, [job for job in all_jobs if job.experiment == "search-children"]


def half_trained(folder):
    """The second child, and it has a checkpoint to go on from."""
    children = [job for job in jobs.find(folder / "runs") if job.experiment == "search-children"]
    begun = [job for job in children if job.state() == "unfinished" and (job.folder / "checkpoints" / "last.ckpt").is_file()]
    return len(children) == 2 and len(begun) == 1


def finished(folder, *words):
    assert robnas(folder, *words).wait(timeout=300) == 0, (folder / "log.txt").read_text()
    search, children = found(folder)
    assert {job.state() for job in (search, *children)} == {"finished"}
    return (search.folder / "genotype.yaml").read_text(), {job.name for job in children}


def processes(word):
    """Of this machine, whose command line has `word` in it."""
    lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if word in line and "ps -eo" not in line]


@pytest.mark.slow
def test_killed_between_two_children(tmp_path):
    cell, children = finished(tmp_path / "whole")
    assert len(children) == 4

    process = robnas(tmp_path / "killed")
    while not half_trained(tmp_path / "killed"):
        assert process.poll() is None, (tmp_path / "killed" / "log.txt").read_text()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 10
    while (left := processes(f"robnas.study.worker {process.pid} ")) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []
    created = {job.name: job.facts["created"] for job in found(tmp_path / "killed")[1]}

    again, resumed = finished(tmp_path / "killed", "--ckpt_path", "last")
    assert (again, resumed) == (cell, children)
    facts = {job.name: job.facts for job in found(tmp_path / "killed")[1]}
    assert all(facts[name]["created"] == when for name, when in created.items())
    logs = [path.read_text() for path in (tmp_path / "killed").glob("runs/search/latest/children/*.log")]
    epochs = [(log.count("epoch 1/2"), log.count("epoch 2/2")) for log in logs if "epoch" in log]
    assert len(epochs) == 4
    assert epochs.count((1, 1)) >= 3  # the one that was killed may have lost the line of an epoch, or said it again
