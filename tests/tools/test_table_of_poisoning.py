"""The table of poisoning: what it shows, by hand; what it runs; and that it does nothing twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from robnas.configuration import files
from robnas.errors import UserError
from robnas.results import Row, Rows

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_poisoning as tool

REPOSITORY = Path(__file__).parents[2]


def run(model, rate, seed, cad, filtered=False, family="nas"):
    case = {"model": model, "training": "plain", "rate": rate, "filtered": filtered, "seed": seed, "family": family, "n": 360}
    shares = {"cad": cad, "accuracy_flipped_given": 0.9, "accuracy_flipped_true": 0.1, "accuracy_clean": 1.0, "clean_accuracy": 0.98}
    found = {"filter_precision": 0.8, "filter_recall": 0.75} if filtered else {}
    return case | shares | found | {"loss_flipped": [2.0, 1.25], "loss_clean": [1.0, 0.5], "cpu_seconds": 10.0}


RUNS = [
    *(run("darts", rate, seed, cad) for rate, seed, cad in [(0.1, 0, 0.02), (0.4, 0, 0.1), (0.1, 1, 0.04), (0.4, 1, 0.03)]),
    run("darts", 0.4, 0, 0.01, filtered=True),
    run("resnet", 0.1, 0, -0.01, family="manual"),
    run("resnet", 0.4, 0, 0.2, family="manual"),
]  # fmt: skip


def test_the_table_by_hand():
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in tool.table(RUNS).split("\n\n")[0].splitlines()]
    assert {len(line) for line in lines} == {9}
    assert lines[2] == ["DARTS", "not augmented", "10", "no", "3.0 [-9.7, 15.7]", "1.25", "0.50", "90", "–"]
    assert lines[4] == ["DARTS (1 of 2 seeds)", "not augmented", "40", "yes", "1.0", "1.25", "0.50", "90", "80, 75"]
    assert len(lines) == 7


def test_in_how_many_seeds_cad_grows():
    assert tool.grows(RUNS).endswith("DARTS, not augmented, 1 of 2; ResNet, not augmented, 0 of 1.")


def test_what_is_run():
    asked = tool.cases(["darts", "resnet"], ["augmented", "plain"], [0.4, 0.1], [0, 1])
    assert len(asked) == 2 * 2 * 2 * 3
    assert [(c["rate"], c["filtered"]) for c in asked[:3]] == [(0.1, False), (0.4, False), (0.4, True)]
    words = tool.command(asked[2], Path("runs"))
    assert words[:3] == ["fit", "--config", "label_flip/filtered.yaml"]
    assert {"--attacks.label_flip.rate=0.4", "--defences.loss_filter.drop=0.4", "--model.network=darts"} <= set(words)
    assert "--data.augment=false" in tool.command({**asked[0], "training": "plain"}, Path("runs"))
    assert {"label_flip.yaml", "label_flip/filtered.yaml"} <= set(files.shipped())


def test_the_numbers_of_a_run(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "step,epoch,seconds,poison/loss_flipped,poison/loss_clean\n1,0,1.0,2.5,1.5\n2,0,1.5,,\n3,1,2.0,2.0,0.5\n"
    )
    own = [Row(name, 0.25, plugin="labelflip", access="training") for name in tool.SHARES]
    Rows(tmp_path / "results.jsonl").write([Row("accuracy", 0.5, kind="train", plugin="accuracy", n=360, family="nas"), *own])
    found = tool.numbers(tmp_path)
    assert (found["clean_accuracy"], found["cad"], found["loss_flipped"], found["loss_clean"]) == (0.75, 0.25, [2.5, 2.0], [1.5, 0.5])
    assert "filter_recall" not in found


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    for name in ("a.svg", "b.svg"):
        tool.picture(RUNS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--models", "resnett"], "unknown network"),
        (["--trainings", "plane"], "unknown training 'plane'.*plain"),
        (["--rates", "0", "0.2"], r"--rates: 0.0 is not in \(0, 1\]"),
        (["--rates", "0.2", "0.2"], r"--rates: \[0.2, 0.2\] names one twice"),
        (["--models", "resnet", "resnet"], "--models: .* names one twice"),
        (["--trainings", "plain", "plain"], "--trainings: .* names one twice"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


SMALL = ("trainer.limit_train_batches=1", "trainer.max_epochs=6", "trainer.accelerator=cpu")


@pytest.mark.slow
def test_the_same_command_does_nothing_twice(tmp_path):
    what = ["--seeds", "0", "--models", "resnet", "--trainings", "plain", "--rates", "0.2", "--flags", *SMALL]
    where = ["--runs", "runs", "--out", "docs/p.md", "--numbers", "numbers.json", "--workers", "1"]
    told = [sys.executable, str(REPOSITORY / "tools" / "table_of_poisoning.py"), *where, *what]
    done = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    kept = json.loads((tmp_path / "numbers.json").read_text())["runs"]
    assert [(r["rate"], r["filtered"]) for r in kept] == [(0.2, False), (0.2, True)]
    assert all(len(r["loss_flipped"]) == 6 for r in kept)
    assert kept[0]["clean_accuracy"] == pytest.approx(kept[1]["clean_accuracy"])  # one twin
    twins = [folder for folder in (tmp_path / "runs" / "label_flip-clean").iterdir() if not folder.is_symlink()]  # `latest` is one
    assert len(twins) == 1
    now = {path: path.read_bytes() for path in [*tmp_path.glob("runs/*/*/*.json*"), tmp_path / "numbers.json"]}
    again = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again
    assert {path: path.read_bytes() for path in now} == now
