"""The table of models: what it shows, by hand; what it runs, on one epoch; and that a kill costs nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robnas import plugins
from robnas.errors import UserError
from robnas.space import published
from robnas.space.size import size

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_models as tool

REPOSITORY = Path(__file__).parents[2]


def run(model, seed, right, family="nas", **more):
    size = {"parameters": 54_321, "flops": 2_660_000, "training_seconds": 30.0 + 2 * seed, "cpu_seconds": 20.0 + 2 * seed}
    return {"model": model, "seed": seed, "members": 1.0, "family": family, "accuracy": right / 360, "n": 360} | size | more


RUNS = [run("resnet", 0, 356, "manual"), run("resnet", 1, 352, "manual"), run("darts", 0, 350), run("darts", 1, 350)]


def rows(runs):
    lines = tool.table(runs).split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_pool_is_the_ten_cells_and_the_seven_families():
    assert len(tool.TITLES) == 17
    assert set(tool.MANUAL) == {plugin.name for plugin in plugins.declared("robnas.models") if plugin.built_in}
    assert set(tool.CELLS) <= set(published.names())


def test_the_table_has_a_line_a_model_cells_first():
    head, rule, darts, resnet = rows(RUNS)
    assert len(head) == len(rule) == len(darts) == len(resnet) == 6
    assert head[4] == "training, CPU s"
    assert darts == ["DARTS", "NAS", "54", "2.7", "21 ± 13", "97.2 [97.2, 97.2]"]
    assert resnet[:2] == ["ResNet", "manual"]
    assert resnet[5] == "98.3 [91.3, 100.0]"  # 98.89 and 97.78, t = 12.7: 98.33 ± 7.06


def test_where_one_run_lacks_processor_seconds_all_show_the_wall_clock():
    head, _, darts, _ = rows([*RUNS[:3], run("darts", 1, 350, cpu_seconds=None)])
    assert head[4] == "training, s"
    assert darts[4] == "31 ± 13"
    assert "wall clock" in tool.table([run("darts", 0, 350, cpu_seconds=None)])


def test_a_model_that_lacks_seeds_says_so():
    assert rows(RUNS[:3])[2][0] == "DARTS (1 of 2 seeds)"


def test_a_pool_of_halves_says_so():
    assert "Each training saw 50% of the training set, drawn by its seed." in tool.table([run("darts", 0, 350, members=0.5)])
    assert "%" not in tool.table(RUNS).partition("\n\n")[2].partition("All networks")[0].replace("95%", "")


def test_the_members_are_the_datas():
    assert tool.command("vgg", 3, Path("runs"), [], 0.5)[-2:] == ["--model.network=vgg", "--data.members=0.5"]
    assert not any("members" in word for word in tool.command("vgg", 3, Path("runs")))


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    for name in ("a.svg", "b.svg"):
        tool.picture(RUNS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--models", "resnett"], "unknown network 'resnett'"), (["--seeds", "1", "1"], "--seeds"), (["--members", "0"], "--members: 0.0")],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


def test_a_pool_of_halves_leaves_the_page_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "measure", lambda *_: ([run("darts", 0, 350, members=0.5)], []))
    assert tool.main(["--members", "0.5", "--runs", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"models-0.5.md", "models-0.5.svg", "models-0.5.json"}


SMALL = ("trainer.limit_train_batches=1", "trainer.max_epochs=1", "trainer.accelerator=cpu")


def command():
    what = ["--seeds", "0", "1", "--models", "darts", "resnet", "--flags", *SMALL]
    where = ["--runs", "runs", "--out", "docs/models.md", "--numbers", "numbers.json", "--workers", "2"]
    return [sys.executable, str(REPOSITORY / "tools" / "table_of_models.py"), *where, *what]


@pytest.mark.slow
def test_a_killed_command_goes_on_and_does_nothing_twice(tmp_path):
    with subprocess.Popen(command(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 300
        while not list(tmp_path.glob("runs/classify/*/results.jsonl")) and time.monotonic() < end:
            time.sleep(0.1)
        process.kill()
    done = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    kept = json.loads((tmp_path / "numbers.json").read_text())
    found = [(r["model"], r["family"], r["seed"], r["n"]) for r in kept["runs"]]
    assert found == [(*model, seed, 360) for model in (("darts", "nas"), ("resnet", "manual")) for seed in (0, 1)]
    formula = size(published.entry("darts").genotype, layers=5, init_channels=10, image_size=16)
    assert {(r["parameters"], r["flops"]) for r in kept["runs"] if r["model"] == "darts"} == {formula}
    assert all(r["cpu_seconds"] is None or 0 < r["cpu_seconds"] < 60 for r in kept["runs"])
    assert any(r["cpu_seconds"] is not None for r in kept["runs"])
    assert tool.table(kept["runs"]) in (tmp_path / "docs" / "models.md").read_text()
    assert len(list(tmp_path.glob("runs/classify/[!l]*"))) == 4
    now = {path: path.read_bytes() for path in [*tmp_path.glob("runs/*/*/*.json*"), tmp_path / "numbers.json"]}
    again = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again
    assert {path: path.read_bytes() for path in now} == now
