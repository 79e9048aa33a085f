"""A plan on its way: what is skipped, retried, blocked, and what never runs side by side."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from test_study_file import study

from robnas import jobs
from robnas.identity import identity_of
from robnas.results import STUDY, Row, Rows
from robnas.study import graph
from robnas.study.executor import Outcome, going_on
from robnas.study.plan import Plan
from robnas.study.run import ATTEMPTS, Running


class Fake:
    """An executor of nothing: a `fit` leaves a finished run folder. broken: part of a command → how often it fails."""

    def __init__(self, folder, slots=2, broken=(), stop=None):
        self.folder, self.slots, self.broken, self.stop = folder, slots, dict(broken), stop
        self.ran, self.waiting, self.together = [], [], []

    def submit(self, id, argv, needs=()):
        assert all((need / "job.json").is_file() for need in needs)
        self.waiting.append((id, argv))
        self.together.append([other for other, _ in self.waiting])
        assert len(self.waiting) <= self.slots

    def wait(self):
        if self.stop is not None and len(self.ran) == self.stop:
            raise KeyboardInterrupt
        id, argv = self.waiting.pop(0)
        self.ran.append(id)
        assert os.environ[STUDY] == "some"
        log = self.folder / ".pool" / "log"
        log.parent.mkdir(exist_ok=True)
        for part in self.broken:
            if part in id and self.broken[part]:
                self.broken[part] -= 1
                log.write_text("$ robnas something\nepoch 1\nrobnas: data: there is none\nbye\n")
                return [(id, Outcome(tuple(argv), 2, log))]
        log.write_text("fine\n")
        job = None
        if argv[0] == "fit":
            job = jobs.Job(identity_of({"argv": list(argv)}), "some", self.folder)
            job.start()
            job.mark_finished()
        return [(id, Outcome(tuple(argv), 0, log, 2.0, folder=job and job.folder))]


@pytest.fixture
def small():
    attacks = {"pgd": "pgd.yaml", "nes": "nes.yaml", "flip": {"config": "label_flip.yaml", "flags": {"attacks.label_flip.clean": "{run}"}}}
    return study(models={"darts": {}, "own": {"search": "found"}}, searches={"found": "darts.yaml"}, attacks=attacks, probes={})


def run(small, folder, **executor):
    said = []
    running = Running(graph.plan(small, "some.yaml", folder, ""), folder, lambda job, what: said.append((job.id, what)))
    running.find_done()
    fake = Fake(folder, **executor)
    try:
        running.run(fake)
    except KeyboardInterrupt:
        said.append(("", "stopped"))
    return fake, {job.id: job for job in Plan.read(folder).jobs}, said


def test_all_is_done_once_and_then_nothing(small, tmp_path):
    fake, planned, _ = run(small, tmp_path)
    assert sorted(fake.ran) == sorted(planned)
    assert {(job.state, job.attempts, job.error) for job in planned.values()} == {("done", 1, None)}
    again, planned, said = run(small, tmp_path)
    assert again.ran == []
    assert {(job.state, job.attempts, job.seconds) for job in planned.values()} == {("done", 0, 2.0)}
    assert {what for _, what in said} == {"was done before"}


def test_commands_name_the_folders_that_they_are_about(small, tmp_path):
    _, planned, _ = run(small, tmp_path)
    trained, attack = planned["train/own/0/clean"], planned["attack/own/0/pgd"]
    assert f"--model.network={tmp_path / planned['search/found/0'].folder}" in trained.argv
    assert attack.argv[1] == str(tmp_path / trained.folder)
    assert (attack.folder, attack.log) == (trained.folder, ".pool/log")


def test_what_fails_is_tried_once_more_named_and_blocks_only_what_needs_it(small, tmp_path):
    fake, planned, said = run(small, tmp_path, broken={"train/own/1": 5, "attack/darts/0/pgd": 1})
    assert fake.ran.count("train/own/1/clean") == fake.ran.count("attack/darts/0/pgd") == ATTEMPTS == 2
    assert planned["attack/darts/0/pgd"].state == "done"
    failed = planned["train/own/1/clean"]
    assert (failed.state, failed.attempts, failed.error) == ("failed", 2, "data: there is none")
    states = {id: job.state for id, job in planned.items() if job.state not in ("done", "failed")}
    assert states == {f"attack/own/1/{what}": "blocked" for what in ("pgd", "nes", "flip")}
    assert planned["attack/own/1/nes"].error == "needs train/own/1/clean"
    assert ("train/own/1/clean", f"failed: data: there is none; log: {tmp_path / '.pool' / 'log'}") in said
    fake, planned, _ = run(small, tmp_path)  # once the cause is gone
    assert sorted(fake.ran) == sorted(["train/own/1/clean", *states])
    assert {job.state for job in planned.values()} == {"done"}


def test_a_run_folder_has_one_evaluation_at_a_time(small, tmp_path):
    fake, planned, _ = run(small, tmp_path, slots=8)
    assert max(len(ids) for ids in fake.together) > 2
    for ids in fake.together:
        about = [planned[id].folder for id in ids if id.split("/")[-1] in ("pgd", "nes")]
        assert len(set(about)) == len(about)


def test_so_it_has_where_two_trainings_are_one_run(tmp_path):
    models = {name: {"network": "darts", "flags": {"trainer.devices": n}} for n, name in enumerate(("a", "b"), 1)}
    attacks = {"pgd": {"config": "pgd.yaml", "models": ["a"]}, "nes": {"config": "nes.yaml", "models": ["b"]}}
    two = study(models=models, searches={}, probes={}, attacks=attacks, trainings={"clean": "classify.yaml"})

    class OneRun(Fake):
        def wait(self):
            ended = super().wait()
            done = jobs.Job("b" * 40, "classify", self.folder)
            done.start()
            done.mark_finished()
            return [(id, replace(outcome, folder=done.folder)) for id, outcome in ended]

    running = Running(graph.plan(two, "some.yaml", tmp_path, ""), tmp_path)
    running.run(fake := OneRun(tmp_path, slots=4))
    assert [ids for ids in fake.together if sum("attack" in id for id in ids) > 1] == []
    assert sorted(fake.ran) == ["attack/a/0/pgd", "attack/b/0/nes", "train/a/0/clean", "train/b/0/clean"]


def test_interrupted_at_any_job_it_goes_on(small, tmp_path):
    total = len(graph.plan(small, "", tmp_path, "").jobs)
    ran = []
    for _ in range(4):
        fake, planned, _ = run(small, tmp_path, stop=total // 3)
        assert not [job for job in planned.values() if job.state == "running"]
        ran += fake.ran
    assert sorted(ran) == sorted(planned)


def test_done_means_with_the_same_config_and_the_same_run(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("out")
    folder.mkdir()
    config = Path("nes.yaml")
    config.write_text("attacks: {nes: {class_path: nes}}\n")
    _, planned, _ = run(small, folder)
    config.write_text("attacks: {nes: {class_path: nes, init_args: {steps: 3}}}\n")
    assert {id.rpartition("/")[2] for id in run(small, folder)[0].ran} == {"nes"}
    made_anew = folder / planned["train/darts/0/clean"].folder / "job.json"
    made_anew.write_text(json.dumps(json.loads(made_anew.read_text()) | {"created": "later"}))
    assert {id.split("/", 1)[1] for id in run(small, folder)[0].ran} == {"darts/0/pgd", "darts/0/nes", "darts/0/flip"}
    made_anew.unlink()
    assert "train/darts/0/clean" in run(small, folder)[0].ran


def test_rows_say_which_study_asked_for_them(tmp_path, monkeypatch):
    monkeypatch.setenv(STUDY, "some")
    Rows(tmp_path / "a.jsonl").write([Row("asr", 0.5), Row("cad", 0.1, study="other")])
    assert [row.study for row in Rows(tmp_path / "a.jsonl").read()] == ["some", "other"]
    monkeypatch.delenv(STUDY)
    Rows(tmp_path / "b.jsonl").write([Row("asr", 0.5)])
    assert Rows(tmp_path / "b.jsonl").read()[0].study is None


def test_a_fit_goes_on_unless_it_says_otherwise():
    assert going_on(["fit", "a"]) == ["fit", "a", "--ckpt_path", "last"]
    for argv in (["attack", "a"], ["fit", "--overwrite"], ["fit", "--ckpt_path=best"]):
        assert going_on(argv) == argv
