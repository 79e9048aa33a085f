"""`robnas study`: what it prints, what it refuses, how it ends."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_study_file import GOOD
from test_study_run import Fake

from robnas.errors import UserError
from robnas.study import command
from robnas.study.local import cores, gpus, local


@pytest.fixture
def faked(tmp_path, monkeypatch):
    """The study file, in a folder of its own; jobs are run by nobody."""
    monkeypatch.chdir(tmp_path)
    Path("some.yaml").write_text(GOOD)
    monkeypatch.setattr(command.preflight, "check", lambda jobs, folder: "looked at")

    def fake(folder="runs/some", **arguments):
        class Entered(Fake):
            def __enter__(self):
                return self

            def __exit__(self, *error):
                self.left = True

        executor = Entered(Path(folder), **arguments)
        monkeypatch.setattr(command, "local", lambda folder, workers, threads: executor)
        return executor

    return fake


def test_a_study_is_run_and_leaves_its_plan_and_its_file(faked, capsys):
    executor = faked()
    assert command.main(["some.yaml"]) == 0
    assert len(executor.ran) == 30
    assert executor.left
    assert json.loads(Path("runs/some/plan.json").read_text())["file"] == "some.yaml"
    assert "30 of 30 jobs done" in capsys.readouterr().out
    again = faked()
    assert command.main(["runs/some/study.yaml", "--out", "runs/some"]) == 0  # its copy is the same study
    assert again.ran == []


def test_what_failed_is_told_and_is_the_exit_status(faked, capsys):
    faked(broken={"attack/darts/1/pgd": 2})
    assert command.main(["some.yaml"]) == 1
    assert "robnas: attack/darts/1/pgd failed: data: there is none; log: runs/some/.pool/log" in capsys.readouterr().err


def test_interrupted_it_says_in_a_line_how_to_go_on(faked, capsys, monkeypatch):
    faked(stop=3)
    assert command.main(["some.yaml", "--out", "runs/some"]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "robnas: stopped; the same command goes on: robnas study some.yaml --out runs/some"
    faked(stop=3)
    monkeypatch.setattr(command, "_executor", lambda options, folder, threads: command.local(folder, None, threads))
    words = ["some.yaml", "--out", "my out", "--executor=ray", "--store", "/s t", "--workers=3"]
    assert command.main(words) == 130
    assert shlex.split(capsys.readouterr().err.splitlines()[-1].partition("goes on: ")[2]) == ["robnas", "study", *words]


def test_terminated_is_interrupted(faked, capsys):
    executor, before = faked(), signal.getsignal(signal.SIGTERM)
    wait = executor.wait
    executor.wait = lambda: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(5) or wait()
    assert command.main(["some.yaml"]) == 130
    assert "stopped; the same command goes on: robnas study some.yaml" in capsys.readouterr().err
    assert {job["state"] for job in json.loads(Path("runs/some/plan.json").read_text())["jobs"]} == {"waiting"}
    assert (executor.left, signal.getsignal(signal.SIGTERM)) == (True, before)


def test_a_home_is_a_home(faked, monkeypatch):
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    for ran in (30, 0):
        executor = faked("home/x")
        assert command.main(["some.yaml", "--out=~/x"]) == 0
        assert len(executor.ran) == ran
    assert Path("home/x/plan.json").is_file()
    assert not Path("~").exists()


def test_a_cluster_that_is_not_there_leaves_nothing(faked, monkeypatch):
    executor = faked()

    def nobody(self):
        raise UserError("no cluster answers there")

    monkeypatch.setattr(type(executor), "__enter__", nobody)
    with pytest.raises(UserError, match="no cluster"):
        command.main(["some.yaml"])
    assert not Path("runs").exists()


def test_a_cell_that_the_study_changes_is_written_anew_where_it_was_edited(faked):
    Path("cells.yaml").write_text("study: some\nmodels: {deep: {cell: darts, deepen: true}}\ntrainings: {clean: classify.yaml}\n")
    cell = Path("runs/cells/cells/deep.yaml")
    for ran in (1, 0):
        executor = faked("runs/cells")
        assert command.main(["cells.yaml", "--out=runs/cells"]) == 0
        assert len(executor.ran) == ran
        text = cell.read_text()
    cell.write_text(text.replace("sep_conv_3x3", "skip_connect"))
    faked("runs/cells")
    assert command.main(["cells.yaml", "--out=runs/cells"]) == 0
    assert cell.read_text() == text


def test_a_plan_that_cannot_be_read_is_said_with_what_to_do(faked):
    faked()
    Path("runs/some").mkdir(parents=True)
    Path("runs/some/plan.json").write_text("{")
    with pytest.raises(UserError, match=r"no plan of a study: .*; remove the file, and the same command goes on"):
        command.main(["some.yaml"])


def test_what_is_one_command_is_said(faked, capsys):
    Path("twice.yaml").write_text("study: some\nmodels: {a: darts, b: darts}\ntrainings: {clean: classify.yaml}\n")
    said = "1 more is the same command as one of them and done with it, such as train/b/0/clean with train/a/0/clean"
    faked()
    assert command.main(["twice.yaml", "--dry-run"]) == command.main(["twice.yaml"]) == 0
    told = capsys.readouterr()
    assert (said in told.out, said in told.err) == (True, True)


def test_a_folder_is_one_studys_and_one_processes(faked):
    faked()
    command.main(["some.yaml"])
    Path("other.yaml").write_text(GOOD.replace("study: some", "study: other"))
    with pytest.raises(UserError, match="runs/some holds the study 'some'; 'other' needs a folder of its own"):
        command.main(["other.yaml", "--out", "runs/some"])
    code = "import sys, pathlib, robnas.locks as l; l.acquire(pathlib.Path('x')); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(UserError, match=f"x is in use by process {holder.pid} on"):
            command.main(["some.yaml", "--out", "x"])
        holder.stdin.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["some.yaml", "--workers", "0"], "--workers: 0 is not at least 1"),
        (["some.yaml", "--executor", "slurm"], "slurm"),
        (["some.yaml", "--store", "s3://x"], "--store belongs to --executor ray"),
        (["some.yaml", "--jobs"], "--jobs belongs to --dry-run"),
        (["sme.yaml"], "unknown study 'sme.yaml'"),
        (["some.yaml", "--dry-run", "--gpus", "0.5"], "--gpus belongs to --executor ray"),
        (["some.yaml", "--dry-run", "--executor=ray", "--gpus=-1"], r"--gpus: -1.0 is not in \[0, 1\]"),
        (["some.yaml", "--dry-run", "--executor=ray", "--store=s4://x"], "--store s4://x: "),
        (["some.yaml", "--out", "some.yaml"], "--out: some.yaml is a file; a study has a folder"),
        (["some.yaml", "--out", "a #b"], "--out: 'a #b' is 'a' in YAML"),
    ],
)
def test_wrong_words_are_one_line_and_leave_nothing(faked, words, said):
    with pytest.raises(UserError, match=said):
        command.main(words)
    assert not Path("runs").exists()


def test_a_dry_run_does_nothing_and_imports_no_torch(tmp_path):
    code = (
        "import sys; from robnas.study import command; command.main(['quickstart', '--dry-run', '--jobs']); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert said[-1] == "False"
    assert "  train/darts/0/clean: robnas fit --config classify.yaml" in "\n".join(said)
    assert not list(tmp_path.iterdir())


def test_each_job_has_a_gpu_or_its_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7")
    assert gpus() == ["2", "GPU-7"]
    assert local(tmp_path).slots == 2
    assert local(tmp_path, workers=4).slots == 4
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpus() == []
    assert (local(tmp_path).slots, local(tmp_path).threads) == (cores(), 1)
    assert (local(tmp_path, 3, 2).slots, local(tmp_path, 3, 2).threads) == (3, 2)
