"""An attack that has shadows trained, killed while it trains one, and gone on with: the same shadows, none of them trained twice."""

import os
import signal
import subprocess
import sys
import time

import pytest

from robnas import jobs
from robnas.results import Rows

FIT = (
    *("fit", "--model=Classifier", "--model.network=resnet", "--model.size=tiny", "--data=digits", "--data.members=0.5"),
    *("--trainer.max_epochs=2", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1", "--trainer.accelerator=cpu"),
    *("--wandb=off", "--experiment=small"),
)
ATTACK = ("attack", "runs/small/latest", "--attacks.lira=lira", "--attacks.lira.n_shadows=4", "--attacks.lira.max_inputs=40", "--wandb=off")


def robnas(folder, *words):
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "robnas", *words], cwd=folder, stdout=log, stderr=log)


def done(folder, *words):
    assert robnas(folder, *words).wait(timeout=400) == 0, (folder / "log.txt").read_text()


def shadows(folder):
    return {job.name: job for job in jobs.find(folder / "runs") if job.experiment == "small-shadows"}


def row(folder):
    (victim,) = [job for job in jobs.find(folder / "runs") if job.experiment == "small"]
    (found,) = [row for row in Rows(victim.folder / "results.jsonl").read() if row.plugin == "lira" and row.metric == "auc"]
    return found


def half_trained(folder):
    """A shadow is begun, and has a checkpoint to go on from, unless the last one is begun: a training of a moment is easily missed."""
    begun = [job for job in shadows(folder).values() if job.state() == "unfinished"]
    return any(len(shadows(folder)) == 4 or (job.folder / "checkpoints" / "last.ckpt").is_file() for job in begun)


@pytest.mark.slow
def test_killed_while_shadows_are_trained(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        done(folder, *FIT)
    done(whole, *ATTACK)

    process = robnas(killed, *ATTACK)
    while not half_trained(killed):
        assert process.poll() is None, (killed / "log.txt").read_text()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {name: job for name, job in shadows(killed).items() if (job.folder / "checkpoints" / "last.ckpt").is_file()}
    created = {name: job.facts["created"] for name, job in kept.items()}  # one without a checkpoint is begun anew
    finished = {name: when for name, job in shadows(killed).items() if (when := job.facts.get("finished"))}
    done(killed, *ATTACK)

    assert len(shadows(killed)) == 4
    assert set(shadows(killed)) == set(shadows(whole))
    assert {job.state() for job in shadows(killed).values()} == {"finished"}
    assert all(shadows(killed)[name].facts["created"] == when for name, when in created.items())
    assert all(shadows(killed)[name].facts["finished"] == when for name, when in finished.items())
    assert row(killed).params == row(whole).params  # a digest of all weights is among them
    assert row(killed).value == row(whole).value
