"""The table of stealing: what it shows, by hand; what it runs; and that it does nothing twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from robnas.configuration import files
from robnas.errors import UserError
from robnas.results import Row, Rows
from robnas.study import Outcome

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_stealing as tool

REPOSITORY = Path(__file__).parents[2]
FAMILY = {"darts": "nas", "resnet": "manual"}


def run(victim, replica, budget, seed, ace, way="random"):
    case = {"victim": victim, "seed": seed, "replica": replica, "way": way, "budget": budget, "family": FAMILY[replica], "n": 360}
    shares = {"agreement": 0.9, "replica_accuracy": 0.85, "victim_accuracy": 0.95, "queries": float(budget)}
    return case | shares | {"ace": ace, "divergence": ace - 0.25, "ci": [ace - 0.1, ace + 0.1], "cpu_seconds": 10.0}


RUNS = [
    *(run("darts", "darts", budget, seed, ace) for budget, seed, ace in [(300, 0, 0.5), (300, 1, 0.7), (100, 0, 1.0), (100, 1, 1.2)]),
    run("darts", "darts", 300, 0, 0.8, way="labels"),
    run("darts", "darts", 300, 1, 0.8, way="adaptive"),
    run("darts", "resnet", 300, 0, 0.9),
    run("resnet", "darts", 300, 0, 0.75),
    run("resnet", "resnet", 100, 0, 0.4),
]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_by_hand():
    lines = [cells(line) for line in tool.table(RUNS, 300).split("\n\n")[0].splitlines()]
    assert {len(line) for line in lines} == {8}
    ways = [("random", "100"), ("random", "300"), ("adaptive", "300"), ("random, labels alone", "300")]
    assert [tuple(line[1:3]) for line in lines[2:6]] == ways
    assert lines[3][:5] == ["DARTS → DARTS", "random", "300", "0.600 [0.000, 1.871]", "0.350 [0.000, 1.621]"]
    assert lines[3][5:] == ["90.0 [90.0, 90.0]", "85.0 [85.0, 85.0]", "95.0 [95.0, 95.0]"]
    assert lines[4][:4] == ["DARTS → DARTS (1 of 2 seeds)", "adaptive", "300", "0.800"]
    assert [line[0] for line in lines[6:]] == [f"{pair} (1 of 2 seeds)" for pair in ("DARTS → ResNet", "ResNet → DARTS", "ResNet → ResNet")]


def test_the_matrix_has_replicas_down_and_victims_across_and_a_dash_for_what_is_missing():
    matrix = [cells(line) for line in tool.table(RUNS, 300).split("\n\n")[-1].splitlines()]
    assert matrix[0] == ["replica ↓ victim →", "DARTS", "ResNet"]
    assert matrix[2:] == [["DARTS", "0.600 (0.350)", "0.750 (0.500)"], ["ResNet", "0.900 (0.650)", "–"]]


def done(words, folder, good=True):
    return Outcome(tuple(words), 0 if good else 1, folder / "log.txt", folder=folder)


def test_what_is_run(tmp_path, monkeypatch):
    """Victims first; each way but the random one at one budget; no theft from a victim whose training failed."""
    asked = []

    class Pool:
        def __init__(self, *arguments, **more): ...

        def __enter__(self):
            return self

        def __exit__(self, *error): ...

        def run(self, commands):
            asked.append(commands)
            fine = [not (len(asked) == 1 and "--model.network=resnet" in words) for words in commands]
            return [done(words, tmp_path / str(k), good) for k, (words, good) in enumerate(zip(commands, fine, strict=True))]

    monkeypatch.setattr(tool, "Pool", Pool)
    monkeypatch.setattr(tool, "numbers", lambda folder: {"ace": 0.5})
    runs, failed = tool.measure(["darts", "resnet"], ["resnet", "darts"], [100, 300], 300, [0, 1], 1, tmp_path, ["trainer.max_epochs=1"])
    victims, thefts = asked
    assert len(victims) == 4
    assert len(thefts) == 2 * 2 * (2 + 3)
    assert len(failed) == 2
    assert [r["replica"] for r in runs] == ["resnet"] * 10 + ["darts"] * 10  # as they were asked for
    assert {"--data.members=0.35", "--data.validation=0", "--seed_everything=1"} <= set(victims[2])
    first = thefts[0]
    assert first[:3] == ["fit", "--config", "knockoff.yaml"]
    assert {f"--attacks.knockoff.victim={tmp_path / '0'}", "--attacks.knockoff.budget=100", "--seed_everything=100"} <= set(first)
    assert first[-1] == "--trainer.max_epochs=1"  # the last word
    assert "--config" not in first[3:]  # data are the victim's
    ways = [words[2:3] + [w for w in words if "rounded" in w] for words in thefts[:5]]
    rounded = "--defences.rounded=rounded_answers"
    assert ways == [
        ["knockoff.yaml"],
        ["knockoff.yaml"],
        ["knockoff/adaptive.yaml"],
        ["knockoff.yaml", rounded, "--defences.rounded.digits=1"],
        ["knockoff.yaml", rounded, "--defences.rounded.digits=labels"],
    ]
    assert {config for _, (config, *_) in tool.WAYS.values()} <= set(files.shipped())


def test_the_numbers_of_a_run(tmp_path):
    measured = {name: k / 10 for k, name in enumerate(tool.METRICS)}
    own = [Row(name, value, n=360, plugin="knockoff", family="nas", access="training") for name, value in measured.items()]
    Rows(tmp_path / "results.jsonl").write([Row("accuracy", 0.5, kind="train", plugin="accuracy", n=360), *own])
    found = tool.numbers(tmp_path)
    assert {name: found[name] for name in tool.METRICS} == measured
    assert (found["n"], found["family"]) == (360, "nas")


def test_a_replica_that_answers_nothing_fails_alone(tmp_path, monkeypatch):
    """Its numbers are none: the table of all others must not end with it."""
    monkeypatch.setattr(tool.Pool, "run", lambda self, commands: [done(words, tmp_path / str(k)) for k, words in enumerate(commands)])
    none = dict.fromkeys(tool.METRICS) | {"family": "nas", "n": 0}
    monkeypatch.setattr(tool, "numbers", lambda folder: none if folder.name == "3" else {"ace": 0.5})
    runs, failed = tool.measure(["darts"], ["darts"], [100], 100, [0], 1, tmp_path)
    assert [r["way"] for r in runs] == ["random", "adaptive", "rounded"]
    assert len(failed) == 1
    assert "no answer" in failed[0]


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    for name in ("a.svg", "b.svg"):
        tool.picture(RUNS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_pair_of_which_every_job_failed_is_not_drawn(tmp_path):
    tool.picture([r for r in RUNS if (r["victim"], r["replica"]) != ("resnet", "darts")], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--victims", "resnett"], "unknown network"),
        (["--replicas", "resnett"], "unknown network"),
        (["--budgets", "100", "200"], r"--budget: 300 is not one of --budgets \[100, 200\]"),
        (["--budgets", "0", "300"], "--budgets: 0 is not at least 1"),
        (["--budgets", "300", "100", "300"], r"--budgets: \[300, 100, 300\] names one twice"),
        (["--victims", "darts", "darts"], r"--victims: \['darts', 'darts'\] names one twice"),
        (["--replicas", "darts", "darts"], r"--replicas: .* names one twice"),
        (["--seeds", "0", "0"], "names a seed twice"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


SMALL = ("trainer.limit_train_batches=1", "trainer.max_epochs=1", "trainer.accelerator=cpu")


@pytest.mark.slow
def test_the_same_command_does_nothing_twice(tmp_path):
    what = ["--seeds", "0", "--victims", "resnet", "--replicas", "resnet", "--budgets", "40", "--budget", "40", "--flags", *SMALL]
    where = ["--runs", "runs", "--out", "docs/s.md", "--numbers", "numbers.json", "--workers", "1"]
    told = [sys.executable, str(REPOSITORY / "tools" / "table_of_stealing.py"), *where, *what]
    done = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    kept = json.loads((tmp_path / "numbers.json").read_text())["runs"]
    assert [(r["way"], r["queries"]) for r in kept] == [(way, 40.0) for way in tool.WAYS]
    assert len(list((tmp_path / "runs" / "stealing-victims").glob("[0-9a-f]*/job.json"))) == 1
    now = {path: path.read_bytes() for path in [*tmp_path.glob("runs/*/*/*.json*"), *tmp_path.glob("runs/*/*/queries.npz")]}
    now |= {path: path.read_bytes() for path in (tmp_path / "numbers.json", tmp_path / "docs" / "s.md")}
    again = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again
    assert {path: path.read_bytes() for path in now} == now
