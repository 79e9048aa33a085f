"""Warm workers: what they run, what they survive, what they remember."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robnas import jobs
from robnas.errors import UserError
from robnas.study.pool import Pool


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))

    def make(**arguments):
        return Pool(**{"folder": tmp_path / "pool", "runner": "study_runner:main", "preload": (), "quiet": True} | arguments)

    return make


def ran(folder):
    return sorted((folder / "ran.txt").read_text().split("\n")[:-1])


def test_every_command_runs_once_in_a_few_warm_processes(pool, tmp_path):
    outcomes = pool(workers=2, threads=3).run([["where", tmp_path, f"n{i}"] for i in range(6)])
    assert [o.status for o in outcomes] == [0] * 6
    assert [o.argv[2] for o in outcomes] == [f"n{i}" for i in range(6)]
    said = [(tmp_path / f"n{i}").read_text().split() for i in range(6)]
    assert len({pid for pid, *_ in said}) <= 2
    assert {(threads, torch) for _, threads, torch in said} == {("3", "False")}
    assert ran(tmp_path) == [f"n{i}" for i in range(6)]


def test_what_a_command_prints_is_in_its_own_log(pool, tmp_path):
    for outcome in pool(workers=1).run([["say", tmp_path, "a"], ["say", tmp_path, "b"]]):
        name = outcome.argv[2]
        lines = outcome.log.read_text().splitlines()
        assert lines[0].startswith("$ robnas say")
        assert sorted(lines[1:]) == [f"child of {name}", f"err of {name}", f"out of {name}"]


def test_a_failure_is_one_commands_own(pool, tmp_path):
    fail, bug, good = pool(workers=1).run([["fail", tmp_path, "a"], ["raise", tmp_path, "b"], ["say", tmp_path, "c"]])
    assert (fail.status, bug.status, good.status) == (2, 1, 0)
    assert "ValueError: a bug" in bug.log.read_text()
    assert str(bug.log) in str(bug)
    assert fail.attempts == bug.attempts == 1


def test_a_job_whose_worker_is_killed_is_tried_once_more(pool, tmp_path):
    once, always, good = pool(workers=1).run([["die_once", tmp_path, "a"], ["die", tmp_path, "b"], ["say", tmp_path, "c"]])
    assert (once.status, once.attempts) == (0, 2)
    assert (always.status, always.attempts) == (-signal.SIGKILL, 2)
    assert "killed by signal 9" in str(always)
    assert (good.status, good.attempts) == (0, 1)


def test_what_was_done_is_not_done_again_and_what_failed_is(pool, tmp_path):
    commands = [["say", tmp_path, "a"], ["fail", tmp_path, "b"], ["say", tmp_path, "a"]]
    pool().run(commands)
    again = pool().run(commands)
    assert [o.attempts for o in again] == [0, 1, 0]
    assert ran(tmp_path) == ["a", "b", "b"]


def test_a_fit_is_asked_itself_and_told_to_go_on(pool, tmp_path):
    pool().run([["fit", "say", tmp_path, "a"], ["fit", "say", tmp_path, "b", "--overwrite=true"]])
    pool().run([["fit", "say", tmp_path, "a"]])
    assert ran(tmp_path) == ["a --ckpt_path last"] * 2 + ["b --overwrite=true"]


def test_a_command_leaves_the_worker_as_it_was(pool, tmp_path):
    pool(workers=1).run([["spoil", tmp_path, "a"], ["spoiled", tmp_path, "b"]])
    assert (tmp_path / "b").read_text() == f"None {Path.cwd()} robnas"


def test_a_killed_pool_takes_its_workers_with_it_and_the_next_goes_on(pool, tmp_path):
    code = f"""
from robnas.study.pool import Pool
Pool(workers=1, folder={str(tmp_path / "pool")!r}, runner="study_runner:main", preload=(), quiet=True).run(
    [["say", {str(tmp_path)!r}, "a"], ["sleep", {str(tmp_path)!r}, "b"]])
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    pid = next(_children(process.pid, lambda: (tmp_path / "ran.txt").is_file() and len(ran(tmp_path)) == 2))
    process.kill()
    process.wait()
    end = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _alive(pid)
    assert [o.attempts for o in pool().run([["say", str(tmp_path), "a"], ["say", str(tmp_path), "c"]])] == [0, 1]


def test_no_warm_worker_outlives_a_killed_pool_idle_or_busy(pool, tmp_path):
    code = f"""
from robnas.study.pool import Pool
with Pool(workers=2, folder={str(tmp_path / "pool")!r}, runner="study_runner:main", preload=(), quiet=True) as pool:
    pool.run([["pair", {str(tmp_path)!r}, "a"], ["pair", {str(tmp_path)!r}, "b"]])
    pool.run([["sleep", {str(tmp_path)!r}, "c"]])
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while not ((tmp_path / "ran.txt").is_file() and "c" in ran(tmp_path)):
        assert process.poll() is None
        time.sleep(0.02)
    pids = list(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))
    assert len(pids) == 2
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while any(map(_alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(_alive, pids))


def _children(parent, when, timeout=20.0):
    end = time.monotonic() + timeout
    while not when():
        assert time.monotonic() < end
        time.sleep(0.02)
    yield from map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_workers_stay_warm_within_a_with_block_and_end_with_it(pool, tmp_path):
    with pool(workers=2) as warm:
        for names in (["a", "b"], ["c"], ["d", "e"]):
            assert all(outcome.good for outcome in warm.run([["where", tmp_path, name] for name in names]))
        pids = {int((tmp_path / name).read_text().split()[0]) for name in "abcde"}
        assert len(pids) <= 2
        assert any(_alive(pid) for pid in pids)
    assert not any(_alive(pid) for pid in pids)
    assert warm.run([["where", tmp_path, "f"]])[0].good  # a pool of one run again
    assert not _alive(int((tmp_path / "f").read_text().split()[0]))


def test_workers_that_died_between_two_runs_cost_no_attempt(pool, tmp_path):
    with pool(workers=2) as warm:
        warm.run([["where", tmp_path, "a"], ["where", tmp_path, "b"]])
        for worker in warm._alive:
            worker.process.kill()
            worker.process.wait()
        (outcome,) = warm.run([["where", tmp_path, "c"]])
        assert (outcome.status, outcome.attempts) == (0, 1)


def test_an_error_ends_the_workers_of_a_with_block_too(pool, tmp_path):
    def interrupt(outcome):
        raise KeyboardInterrupt

    with pool(workers=1) as warm:
        warm.run([["where", tmp_path, "a"]])
        warm.ended = interrupt
        with pytest.raises(KeyboardInterrupt):
            warm.run([["say", tmp_path, "b"]])
        assert not _alive(int((tmp_path / "a").read_text().split()[0]))


def test_each_worker_sees_one_device_and_no_ranks(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    commands = [["environment", tmp_path, name] for name in ("a", "b", "c")]
    with pool(workers=3, devices=["4", "GPU-7"]) as warm:
        warm.run(commands)
        said = [dict(line.split("=", 1) for line in (tmp_path / n).read_text().splitlines()) for n in ("a", "b", "c")]
        assert {worker.place for worker in warm._alive} <= {0, 1, 2}
    assert {worker["CUDA_VISIBLE_DEVICES"] for worker in said} <= {"4", "GPU-7"}
    assert not any(name in worker for worker in said for name in ("LOCAL_RANK", "WORLD_SIZE"))


def test_a_workers_place_is_taken_by_the_next(pool, tmp_path):
    with pool(workers=2, devices=["0", "1"]) as warm:
        for name in ("a", "b", "c"):  # each kills its worker once; the two jobs beside it hold the other place
            outcomes = warm.run(
                [["die_once", tmp_path, name], ["environment", tmp_path, f"{name}1"], ["environment", tmp_path, f"{name}2"]]
            )
            assert all(outcome.good for outcome in outcomes)
            assert sorted(worker.place for worker in warm._alive) in ([0], [1], [0, 1])


def test_a_runner_that_cannot_be_imported_is_said(pool, tmp_path):
    with pytest.raises(UserError, match=r"before it was ready.*workers\.log"):
        pool(runner="no_such_module:main").run([["say", tmp_path, "a"]])
    assert "no_such_module" in (tmp_path / "pool" / "workers.log").read_text()


def test_progress_is_a_line_a_job_where_there_is_no_terminal(pool, tmp_path, capsys):
    pool(quiet=False).run([["say", tmp_path, "a"], ["fail", tmp_path, "b"]])
    lines = sorted(capsys.readouterr().err.splitlines())
    assert len(lines) == 2
    assert sum(line.endswith("a: done") for line in lines) == 1
    assert sum("exit status 2" in line for line in lines) == 1


def test_no_workers_is_an_error():
    with pytest.raises(UserError, match="workers: 0"):
        Pool(workers=0)


@pytest.mark.slow
def test_real_commands_in_warm_workers(tmp_path):
    """A search and a training in one worker: neither disturbs the next; a second time there is nothing to do."""
    few = ["--config", "digits.yaml", "--wandb=off", f"--runs={tmp_path}", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    commands = [
        ["fit", "--config", "darts.yaml", *few, "--model.layers=2", "--model.init_channels=2"],
        ["fit", "--config", "classify.yaml", *few, "--trainer.enable_progress_bar=false"],
        ["fit", "--config", "classify.yaml", *few, "--model.no_such_key=3"],
        ["list", "runs"],
    ]
    pool = Pool(workers=1, folder=tmp_path / ".pool", threads=1, quiet=True)
    search, training, wrong, listed = pool.run(commands)
    assert [o.status for o in (search, training, wrong, listed)] == [0, 0, 2, 0], [o.log.read_text() for o in (search, training, wrong)]
    assert "no_such_key" in wrong.log.read_text()
    assert {job.experiment: job.state() for job in jobs.find(tmp_path)} == {"darts": "finished", "classify": "finished"}
    again = pool.run(commands[:2])
    assert [o.status for o in again] == [0, 0]
    assert all("finished already" in o.log.read_text() for o in again)
