"""metrics.csv: whole rows, whatever happens to the process."""

import csv

import pytest

from robnas.errors import UserError
from robnas.runtime.loggers import CSV, build, read


def rows(folder):
    """Times aside."""
    return [{k: v for k, v in row.items() if k != "seconds" and v} for row in read(folder / "metrics.csv")]


def test_what_comes_in_one_step_is_one_row(tmp_path):
    log = CSV(tmp_path)
    log.log_metrics({"epoch": 0, "loss": 0.5}, 2)
    log.log_metrics({"epoch": 0, "loss": 0.25}, 5)
    log.log_metrics({"epoch": 0, "accuracy": 1 / 3}, 5)
    assert rows(tmp_path) == [
        {"step": "2", "epoch": "0", "loss": "0.5"},
        {"step": "5", "epoch": "0", "loss": "0.25", "accuracy": repr(1 / 3)},
    ]


def test_numbers_come_back_as_they_were(tmp_path):
    log = CSV(tmp_path)
    values = [1e-300, 1 / 3, 123456789.123456789, float("inf")]
    for step, value in enumerate(values):
        log.log_metrics({"x": value, "epoch": 10**7}, step)
    assert [float(row["x"]) for row in read(tmp_path / "metrics.csv")] == values
    assert rows(tmp_path)[0]["epoch"] == "10000000"


def test_a_row_is_on_the_disk_at_once_and_any_reader_understands_it(tmp_path):
    log = CSV(tmp_path)
    for step in range(3):
        log.log_metrics({"a,b": float(step)}, step)
        with (tmp_path / "metrics.csv").open() as file:
            assert [row["a,b"] for row in csv.DictReader(file)] == [str(float(s)) for s in range(step + 1)]


def test_a_new_column_keeps_the_rows_before(tmp_path):
    log = CSV(tmp_path)
    for step, name in enumerate("abcab"):
        log.log_metrics({name: 1.0}, step)
    assert rows(tmp_path) == [{"step": str(i), name: "1.0"} for i, name in enumerate("abcab")]


def test_an_evaluation_with_other_columns_keeps_the_evaluations_before(tmp_path):
    for evaluation in [({"pgd": 0.5},), ({"apgd": 0.25},), ({"pgd": 0.125}, {"fgsm": 1.0})]:
        log = CSV(tmp_path, "evaluation.csv")
        for metrics in evaluation:
            log.log_metrics(metrics, 0)
    (tmp_path / "evaluation.csv").rename(tmp_path / "metrics.csv")
    assert rows(tmp_path) == [{"step": "0", "pgd": "0.5"}, {"step": "0", "apgd": "0.25"}, {"step": "0", "pgd": "0.125", "fgsm": "1.0"}]


@pytest.mark.parametrize("cut", [0, 1, 5, 9])
def test_a_line_that_was_cut_is_left_out_and_the_next_one_is_whole(tmp_path, cut):
    log = CSV(tmp_path)
    for step in range(3):
        log.log_metrics({"epoch": 0, "x": step / 8}, step)
    path = tmp_path / "metrics.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    again = CSV(tmp_path)
    again.log_metrics({"epoch": 0, "x": 0.5}, 7)
    kept = 3 if cut == 0 else 2
    assert [row["step"] for row in rows(tmp_path)] == [*["0", "1", "2"][:kept], "7"]
    assert rows(tmp_path)[-1]["x"] == "0.5"


def test_going_on_forgets_what_will_come_again(tmp_path):
    whole, killed = CSV(tmp_path / "whole"), CSV(tmp_path / "killed")
    events = [({"epoch": 0, "loss": s / 4}, s) for s in range(6)] + [({"epoch": 0, "valid": 0.5}, 5), ({"epoch": 1, "loss": 9.0}, 6)]
    for metrics, step in events:
        whole.log_metrics(metrics, step)
    for metrics, step in events[:5]:
        killed.log_metrics(metrics, step)
    again = CSV(tmp_path / "killed")
    again.go_on_after(2, {})
    for metrics, step in events[3:]:
        again.log_metrics(metrics, step)
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


def test_going_on_adds_the_row_that_the_kill_prevented_and_no_second_one(tmp_path):
    for there in (False, True):
        log = CSV(tmp_path)
        log.go_on_after(-1, {})
        log.log_metrics({"epoch": 0, "loss": 1.0}, 0)
        log.log_metrics({"epoch": 0, "loss": 2.0}, 3)
        if there:
            log.log_metrics({"epoch": 0, "mean": 1.5}, 3)
        CSV(tmp_path).go_on_after(3, {"epoch": 0, "mean": 1.5})
        assert rows(tmp_path) == [
            {"step": "0", "epoch": "0", "loss": "1.0"},
            {"step": "3", "epoch": "0", "loss": "2.0", "mean": "1.5"},
        ]


def test_seconds_go_on_and_never_back(tmp_path):
    log = CSV(tmp_path)
    log.log_metrics({"x": 1.0, "seconds": 100.0}, 0)
    again = CSV(tmp_path)
    again.go_on_after(0, {})
    again.log_metrics({"x": 1.0}, 1)
    assert [float(row["seconds"]) >= 100 for row in read(tmp_path / "metrics.csv")] == [True, True]


def test_the_csv_comes_first_and_another_mode_of_wandb_is_refused(tmp_path):
    assert [type(logger).__name__ for logger in build(tmp_path, "offline")] == ["CSV", "Wandb"]
    assert [type(logger).__name__ for logger in build(tmp_path, "off")] == ["CSV"]
    with pytest.raises(UserError, match=r"unknown wandb 'onlin'\. Did you mean 'online'"):
        build(tmp_path, "onlin")
