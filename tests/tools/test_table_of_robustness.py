"""The table of robustness: what it shows, by hand; what it runs; and which rows are its own."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from robnas.configuration import files
from robnas.errors import UserError
from robnas.results import Row, Rows

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import side_by_side
import table_of_robustness as tool

REPOSITORY = Path(__file__).parents[2]


def run(model, method, seed, robust, family="nas"):
    seconds = {"training_seconds": 30.0, "cpu_seconds": 20.0 + seed, "attack_seconds": 3.0, "queries": 100}
    accuracy = {"accuracy": 0.975, "n": 360, "robust_accuracy": robust, "robust_n": 360}
    return {"model": model, "method": method, "seed": seed, "family": family} | accuracy | seconds


PLAIN, PGD = [run("darts", "plain", 0, 0.10), run("darts", "plain", 1, 0.20)], [run("darts", "pgd", 0, 0.80), run("darts", "pgd", 1, 0.86)]
RUNS = [*PGD, *PLAIN, run("resnet", "fast", 0, 0.5, "manual")]


def test_the_gain_is_that_of_each_seed():
    assert tool.above_plain(RUNS, "darts", "pgd") == pytest.approx([70, 66])
    assert tool.above_plain(RUNS, "resnet", "fast") == []  # there is no plain one to compare with
    assert tool.above_plain(RUNS[1:], "darts", "pgd") == pytest.approx([66])


def test_the_table_has_a_line_a_model_and_method():
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in tool.table(RUNS).split("\n\n")[0].splitlines()]
    assert {len(line) for line in lines} == {6}
    assert lines[2] == ["DARTS", "plain", "97.5 [97.5, 97.5]", "15.0 [0.0, 78.5]", "–", "20 ± 6"]
    assert lines[3] == ["DARTS", "PGD", "97.5 [97.5, 97.5]", "83.0 [44.9, 100.0]", "68.0 [42.6, 93.4]", "20 ± 6"]
    assert lines[4] == ["ResNet", "fast (1 of 2 seeds)", "97.5", "50.0", "–", "20"]


def test_every_method_is_a_config():
    assert set(tool.METHODS.values()) <= set(files.shipped())


def test_only_rows_of_the_tables_own_attack_count(tmp_path):
    params = {"eps": 8 / 255, "step_size": 2 / 255, "steps": 20, "n_restarts": 5, "goal": "untargeted"}
    own = Row("robust_accuracy", 0.1, plugin="pgd", params=params, n=360, norm="linf", family="nas", seconds=2.0)
    asked = [{"eps": 4 / 255}, {"goal": "most_likely"}, {"steps": 7}, {"inputs": 64}, {"n_restarts": 1}]
    asked += [{"loss": "dlr"}, {"random_start": False}, {"exact": True}, {"confidence": 0.99}, {"eot": 2}, {"max_inputs": 100}]
    others = [replace(own, params=params | other) for other in asked]
    others += [replace(own, **other) for other in ({"norm": "l2"}, {"metric": "asr"}, {"plugin": "apgd"})]
    assert [tool.ours(row) for row in [own, *others]] == [True, *[False] * 14]
    (tmp_path / "metrics.csv").write_text("step,epoch,seconds\n1,0,12.5\n")
    Rows(tmp_path / "results.jsonl").write([Row("accuracy", 0.9, kind="train", plugin="accuracy", n=360), own, *others[:11]])
    assert tool.ours(replace(own, params=params | {"loss": "log_odds", "random_start": True, "exact": False}))
    found = tool.numbers(tmp_path)
    assert (found["accuracy"], found["robust_accuracy"], found["training_seconds"], found["cpu_seconds"]) == (0.9, 0.1, 12.5, None)


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    for name in ("a.svg", "b.svg"):
        tool.picture(RUNS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--models", "resnett"], "unknown network"), (["--seeds", "1", "1"], "--seeds"), (["--methods", "pdg"], "unknown method 'pdg'.*pgd")],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


def test_the_tool_itself_ends_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tools/table_of_robustness.py", "--methods", "pdg"])
    assert side_by_side.ended(tool.main) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("table_of_robustness.py: unknown method 'pdg'")


SMALL = ("trainer.limit_train_batches=1", "trainer.max_epochs=1", "trainer.accelerator=cpu")


@pytest.mark.slow
def test_the_same_command_does_nothing_twice(tmp_path):
    what = ["--seeds", "0", "--models", "darts", "--methods", "plain", "fast", "--flags", *SMALL]
    where = ["--runs", "runs", "--out", "docs/models.md", "--numbers", "numbers.json", "--workers", "1"]
    told = [sys.executable, str(REPOSITORY / "tools" / "table_of_robustness.py"), *where, *what]
    done = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    kept = json.loads((tmp_path / "numbers.json").read_text())
    assert [(r["model"], r["method"], r["n"], r["robust_n"]) for r in kept["runs"]] == [("darts", m, 360, 360) for m in ("plain", "fast")]
    assert tool.table(kept["runs"]) in (tmp_path / "docs" / "models.md").read_text()
    assert (tmp_path / "docs" / "robustness.svg").stat().st_size > 10_000
    now = {path: path.read_bytes() for path in [*tmp_path.glob("runs/*/*/*.json*"), tmp_path / "numbers.json"]}
    again = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again
    assert {path: path.read_bytes() for path in now} == now
