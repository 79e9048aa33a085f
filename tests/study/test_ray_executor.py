"""Jobs on a real Ray cluster of several nodes on this machine, one of which is killed; and what of it needs no Ray."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from robnas import jobs, locks
from robnas.errors import UserError
from robnas.results import Rows
from robnas.study import ray_cluster
from robnas.study.courier import Courier
from robnas.study.pool import Pool
from robnas.study.ray_executor import RayExecutor
from robnas.study.ray_worker import Order, RayWorker, _Pushing

TESTS = str(Path(__file__).parents[1])
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'robnas[ray]'")


# Without Ray


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"^--executor ray needs Ray: pip install 'robnas\[ray\]'$"):
        RayExecutor(tmp_path / ".pool")


def test_nothing_imports_ray_before_it_is_used():
    code = "import sys, robnas.study.ray_executor; print([m for m in ('ray', 'torch', 'fsspec') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


CPU, GPU = {"CPU": 4.0}, {"CPU": 16.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("nodes", "workers", "threads", "gpus", "expected"),
    [
        ([CPU, CPU], None, None, 0, (8, 1)),
        ([CPU, CPU], 2, None, 0, (2, 4)),
        ([CPU, CPU], 3, None, 0, (3, 2)),
        ([CPU, {"CPU": 3.0}], None, 2, 0, (3, 2)),  # two and one, not three and a half
        ([CPU, GPU], None, 4, 1, (4, 4)),
        ([GPU], None, None, 0.5, (8, 1)),
        ([GPU], None, 8, 1, (2, 8)),
        ([CPU], 9, None, 0, (9, 1)),  # nodes may come
    ],
)
def test_room_of_a_cluster(nodes, workers, threads, gpus, expected):
    assert ray_cluster.room(nodes, workers, threads, gpus) == expected


@pytest.mark.parametrize(("threads", "gpus", "says"), [(5, 0, "threads: 5 .*4 CPUs"), (None, 1, "1 GPUs for a job: 4 CPUs and 0 GPUs")])
def test_no_room_is_said(threads, gpus, says):
    with pytest.raises(UserError, match=says):
        ray_cluster.room([CPU, {"memory": 1.0}], None, threads, gpus)


def test_a_courier_names_everything_by_its_path_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "some" / "classify" / "abc"
    run.mkdir(parents=True)
    Path("my.yaml").write_text("x: 1")
    courier = Courier(str(tmp_path / "store"), tmp_path / "runs" / "some")
    argv = [
        "attack",
        str(run),
        "--config",
        str(tmp_path / "my.yaml"),
        f"--runs={tmp_path}/runs/some",
        "--eps=4/255",
        "/elsewhere",
        "pgd.yaml",
    ]
    words = ["attack", "runs/some/classify/abc", "--config", "my.yaml", "--runs=runs/some", "--eps=4/255", "/elsewhere", "pgd.yaml"]
    assert courier.words(argv) == words
    assert courier.files(argv) == {"my.yaml": b"x: 1"}
    assert courier.runs([run]) == ["classify/abc"]
    with pytest.raises(UserError, match="no run folder of the study"):
        courier.runs([tmp_path / "elsewhere" / "abc"])
    with pytest.raises(UserError, match=r"--store.*not below the current one"):
        Courier(str(tmp_path / "store"), tmp_path.parent / "study")


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Two workers on nodes that have nothing but a store in common, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locks, "patient", False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("ROBNAS_SCRATCH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "SLURM_PROCID", "ROBNAS_SAID"):
        monkeypatch.setenv(name, "0")

    def make(name, **changes):
        monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", buffering=1, closefd=False))  # a job's log is what goes there, not to pytest's
        monkeypatch.setenv("ROBNAS_SCRATCH", str(tmp_path / name))
        given = {"runner": "ray_runner:main", "preload": (), "folder": "runs/s", "here": str(tmp_path), "token": "", "every": 0.05}
        given |= {"store": str(tmp_path / "store"), "environment": {"OMP_NUM_THREADS": "3", "ROBNAS_SAID": "s"}, "without": ("SLURM_",)}
        worker = RayWorker()
        return worker, worker.ready(Order(**given | changes), ["2"])

    return make


FIT = ["fit", "--name=a", "--runs=runs/s", "--epochs=3", "--ckpt_path", "last"]
NAME = "classify/" + jobs.identity({"name": "a", "config": ""})[:12]


def test_a_job_leaves_its_folder_in_the_store_for_the_next_node(worker, tmp_path):
    first, _ = worker("one")
    made = first.run("fit", FIT, [], {}, "", 1)
    assert (made["status"], made["folder"], made["folders"]) == (0, f"runs/s/{NAME}", [NAME])
    assert b"fit 3 '2' s\ngoes on from 0" in made["said"]
    assert "SLURM_PROCID" not in os.environ
    second, _ = worker("two")
    attacked = second.run("attack", ["attack", f"runs/s/{NAME}", "--name=pgd"], [NAME], {}, "", 1)
    assert (attacked["status"], attacked["folders"]) == (0, [NAME])
    again = first.run("fit", FIT, [], {}, "", 1)
    assert b"finished already" in again["said"]
    assert again["folders"] == []
    metrics = [row.metric for row in Rows(Path(first.home) / "runs" / "s" / NAME / "results.jsonl").read()]
    assert metrics == ["accuracy", "asr"]
    second.leave()
    assert not any((tmp_path / "two").glob("*/*"))


def test_a_job_whose_node_is_lost_goes_on_from_its_last_push(worker):
    first, _ = worker("one")
    with pytest.raises(RuntimeError, match="lost"), _Pushing(first.replica, "fit", 0.05, 1):  # and no push at the end
        first.function([*FIT, "--pause=0.3", "--lost=2"])
    second, _ = worker("two")
    assert second.run("fit", FIT, [], {}, "", 2)["said"].splitlines()[-1] in (b"goes on from 1", b"goes on from 2")


def test_files_that_a_command_names_go_with_it(worker):
    node, _ = worker("one")
    node.run("fit", [*FIT, "--config=configs/my.yaml"], [], {"configs/my.yaml": b"x: 1"}, "", 1)
    assert (Path(node.home) / "configs" / "my.yaml").read_bytes() == b"x: 1"


def test_a_node_of_no_use_says_why(worker):
    assert "--store URI" in worker("one", store=None, token="/nowhere/token")[1]["error"]
    assert "no_such_module" in worker("one", runner="no_such_module:main")[1]["error"]
    assert "s4" in worker("one", store="s4://bucket")[1]["error"]


# With it


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory):
    """A head and two nodes of one CPU each, apart from each other in all but the machine; whoever kills one adds another."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", TESTS)
        patch.delenv("RAY_ADDRESS", raising=False)
        for name, value in ray_cluster.QUIET.items():
            patch.setenv(name, value)
        cluster = Cluster()
        try:
            _patiently(lambda: cluster.add_node(num_cpus=0, include_dashboard=False))
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def _patiently(start):
    """A busy machine may take longer than the 30 s that Ray waits for a node."""
    for _ in range(3):
        with contextlib.suppress(Exception):
            return start()
    return start()


@pytest.fixture
def cluster(shared_cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    while len(shared_cluster.worker_nodes) < 2:
        scratch = tmp_path / f"node{len(shared_cluster.worker_nodes)}"
        _patiently(lambda at=scratch: shared_cluster.add_node(num_cpus=1, env_vars={"ROBNAS_SCRATCH": str(at)}))
    return shared_cluster


def executor(cluster, **arguments):
    given = {"folder": Path("runs/s/.pool"), "address": cluster.address, "runner": "ray_runner:main", "preload": (), "every": 0.2}
    return RayExecutor(**given | arguments)


def everything(running):
    ended = []
    while some := running.wait():
        ended += some
    return dict(ended)


def fit(name, **flags):
    return ["fit", f"--name={name}", "--runs=runs/s", "--epochs=3", *(f"--{key}={value}" for key, value in flags.items())]


def descended_from(mark):
    """Processes that live and have inherited the environment variable ROBNAS_MARK."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"ROBNAS_MARK={mark}\0" in (process / "environ").read_text(errors="replace"):  # of a zombie it is empty
                found.append((process / "cmdline").read_text().replace("\0", " ")[:80])
    return found


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize("store", ["store", None])
def test_jobs_survive_the_loss_of_their_node(cluster, store, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBNAS_SAID", "s")
    store = store and str(tmp_path / store)
    with executor(cluster, store=store) as running:
        assert (running.slots, running.threads) == (2, 1)
        for name in "ab":
            running.submit(name, fit(name, pause=1.5))
        _kill_when(cluster, running, store)
        fits = everything(running)
        assert sorted((o.status, o.attempts) for o in fits.values()) == [(0, 1), (0, 2)], [o.log.read_text() for o in fits.values()]
        again = next(o for o in fits.values() if o.attempts == 2)
        assert "node lost in attempt 1" in again.log.read_text()
        assert "goes on from 1" in again.log.read_text() or "goes on from 2" in again.log.read_text()
        for name, outcome in fits.items():
            for attack in ("pgd", "nes"):
                running.submit(f"{attack} {name}", ["attack", str(outcome.folder), f"--name={attack}"], [outcome.folder])
        running.submit("bug", ["fail"])
        running.submit("dead", ["die"])
        rest = everything(running)
    assert {i: o.status for i, o in rest.items()} == dict.fromkeys(rest, 0) | {"bug": 1, "dead": -9}
    assert "ValueError: a bug" in rest["bug"].log.read_text()
    assert "worker lost" in rest["dead"].log.read_text()
    for outcome in fits.values():
        assert jobs.job_at(outcome.folder).state() == "finished"
        found = Rows(outcome.folder / "results.jsonl").read()
        assert sorted((row.metric, row.plugin) for row in found) == [("accuracy", ""), ("asr", "nes"), ("asr", "pgd")]
        assert {row.study for row in found if row.kind == "train"} == {"s"}
    assert not list(Path("runs/s/.pool").glob("ray-*"))


def _kill_when(cluster, running, store, checkpoints=2):
    """Kill a node with a worker once so many jobs have a checkpoint in a place that outlives it."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        done, _ = running._ray.wait([*running._starting, *running._busy], timeout=0.1)
        for ref in [ref for ref in done if ref in running._starting]:
            running._started(running._starting.pop(ref), ref)
        running._employ()
        found = Path(store).glob("classify/*/pushes/*.json") if store else Path("runs/s").glob("classify/*/checkpoints/last.ckpt")
        if sum(not store or "last.ckpt" in path.read_text() for path in found) == checkpoints:
            at = next(iter(running._busy.values())).node
            cluster.remove_node(next(n for n in cluster.worker_nodes if n.node_id == at), allow_graceful=False)
            return
    raise AssertionError("the jobs did not begin")


@pytest.mark.slow
@needs_ray
def test_rows_are_those_of_the_pool_though_a_node_was_killed(cluster, tmp_path):
    """Real commands, no file system in common: a training that is cut off and goes on elsewhere, an attack on what it made."""
    few = ["--config", "digits.yaml", "--wandb=off", "--trainer.limit_train_batches=4", "--trainer.limit_test_batches=1"]
    few += ["--trainer.max_epochs=6", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false"]
    fit = ["fit", "--config", "classify.yaml", "--model.network=vgg", *few]
    attack = ["--config", "pgd.yaml", "--config", "digits.yaml", "--trainer.limit_test_batches=1", "--wandb=off"]
    (fitted,) = Pool(workers=1, folder=Path("runs/pool/.pool"), threads=1, quiet=True).run([[*fit, "--runs=runs/pool"]])
    assert fitted.good, fitted.log.read_text()
    (attacked,) = Pool(workers=1, folder=Path("runs/pool/.pool"), threads=1, quiet=True).run([["attack", str(fitted.folder), *attack]])
    assert attacked.good, attacked.log.read_text()
    real = {"runner": "robnas.__main__:main", "preload": ("robnas.cli",)}
    with executor(cluster, store=str(tmp_path / "store"), workers=1, **real) as running:
        running.submit("fit", [*fit, "--runs=runs/s"])
        _kill_when(cluster, running, str(tmp_path / "store"), checkpoints=1)
        again = everything(running)["fit"]
        assert (again.status, again.attempts) == (0, 2), again.log.read_text()
        running.submit("attack", ["attack", str(again.folder), *attack], [again.folder])
        assert everything(running)["attack"].good
    assert again.folder.name == fitted.folder.name
    ours, theirs = (sorted(_timeless(row) for row in Rows(o.folder / "results.jsonl").read()) for o in (again, fitted))
    assert ours == theirs
    assert len(ours) > 3


def _timeless(row):
    return json.dumps(dataclasses.asdict(row) | {"seconds": None}, sort_keys=True)


@pytest.mark.slow
@needs_ray
def test_a_cluster_of_our_own_ends_with_the_command_however_it_ends(tmp_path, monkeypatch):
    """Also by SIGKILL, in the middle of a job."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    code = """
import sys
from pathlib import Path
from robnas.study.ray_executor import RayExecutor
with RayExecutor(Path("runs/s/.pool"), workers=2, threads=1, runner="ray_runner:main", preload=()) as running:
    for name in "ab":
        running.submit(name, ["fit", f"--name={name}", "--runs=runs/s", "--epochs=3"])
    while some := running.wait():
        print([(name, outcome.status) for name, outcome in some], flush=True)
    running.submit("c", ["fit", "--name=c", "--runs=runs/s", "--epochs=100", "--pause=1"])
    if "wait" in sys.argv:
        running.wait()
"""
    mark = uuid.uuid4().hex
    environment = os.environ | {"PYTHONPATH": TESTS, "ROBNAS_MARK": mark}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("0)") == 2
    assert not [line for line in done.stderr.splitlines() if "Warning" in line]
    _wait_until(lambda: not descended_from(mark))
    process = subprocess.Popen([*command, "wait"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(lambda: len(list(tmp_path.glob("runs/s/classify/*/checkpoints/last.ckpt"))) == 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait_until(lambda: not descended_from(mark))


def _wait_until(true, seconds=300):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
@needs_ray
def test_no_cluster_at_an_address_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^--ray-address 127\.0\.0\.1:9: "), RayExecutor(tmp_path / ".pool", address="127.0.0.1:9"):
        pass
