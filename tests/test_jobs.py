"""What makes two jobs one, and what a job's folder goes through."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path

import pytest

from robnas import jobs, locks
from robnas.errors import UserError
from robnas.identity import identity_of, upstream_of
from robnas.jobs import Job

CONFIG = {
    "seed_everything": 0,
    "experiment": "darts",
    "model": {
        "class_path": "robnas.tasks.Search",
        "init_args": {"learning_rate": 0.025, "searcher": {"class_path": "robnas.search.DARTS"}},
    },
    "data": {"class_path": "robnas.data.Digits", "init_args": {"batch_size": 64, "root": "data", "num_workers": 0}},
    "trainer": {"max_epochs": 10, "devices": "auto", "logger": None, "precision": "32-true"},
    "wandb": "offline",
}


def changed(path, value):
    config = deepcopy(CONFIG)
    *parents, key = path.split(".")
    inner = config
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[key] = value
    return config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trainer.devices", 2),
        ("trainer.strategy", "ddp"),
        ("trainer.accelerator", "gpu"),
        ("trainer.num_nodes", 3),
        ("trainer.logger", False),
        ("trainer.enable_progress_bar", False),
        ("trainer.enable_model_summary", False),
        ("trainer.default_root_dir", "/elsewhere"),
        ("trainer.save_every_n_steps", 100),
        ("trainer.max_time", None),
        ("trainer.callbacks", []),
        ("data.init_args.num_workers", 4),
        ("data.init_args.root", "/mnt/images"),
        ("data.init_args.download", False),
        ("data.init_args.memory", 0.5),
        ("experiment", "another"),
        ("runs", "/tmp/runs"),
        ("wandb", "online"),
        ("overwrite", True),
        ("ckpt_path", "last"),
        ("scale", "tiny"),
        ("attacks", {}),
    ],
)
def test_where_and_under_whose_eyes_a_job_runs_is_not_what_it_is(path, value):
    assert identity_of(changed(path, value)) == identity_of(CONFIG)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed_everything", 1),
        ("model.init_args.learning_rate", 0.0250001),
        ("model.init_args.searcher.class_path", "snas"),
        ("model.init_args.devices", 2),  # a model's own argument, whatever it is called
        ("data.class_path", "robnas.data.CIFAR10"),
        ("data.init_args.batch_size", 32),
        ("trainer.max_epochs", 11),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.callbacks", [{"class_path": "robnas.attacks.BadNets"}]),
        ("protocol", "paper"),
    ],
)
def test_what_affects_the_result_makes_another_job(path, value):
    assert identity_of(changed(path, value)) != identity_of(CONFIG)


def test_the_order_of_keys_and_the_kind_of_sequence_do_not_matter():
    assert identity_of(dict(reversed(CONFIG.items()))) == identity_of(CONFIG)
    assert identity_of(changed("data.init_args.mean", (0.5, 0.5))) == identity_of(changed("data.init_args.mean", [0.5, 0.5]))


def test_identity_is_stable_over_releases():
    """Changing what is hashed orphans every run folder there is: do so knowingly, and say it in the change log."""
    text = '{"config":{"model":{"init_args":{"gamma":0.5}},"seed_everything":0},"foreign":{},"upstream":[]}'
    assert identity_of({"seed_everything": 0, "model": {"init_args": {"gamma": 0.5}}}) == blake2b(text.encode(), digest_size=20).hexdigest()


def test_upstream_and_foreign_digests_count():
    assert len({identity_of(CONFIG), identity_of(CONFIG, ["a"]), identity_of(CONFIG, ["b"]), identity_of(CONFIG, (), {"data": "a"})}) == 4
    assert identity_of(CONFIG, ["a", "b"]) == identity_of(CONFIG, ["b", "a"])


def test_a_run_folder_counts_by_its_job_whatever_it_is_called(tmp_path):
    search = Job("a" * 40, "search", tmp_path)
    search.start()
    search.mark_finished()
    other = Job("b" * 40, "search", tmp_path / "other")
    other.start()
    as_folder = identity_of(changed("model.init_args.network", str(search.folder)))
    assert identity_of(changed("model.init_args.network", str(tmp_path / "search" / "latest"))) == as_folder
    assert identity_of(changed("model.init_args.network", str(other.folder))) != as_folder
    assert identity_of(changed("model.init_args.network", "darts")) != as_folder
    assert upstream_of(changed("model.init_args.network", str(search.folder))) == {str(search.folder): "a" * 40}


def test_a_file_counts_by_its_content(tmp_path):
    a, b = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    a.write_bytes(b"weights")
    b.write_bytes(b"weights")
    before = identity_of(changed("model.init_args.weights", str(a)))
    assert identity_of(changed("model.init_args.weights", str(b))) == before
    a.write_bytes(b"other weights")
    assert identity_of(changed("model.init_args.weights", str(a))) != before


def test_a_class_of_another_package_counts_by_its_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_searcher.py").write_text("class Mine: ...\n")
    config = changed("model.init_args.searcher.class_path", "my_searcher.Mine")
    before = identity_of(config)
    assert identity_of(config) == before
    (tmp_path / "my_searcher.py").write_text("class Mine:\n    better = True\n")
    assert identity_of(config) != before


def test_a_value_that_is_not_plain_is_a_bug():
    with pytest.raises(TypeError, match=r"model\.init_args\.space: a configuration has plain values, not object"):
        identity_of(changed("model.init_args.space", object()))


# Folder and state


def test_a_job_is_new_then_unfinished_then_finished(tmp_path):
    job = Job("0123456789abcdef" * 2, "darts", tmp_path)
    assert job.folder == tmp_path / "darts" / "0123456789ab"
    assert job.state() == "new"
    job.start(command=["robnas", "fit"])
    assert job.state() == "unfinished"
    created = job.facts["created"]
    job.mark_finished()
    assert job.state() == "finished"
    job.start()
    assert job.state() == "unfinished"
    assert job.facts["created"] == created
    assert json.loads((job.folder / "job.json").read_text())["identity"] == job.identity


def test_a_note_that_was_cut_is_no_note(tmp_path):
    job = Job("a" * 40, "x", tmp_path)
    job.start()
    (job.folder / "job.json").write_text('{"identity": "aaaa')
    assert job.state() == "new"
    assert jobs.find(tmp_path) == []


def test_latest_points_to_the_newest_and_survives_a_move_of_the_whole(tmp_path):
    for name in ("a", "b"):
        job = Job(name * 40, "x", tmp_path / "runs")
        job.start()
        job.mark_finished()
    Job("c" * 40, "x", tmp_path / "runs").start()  # has nothing yet
    (tmp_path / "runs").rename(tmp_path / "moved")
    latest = tmp_path / "moved" / "x" / "latest"
    assert latest.is_symlink()
    assert latest.resolve() == tmp_path / "moved" / "x" / ("b" * 12)
    assert jobs.job_at(latest) == Job("b" * 40, "x", tmp_path / "moved")


def test_a_job_that_was_copied_or_renamed_lies_where_it_lies(tmp_path):
    job = Job("a" * 40, "x", tmp_path)
    job.start()
    shutil.copytree(job.folder, tmp_path / "deep" / "mine")
    copied = jobs.job_at(tmp_path / "deep" / "mine")
    assert (copied.folder, copied.name, copied.experiment) == (tmp_path / "deep" / "mine", job.name, "x")
    assert copied.facts == job.facts
    assert jobs.job_at(job.folder) == job


def test_a_folder_that_somebody_called_latest_stays(tmp_path):
    (tmp_path / "x" / "latest").mkdir(parents=True)
    job = Job("a" * 40, "x", tmp_path)
    job.start()
    job.mark_finished()
    assert not (tmp_path / "x" / "latest").is_symlink()


def test_starting_anew_leaves_what_is_not_ours(tmp_path):
    job = Job("a" * 40, "x", tmp_path)
    job.start()
    (job.folder / "checkpoints").mkdir()
    (job.folder / "checkpoints" / "last.ckpt").touch()
    (job.folder / "notes.md").touch()
    job.clear()
    assert [p.name for p in job.folder.iterdir()] == ["notes.md"]
    assert job.state() == "new"


def test_what_came_to_nothing_leaves_nothing(tmp_path):
    for notes in (False, True):
        job = Job("a" * 40, "x", tmp_path)
        job.acquire()
        job.start()
        if notes:
            (job.folder / "notes.md").touch()
        job.abandon()
        assert sorted(p.name for p in tmp_path.rglob("*")) == (["aaaaaaaaaaaa", "notes.md", "x"] if notes else [])


def test_find_has_every_job_once(tmp_path):
    for name, experiment in (("a", "x"), ("b", "x"), ("c", "y")):
        Job(name * 40, experiment, tmp_path).start()
    assert sorted(job.identity[0] for job in jobs.find(tmp_path)) == ["a", "b", "c"]
    assert jobs.find(tmp_path / "nowhere") == []


# Two processes


def hold(folder, code="import time; print('held', flush=True); time.sleep(60)"):
    """A process that holds the job's folder, and forks a child that lives on, as a data loader's worker does."""
    fork = "import os, time\nif os.fork() == 0:\n    time.sleep(3)\n    os._exit(0)\n"
    start = f"from robnas.jobs import Job\nfrom pathlib import Path\nJob('a' * 40, 'x', Path({str(folder)!r})).acquire()\n"
    process = subprocess.Popen([sys.executable, "-c", start + fork + code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_in_one_line_and_a_killed_one_lets_go_at_once(tmp_path):
    job = Job("a" * 40, "x", tmp_path)
    process = hold(tmp_path)
    try:
        with pytest.raises(UserError, match=rf"aaaaaaaaaaaa is in use by process {process.pid} on .*: wait for it, or end it$"):
            job.acquire()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = time.monotonic()
        job.acquire()
        assert time.monotonic() - before < 1
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
        job.release()


def test_a_patient_process_waits_until_the_other_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "patient", True)
    job = Job("a" * 40, "x", tmp_path)
    process = hold(tmp_path, "import time; print('held', flush=True); time.sleep(0.6)")
    before = time.monotonic()
    try:
        job.acquire()
        assert process.wait() == 0
        assert 0.3 < time.monotonic() - before < 3
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
        job.release()


def test_a_lock_that_was_released_is_free(tmp_path):
    job = Job("a" * 40, "x", tmp_path)
    with job.locked():
        job.acquire()  # twice is once
    process = hold(tmp_path, "print('held', flush=True)")
    process.stdout.close()
    assert process.wait() == 0


def test_needs_no_torch():
    code = "import sys, robnas.jobs, robnas.study; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parent).returncode == 0
