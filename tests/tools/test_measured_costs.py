"""The table of costs from a plan, by hand."""

import sys
from pathlib import Path

import pytest

from robnas.study.plan import Plan, PlannedJob

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import measured_costs


def job(seconds, attempts=1, reduced=True, state="done"):
    said = {"model": "darts", "dataset": "digits", "seconds": seconds, "attempts": attempts, "reduced": reduced, "state": state}
    return PlannedJob(f"train/darts/{seconds}/clean", "train", [], **said)


def test_it_is_the_mean_of_reduced_jobs_that_were_good_at_once(tmp_path, capsys):
    jobs = [job(10.0), job(20.0), job(90.0, attempts=2), job(80.0, reduced=False), job(70.0, state="failed")]
    Plan("some", "some.yaml", "0", "", jobs).write(tmp_path)
    measured_costs.main([str(tmp_path)])
    assert capsys.readouterr().out.splitlines()[1:] == ["dataset,kind,block,model,seconds", "digits,train,clean,darts,15.0"]


def test_a_folder_without_a_plan_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        measured_costs.main([str(tmp_path)])
    assert f"{tmp_path} is no folder of a study" in capsys.readouterr().err
