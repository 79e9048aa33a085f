"""Jobs on a real Ray cluster of several nodes on this machine, one of which is killed; and what of it needs no Ray."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from robnas import jobs, locks
from robnas.errors import UserError
from robnas.identity import identity_of
from robnas.results import Rows
from robnas.study import command, ray_cluster, ray_executor
from robnas.study.courier import Courier
from robnas.study.plan import Plan
from robnas.study.pool import Pool
from robnas.study.ray_executor import LOST, RayExecutor, _Job, _Worker
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


def test_no_cluster_at_an_address_is_one_line_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_cluster, "load", lambda: SimpleNamespace(is_initialized=lambda: False, init=None))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        wrong = RayExecutor(tmp_path / ".pool", address=f"127.0.0.1:{port}")
        with pytest.raises(UserError, match=rf"^--ray-address 127\.0\.0\.1:{port}: no Ray cluster answers there: .*refused"), wrong:
            pass
    assert not (tmp_path / ".pool").exists()


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
NAME = "classify/" + identity_of({"name": "a", "config": ""})[:12]


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


class GoneError(Exception):
    pass


class SilentError(GoneError):
    pass


@pytest.fixture
def lost(tmp_path, monkeypatch):
    """An executor on a cluster with the one node "a", of whose workers each answers with an error."""

    def get(error):
        raise error

    errors = SimpleNamespace(RayError=GoneError, ActorUnavailableError=SilentError)
    nodes = [{"NodeID": "a", "Alive": True}, {"NodeID": "b", "Alive": False}]
    ray = SimpleNamespace(exceptions=errors, get=get, kill=lambda actor, no_restart: None, nodes=lambda: nodes)
    monkeypatch.setattr(ray_cluster, "load", lambda: ray)
    (tmp_path / ".pool").mkdir()
    return RayExecutor(tmp_path / ".pool")


@pytest.mark.parametrize(("node", "error", "again"), [("a", GoneError, 0), ("b", GoneError, LOST), ("a", SilentError, LOST)])
def test_a_lost_node_is_no_failure_of_its_job_but_a_lost_worker_is(lost, node, error, again):
    job = _Job("a", ("fit",), [])
    for job.attempts in range(1, again + 1):
        assert lost._ended(_Worker(None, node, job), error("lost")) is None
        assert lost._waiting.popleft() is job
    job.attempts = again + 1
    id, outcome = lost._ended(_Worker(None, node, job), error("lost"))
    assert (id, outcome.status, outcome.attempts) == ("a", -9, again + 1)
    assert outcome.log.read_text().count("lost in attempt") == again + 1


def test_a_worker_lost_before_its_first_job_makes_way_for_another_some_times(lost):
    for _ in range(LOST):
        lost._started(_Worker(None), GoneError("of no memory"))
    with pytest.raises(UserError, match="no worker of the Ray cluster begins: of no memory"):
        lost._started(_Worker(None), GoneError("of no memory"))


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
            _patiently(lambda: cluster.add_node(num_cpus=0, include_dashboard=False, _system_config={"health_check_period_ms": 1000}))
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
    shared_cluster.wait_for_nodes(120)  # that the node of the test before is dead, Ray learns after some seconds
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


@pytest.fixture
def lose(cluster, tmp_path, monkeypatch):
    """→ a context in which one node is killed, for sure in the middle of a job and as soon as so many hold there (`ray_runner.hold`)."""
    place = tmp_path / "hold"
    place.mkdir()
    monkeypatch.setenv("ROBNAS_HOLD", str(place))

    def kill(holding, store):
        try:
            _wait_until(lambda: len(list(place.glob("*.json"))) >= holding or (place / "go").exists())
            victim = json.loads(min(place.glob("*.json")).read_text())
            pushes = Path(store or "/nowhere") / victim["job"] / "pushes"
            known = Path(store or "/nowhere") / ".jobs"
            _wait_until(lambda: not store or any("last.ckpt" in push.read_text() for push in pushes.glob("*.json")))
            _wait_until(lambda: not store or any(victim["job"] in note.read_text() for note in known.glob("*.json")))
            cluster.remove_node(next(node for node in cluster.worker_nodes if node.node_id == victim["node"]), allow_graceful=False)
            _wait_until(lambda: not _lives(victim["pid"]))  # a worker outlives its node by a moment
            return victim["job"]
        finally:
            (place / "go").touch()

    @contextlib.contextmanager
    def losing(holding=1, store=None):
        with ThreadPoolExecutor(1) as aside:
            lost = aside.submit(kill, holding, store)
            try:
                yield lost
            except BaseException:  # whoever waits need not wait any longer
                (place / "go").touch()
                raise
            lost.result()

    return losing


def _lives(pid):
    """A zombie has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_text())
    except OSError:
        return False


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize("store", ["store", None])
def test_jobs_survive_the_loss_of_their_node(cluster, lose, store, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBNAS_SAID", "s")
    store = store and str(tmp_path / store)
    with executor(cluster, store=store) as running:
        assert (running.slots, running.threads) == (2, 1)
        for name in "ab":
            running.submit(name, fit(name, hold=2))
        with lose(holding=2, store=store) as lost:
            fits = everything(running)
        logs = {name: outcome.log.read_text() for name, outcome in fits.items()}
        assert {o.status for o in fits.values()} == {0}, logs
        again = next(name for name, o in fits.items() if o.folder.name in lost.result())
        assert "node lost in attempt 1" in logs[again]
        assert "goes on from 2" in logs[again] or "goes on from 1" in logs[again]
        assert {name: outcome.attempts for name, outcome in fits.items()} == {"a": 1, "b": 1} | {again: 2}, logs
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


FILE = """
study: lost
overlays: [digits.yaml]
flags: {trainer.max_epochs: 2, trainer.limit_train_batches: 3, trainer.limit_val_batches: 1}
searches:
  found: {config: darts.yaml, flags: {trainer.max_epochs: 1, trainer.limit_train_batches: 2, model.layers: 3}}
models: {vgg: , deep: {cell: darts, deepen: true}, own: {search: found}}
trainings:
  clean: {config: [classify.yaml, convergence.yaml]}
attacks:
  pgd:
    config: pgd.yaml
    flags:
      {trainer.limit_test_batches: 1, attacks.pgd.max_inputs: 8, attacks.pgd_most: null, attacks.pgd_least: null, attacks.unbounded: null}
  common: {config: pgd/common.yaml, together: true, flags: {attacks.common.max_inputs: 8, attacks.common_least: null}}
  flip: {config: label_flip.yaml, models: [own], flags: {attacks.label_flip.clean: "{run}"}}
  trojan: {config: trojannn.yaml, models: [own], flags: {init_from: "{run}"}}
probes:
  cells: {config: cells.yaml, models: [own, deep], flags: {trainer.limit_test_batches: 1}}
"""


@pytest.mark.slow
@needs_ray
def test_a_study_has_the_rows_of_one_process_and_of_several_though_a_node_was_killed(cluster, lose, tmp_path, monkeypatch):
    """No file system in common. A training is cut off and goes on elsewhere; cells were searched for or changed on other nodes."""
    found = {}
    for name, words in {"one": ["--workers=1"], "two": ["--workers=2"]}.items():
        found[name] = _study(tmp_path / name, words, monkeypatch)
    store = str(tmp_path / "store")
    monkeypatch.setattr(ray_executor, "RayExecutor", partial(RayExecutor, runner="ray_runner:real", every=0.2))
    with lose(store=store) as lost:
        words = ["--executor=ray", f"--ray-address={cluster.address}", f"--store={store}"]
        found["ray"] = _study(tmp_path / "ray", words, monkeypatch)
    for name in ("two", "ray"):
        assert found[name] == found["one"]
    assert len(found["one"]) > 50
    assert {json.loads(row)["study"] for _, row in found["one"]} == {"lost"}
    plan = Plan.read(tmp_path / "ray" / "out")
    assert {(job.state, job.attempts) for job in plan.jobs} == {("done", 1)}  # a lost node is no failure
    log = next((tmp_path / "ray" / "out" / job.log).read_text() for job in plan.jobs if job.folder == lost.result())
    assert "node lost in attempt 1" in log
    assert "Restor" in log.partition("node lost")[2], log  # from the checkpoint that was pushed


def _study(folder, words, monkeypatch):
    """Run there → its rows but for times, by run folder."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("lost.yaml").write_text(FILE)
    status = command.main(["lost.yaml", "--out=out", *words])
    assert status == 0, [path.read_text() for path in Path("out/.pool").glob("*.log")]
    files = [file for file in Path("out").glob("*/*/results.jsonl") if not file.parent.is_symlink()]
    rows = [(file.parent.name, row) for file in files for row in Rows(file).read() if "seconds" not in row.metric]
    return sorted((name, _timeless(row)) for name, row in rows)


@pytest.mark.slow
@needs_ray
def test_a_training_cut_off_on_a_shared_file_system_goes_on_elsewhere(cluster, lose):
    few = ["--config", "digits.yaml", "--wandb=off", "--trainer.limit_train_batches=4", "--trainer.limit_test_batches=1"]
    few += ["--trainer.max_epochs=2", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false"]
    fit = ["fit", "--config", "classify.yaml", "--config", "convergence.yaml", "--model.network=vgg", *few]
    (whole,) = Pool(workers=1, folder=Path("runs/pool/.pool"), threads=1, quiet=True).run([[*fit, "--runs=runs/pool"]])
    assert whole.good, whole.log.read_text()
    with executor(cluster, workers=1, threads=1, runner="ray_runner:real", preload=("robnas.cli",)) as running, lose():
        running.submit("fit", [*fit, "--runs=runs/s"])
        cut = everything(running)["fit"]
    assert (cut.status, cut.attempts) == (0, 2), cut.log.read_text()
    assert cut.folder.name == whole.folder.name
    ours, theirs = (sorted(_timeless(row) for row in Rows(o.folder / "results.jsonl").read()) for o in (cut, whole))
    assert ours == theirs
    assert len(ours) > 3


def _timeless(row):
    """What the row says but for the time it took, and the commit: somebody may work on the code meanwhile."""
    return json.dumps(dataclasses.asdict(row) | {"seconds": None, "commit": None}, sort_keys=True)


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
