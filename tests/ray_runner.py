"""What the workers of a Ray cluster run in tests: `fit|attack ARGUMENTS`, with real run folders, no torch; or real commands that hold."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from unittest import mock

from robnas import atomic, jobs
from robnas.identity import identity_of
from robnas.results import Row, Rows


def main(argv):
    flags = dict(word[2:].split("=", 1) for word in argv if word.startswith("--") and "=" in word)
    print(
        argv[0], os.environ.get("OMP_NUM_THREADS"), repr(os.environ.get("CUDA_VISIBLE_DEVICES")), os.environ.get("ROBNAS_SAID"), flush=True
    )
    if argv[0] == "fit":
        _fit(flags, "last" in argv)
    elif argv[0] == "attack":
        _attack(Path(argv[1]), flags)
    elif argv[0] == "fail":
        raise ValueError("a bug")
    elif argv[0] == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def real(argv):
    """robnas itself, but that every training holds when it has the checkpoint of its first epoch."""
    from robnas.__main__ import main
    from robnas.tasks import Classifier

    def begins(self):
        if self.current_epoch == 1:
            hold()

    with mock.patch.object(Classifier, "on_train_epoch_start", begins):
        return main(argv)


def hold():
    """Say where this job runs, and go no further until the test lets it: in ROBNAS_HOLD, a folder that both see; without it, go on."""
    place = Path(os.environ.get("ROBNAS_HOLD") or "/nowhere")
    if place.is_dir() and not (place / "go").exists():
        import ray

        job = jobs.entered()
        said = {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid(), "job": f"{job.experiment}/{job.name}"}
        atomic.write(place / f"{os.getpid()}.json", json.dumps(said))
        while not (place / "go").exists():
            time.sleep(0.02)


def _fit(flags, going_on):
    """`epochs` of `pause` seconds, each of which counts what is in the checkpoint up by one."""
    job = jobs.Job(identity_of({"name": flags["name"], "config": flags.get("config", "")}), "classify", Path(flags["runs"]))
    job.acquire()
    job.enter()
    if job.state() == "finished":
        print("finished already")
        return
    last = job.folder / "checkpoints" / "last.ckpt"
    done = int(last.read_text()) if going_on and last.is_file() else 0
    print("goes on from", done, flush=True)
    job.start(command=sys.argv)
    last.parent.mkdir(exist_ok=True)
    for epoch in range(done, int(flags["epochs"])):
        time.sleep(float(flags.get("pause", 0)))
        part = last.with_name(".part")
        part.write_text(str(epoch + 1))
        part.replace(last)
        if epoch + 1 == int(flags.get("hold", 0)):
            hold()
        if epoch + 1 == int(flags.get("lost", 0)):
            raise RuntimeError("lost")
    Rows(job.folder / "results.jsonl").write([Row("accuracy", 0.5, job=job.name, kind="train", study=os.environ.get("ROBNAS_SAID"))])
    job.mark_finished()
    job.release()


def _attack(folder, flags):
    job = jobs.job_at(folder)
    job.enter()
    assert (folder / "checkpoints" / "last.ckpt").read_text() == flags.get("expects", "3")
    time.sleep(float(flags.get("pause", 0)))
    Rows(folder / "results.jsonl").write([Row("asr", 0.25, job=job.name, plugin=flags["name"])])
