"""The tables of mitigations: what is compared with what, by hand; what is run; and that a kill costs nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from robnas.configuration.reading import read_file
from robnas.errors import UserError
from robnas.space import published

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_mitigations as tool
from table_of_mitigations import BASE, Setting

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "mitigations.md"
FIVE, HALF, BOTH = Setting(5, 1.0, "", "epochs"), Setting(1, 0.5, "weight"), Setting(5, 0.5, "weight", "epochs")


def run(setting, seed, depth, skips=1, **more):
    shape = {f"{kind}/{fact}": 2 for kind in ("normal", "reduce") for fact in tool.FACTS}
    return tool.named(setting, seed) | shape | {"normal/depth": depth, "normal/skips": skips, "cpu_seconds": 40.0} | more


RUNS = [
    *(run(BASE, seed, depth, 2) for seed, depth in enumerate((3, 4))),
    *(run(FIVE, seed, depth, 2) for seed, depth in enumerate((5, 4))),
    *(run(HALF, seed, depth, 0) for seed, depth in enumerate((3, 3))),
    *(run(BOTH, seed, depth, 1) for seed, depth in enumerate((4, 5))),
    *(run(None, seed, 4) for seed in (0, 1)),
]


def test_the_grid_has_darts_first_and_everything_once():
    settings = tool.grid([5, 1], [1.0, 0.5], ["epochs", "steps"])
    assert settings[0] == BASE
    assert len(settings) == len(set(settings)) == (1 + 2) * (1 + 2)  # (n_step 1, 5 and 5) × (γ 1, ½ on the weight, ½ on α)
    assert tool.grid([5], [0.5], ["epochs"], ["weight"]) == [BASE, HALF, FIVE, BOTH]


def test_an_effect_is_from_seed_to_seed_and_settings_are_averaged_within_one():
    assert tool.above(RUNS, FIVE, "normal/depth") == {0: 2, 1: 0}
    questions = tool.effects(RUNS)
    assert questions["n_step 5, equal epochs, against 1"] == [(FIVE, BASE), (BOTH, HALF)]
    assert tool.effect(RUNS, "normal/depth", [(FIVE, BASE), (BOTH, HALF)]) == [1.5, 1.0]  # (2 + 1) / 2, (0 + 2) / 2
    assert questions["γ < 1 on the weight, against 1"] == [(HALF, BASE), (BOTH, FIVE)]
    assert tool.effect(RUNS, "normal/skips", questions["γ < 1 on the weight, against 1"]) == [-1.5, -1.5]
    assert tool.effect(RUNS, "normal/depth", questions["both (5, equal epochs; γ = ½ on weight), against DARTS"]) == [1, 1]


def test_a_seed_that_lacks_a_run_does_not_count():
    assert tool.effect(RUNS[1:], "normal/depth", [(FIVE, BASE), (BOTH, HALF)]) == [1.0]
    assert tool.effect(RUNS[2:], "normal/depth", [(FIVE, BASE)]) == []


def test_an_effect_of_fewer_seeds_says_so():
    changes = tool.tables(RUNS[1:]).split("\n\n")[0]
    assert "| n_step 5, equal epochs, against 1 (1 of 2 seeds) |" in changes


def test_the_tables():
    changes, points, *_ = (part.splitlines() for part in tool.tables(RUNS).split("\n\n"))
    cells = lambda line: [cell.strip() for cell in line.strip("|").split("|")]  # noqa: E731
    assert [cells(line)[0] for line in changes[2:]] == list(tool.effects(RUNS))
    assert cells(changes[2])[1] == "1.2 [−1.9, 4.4]"  # of 1.5 and 1: 1.25 ± 12.706 · ¼
    assert cells(changes[3])[3] == "−1.5 [−1.5, −1.5]"
    assert [cells(line)[:2] for line in points[2:]] == [
        ["1", "1"],
        ["5, equal epochs", "1"],
        ["1", "½ on weight"],
        ["5, equal epochs", "½ on weight"],
        ["Random", "–"],
        ["1,000 uniform draws", "–"],
    ]
    assert len({len(cells(line)) for line in points}) == len({len(cells(line)) for line in changes}) == 1
    assert "robust" not in tool.tables(RUNS)
    trained = [one | {"accuracy": 0.98, "n": 360, "robust_accuracy": 0.4, "robust_n": 360} for one in RUNS]
    assert "40.0 [40.0, 40.0]" in tool.tables(trained)


def test_random_is_where_most_cells_are():
    assert tool.uniform("normal", "depth") == pytest.approx(3.79, abs=0.01)
    assert tool.uniform("normal", "skips") == pytest.approx(8 / 9, abs=0.06)  # eight edges, nine operations


def test_nothing_differs_from_darts_but_n_step_and_gamma():
    plain, both = (tool.search_command(s, 3, Path("runs"), ["trainer.max_epochs=1"]) for s in (BASE, BOTH))
    assert [word for word in both if word not in plain] == [
        "--model.n_step=5",
        *(f"--model.searcher.init_args.{word}" for word in ("gamma=0.5", "damp=weight", "derive_from=undamped")),
    ]
    assert plain[-1] == both[-1] == "--trainer.max_epochs=1"
    longer = tool.search_command(Setting(5, 1.0, "", "steps"), 3, Path("runs"))
    assert "--trainer.max_epochs=40" in longer
    assert tool.search_command(None, 3, Path("runs"))[2] == "random.yaml"


def test_readings_are_those_of_the_shipped_configs():
    for config, reading in (("darts_ii.yaml", "weight"), ("darts_ii/paper.yaml", "alpha")):
        searcher = read_file(REPOSITORY / "configs" / config)["model"]["init_args"]["searcher"]["init_args"]
        assert (searcher["damp"], searcher.get("derive_from", "undamped")) == (reading, tool.READINGS[reading])


def test_what_is_read_of_a_search(tmp_path):
    (tmp_path / "genotype.yaml").write_text(published.find("darts_i").to_yaml())
    found = tool.cells(tmp_path)
    assert [found[f"normal/{fact}"] for fact in tool.FACTS] == [5, 1, 2, 6]
    assert len(found) == 8


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    for name in ("a.svg", "b.svg"):
        tool.picture(RUNS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gammas", "0"], "--gammas"),
        (["--n-steps", "0"], "--n-steps"),
        (["--n-steps", "5", "5"], "--n-steps"),
        (["--seeds", "1", "1"], "--seeds"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


def test_the_page_has_its_markers_and_what_was_kept():
    text = PAGE.read_text("utf-8")
    assert text.count(tool.BEGIN) == text.count(tool.END) == 1
    numbers = REPOSITORY / "benchmarks" / "results" / "mitigations-digits.json"
    if not numbers.is_file():
        pytest.skip("the tables were not made yet")
    assert tool.tables(json.loads(numbers.read_text())["runs"]) in text


@pytest.mark.slow
def test_a_command_that_comes_again_does_nothing_twice(tmp_path):
    small = ("trainer.limit_train_batches=1", "trainer.max_epochs=1", "trainer.accelerator=cpu")
    what = ["--seeds", "0", "--n-steps", "1", "--gammas", "1", "--train", "--flags", *small]
    where = ["--runs", "runs", "--out", "docs/mitigations.md", "--numbers", "numbers.json", "--workers", "1"]
    command = [sys.executable, str(REPOSITORY / "tools" / "table_of_mitigations.py"), *where, *what]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        now = {path: path.read_bytes() for path in tmp_path.glob("runs/*/*/results.jsonl")}
    numbers = json.loads((tmp_path / "numbers.json").read_text())["runs"]
    assert [tool.setting_of(one) for one in numbers] == [BASE, None]
    assert all(one["robust_n"] == 360 for one in numbers)
    assert tool.tables(numbers) in (tmp_path / "docs" / "mitigations.md").read_text()
    assert len(list(tmp_path.glob("runs/darts/[!l]*"))) == 1
    assert {path: path.read_bytes() for path in tmp_path.glob("runs/*/*/results.jsonl")} == now
