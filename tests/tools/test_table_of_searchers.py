"""The table of searchers: what it computes, by hand; what it runs, on two batches; and that a kill costs nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robnas.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_searchers as tool

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "searchers.md"


def run(searcher, seed, seconds, right, **more):
    shape = {f"{kind}/{name}": float(2 + seed) for kind in ("normal", "reduce") for name in ("depth", "width", "skips")}
    return (
        {"searcher": searcher, "seed": seed, "seconds": seconds, "accuracy": right / 360, "n": 360, "parameters/paper": 3e6} | shape | more
    )


RUNS = [run("snas", 0, 20.0, 356, evaluations=7), run("snas", 1, 60.0, 352), run("darts", 0, 10.0, 350), run("darts", 1, 20.0, 354)]


def test_time_is_relative_to_darts_from_the_same_seed():
    assert tool.times_darts(RUNS) == {"darts": [1.0, 1.0], "snas": [2.0, 3.0]}
    assert tool.times_darts(RUNS[:3])["snas"] == [2.0]  # where DARTS has no run there is nothing to compare with


def test_the_table_has_a_row_a_searcher_darts_first():
    cost, shape = (part.splitlines() for part in tool.table(RUNS).split("\n\n")[:2])
    cells = lambda line: [cell.strip() for cell in line.strip("|").split("|")]  # noqa: E731
    assert [cells(line)[0] for line in cost[2:]] == [cells(line)[0] for line in shape[2:]] == ["DARTS", "SNAS"]
    assert cells(cost[2])[1:4] == ["1", "15 ± 64", "–"]
    assert cells(cost[3])[1:4] == ["2.50 ± 6.35", "40 ± 254", "7"]
    assert cells(shape[3])[1] == "2.5 ± 6.4"
    assert len({len(cells(line)) for line in cost}) == len({len(cells(line)) for line in shape}) == 1


def test_a_searcher_that_lacks_seeds_says_so():
    assert "| DARTS (1 of 2 seeds) |" in tool.table(RUNS[:3])


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    for name in ("a.svg", "b.svg"):
        tool.picture(RUNS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_children_share_one_core():
    assert "--model.evaluator.workers=1" in tool.search_command("nasnet", 0, Path("runs"))
    assert not any("workers" in word for word in tool.search_command("darts", 0, Path("runs")))


@pytest.mark.parametrize(("arguments", "says"), [(["--searchers", "dart"], "unknown searcher 'dart'"), (["--seeds", "1", "1"], "--seeds")])
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


def test_the_page_has_its_markers():
    text = PAGE.read_text("utf-8")
    assert text.count(tool.BEGIN) == text.count(tool.END) == 1


def test_the_table_of_the_page_is_made_of_the_numbers_that_are_kept():
    numbers = REPOSITORY / "benchmarks" / "results" / "searchers-digits.json"
    if not numbers.is_file():
        pytest.skip("the table was not made yet")
    kept = json.loads(numbers.read_text())
    assert tool.table(kept["runs"]) in PAGE.read_text("utf-8")


SMALL = ("trainer.limit_train_batches=1", "trainer.max_epochs=1", "trainer.accelerator=cpu")


def command():
    what = ["--seeds", "0", "1", "--searchers", "darts", "--flags", *SMALL]
    where = ["--runs", "runs", "--out", "docs/searchers.md", "--numbers", "numbers.json", "--workers", "2"]
    return [sys.executable, str(REPOSITORY / "tools" / "table_of_searchers.py"), *where, *what]


@pytest.mark.slow
def test_a_killed_command_goes_on_and_does_nothing_twice(tmp_path):
    with subprocess.Popen(command(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 300
        while not list(tmp_path.glob("runs/darts/*/genotype.yaml")) and time.monotonic() < end:
            time.sleep(0.1)
        process.kill()
    done = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert [(r["searcher"], r["seed"], r["n"]) for r in numbers["runs"]] == [("darts", 0, 360), ("darts", 1, 360)]
    assert tool.table(numbers["runs"]) in (tmp_path / "docs" / "searchers.md").read_text()
    assert (tmp_path / "docs" / "searchers.svg").stat().st_size > 10_000
    assert len(list(tmp_path.glob("runs/darts/[!l]*"))) == len(list(tmp_path.glob("runs/classify/[!l]*"))) == 2
    now = {path: path.read_bytes() for path in tmp_path.glob("runs/*/*/results.jsonl")}
    again = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("runs/*/*/results.jsonl")} == now
