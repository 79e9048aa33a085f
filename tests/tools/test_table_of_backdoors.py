"""The table of backdoors: what it runs, what it reads and what it shows."""

import sys
from pathlib import Path

import pytest

from robnas.errors import UserError
from robnas.results import Row, Rows

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_backdoors as tool


def run(case, asr, cad, **more):
    family = "nas" if case["model"] == "darts" else "manual"
    found = {"asr": asr, "cad": cad, "accuracy": 0.98, "n": 360, "n_asr": 325, "family": family, "cpu_seconds": 9.0}
    return {**case, **found, "asr_clean_model": 0.01, **more}


CASES = tool.cases(["darts", "resnet"], [0, 1, 2], [1, 4, 8])
RUNS = [run(case, 0.95 if case["seed"] else 0.8, 0.01 if case["seed"] < 2 else -0.03) for case in CASES]  # a drop may be a gain
DEFENDED = [
    run({"model": m, "seed": 0, "attack": "trojannn", "neurons": 2, "defence": d}, 0.1, 0.02, asr_before=0.8, asr_pruned=0.7)
    for m in ("darts", "resnet")
    for d in tool.PRUNINGS
]


def test_further_numbers_of_neurons_are_for_the_first_seed():
    assert len(CASES) == 2 * (6 + 3 + 3)
    assert {case["seed"] for case in CASES if case["neurons"] in (1, 4, 8)} == {0}
    assert {case["seed"] for case in CASES if case["neurons"] == 2} == {0, 1, 2}


def test_commands():
    words = tool.command(CASES[0], Path("clean"), Path("runs"))
    assert words[:3] == ["fit", "--config", "badnets.yaml"]
    assert "--attacks.badnets.clean=clean" in words
    (trojan,) = [c for c in CASES if c["model"] == "resnet" and c["neurons"] == 8]
    words = tool.command(trojan, Path("clean"), Path("runs"), ["trainer.max_epochs=1"])
    assert {"--init_from=clean", "--attacks.trojannn.n_neurons=8", "--trainer.max_epochs=1", "--seed_everything=0"} <= set(words)
    assert "--defences.fine_pruning.share=0" in tool.defence_command(DEFENDED[1], Path("t"), Path("runs"))


def test_the_table_and_its_picture(tmp_path):
    text = tool.table(RUNS + DEFENDED)
    for table in (part for part in text.split("\n\n") if part.startswith("|")):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    assert "BadNets in 4 of 6, TrojanNN in 4 of 12 trainings" in text
    assert "(1 of 3 seeds) | TrojanNN, 8 neurons | 80.0 | 1.0 | 1.0 |" in text
    assert text.count("fine-pruned") == 2
    tool.picture(RUNS + DEFENDED, tmp_path / "backdoors.svg")
    assert (tmp_path / "backdoors.svg").stat().st_size > 10_000


def test_numbers_of_a_run(tmp_path):
    rows = [Row("accuracy", 0.9, n=360, kind="train", plugin="accuracy", family="nas"), Row("size", 3.0, kind="train", plugin="size")]
    rows += [Row(name, value, n=325, access="training", plugin="badnets") for name, value in {"asr": 0.7, "cad": 0.1}.items()]
    Rows(tmp_path / "results.jsonl").write(rows)
    found = tool.numbers(tmp_path)
    assert (found["asr"], found["cad"], found["accuracy"], found["n_asr"]) == (0.7, 0.1, 0.9, 325)
    assert "asr_before" not in found


@pytest.mark.parametrize("wrong", [["--seeds", "0", "0"], ["--models", "dart"], ["--neurons", "0"]])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(UserError):
        tool.main(wrong)
