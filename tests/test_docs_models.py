"""docs/models.md: its commands and its Python run, its tables are made of the numbers that are kept, and it leaves out no model."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import robnas
from robnas.configuration import files
from robnas.models.sizes import sizes

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import table_of_models
import table_of_robustness

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "models.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line.removeprefix("robnas ") for kind, text in BLOCKS if not kind for line in text.splitlines() if line.startswith("robnas ")]
ANYWHERE = " --wandb=off --trainer.accelerator=cpu"
QUICK = " --trainer.max_epochs=1 --trainer.limit_train_batches=1 --trainer.limit_val_batches=1 --data.batch_size=16"
NET = """import torch


class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))
"""


def made_small(command):
    if command.startswith("fit"):
        few = " --model.valid_inputs=16" if "adversarial" in command else ""
        return command + ANYWHERE + QUICK + few if "digits" in command else f"{command} --print_config"
    if command.startswith("attack"):  # nothing here was trained for long
        small = " --model.insist=true --model.check_inputs=16 --data.batch_size=16 --trainer.limit_test_batches=1"
        return command + ANYWHERE + small + "".join(f" --attacks.{name}.steps=1" for name in ("pgd", "pgd_most", "pgd_least"))
    return command


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Somebody's folder: photographs, a network of their own and weights for it, and a training that the page speaks of."""
    import timm
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("somebody's")
    noise = np.random.default_rng(0)
    for i in range(30):
        path = folder / "photos" / ("cat", "dog", "owl")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    (folder / "net.py").write_text(NET)
    save_file({"2.weight": torch.randn(3, 3), "2.bias": torch.zeros(3)}, folder / "net.safetensors")
    save_file(timm.create_model("resnet18", num_classes=10).state_dict(), folder / "resnet18.safetensors")
    return folder


LONG = ("--config adversarial.yaml", "adversarial/trades", "adversarial/free", "timm:resnet18")
"""More than three processor seconds each, and needed by no other; of adversarial training the fastest one always runs."""


@pytest.mark.parametrize(
    "number", [pytest.param(i, marks=[pytest.mark.slow] * any(word in told for word in LONG)) for i, told in enumerate(COMMANDS)]
)
def test_a_command(number, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    said = robnas(made_small(COMMANDS[number]), capsys)
    assert said.status == 0, (COMMANDS[number], said)


def test_the_python_of_the_page(place, monkeypatch):
    monkeypatch.chdir(place)
    if not (place / "runs").exists():
        pytest.skip("the commands before it were not run")
    (code,) = [text for kind, text in BLOCKS if kind == "python"]
    names: dict[str, object] = {}
    exec(compile(code, "models.md", "exec"), names)
    who = names["who"]
    assert (who.member.astype(int) + who.non_member + who.validation == 1).all()


def test_every_flag_of_the_recipe_is_one(capsys):
    flags = re.findall(r"`(--(?:model|trainer)[\w.]*=[\w.-]+)`", PAGE.partition("## The recipe")[2].partition("## A pool")[0])
    assert len(flags) == 9
    given = " ".join(flag for flag in flags if "compile" not in flag)
    said = robnas(f"fit --config classify.yaml {given} --print_config", capsys)
    assert said.status == 0, said


def test_all_seventeen_stand_there_with_their_sizes():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
    shown = {row[0].strip("`"): (row[-2], row[-1]) for row in rows if row[0].strip("`") in sizes()}
    assert set(shown) == set(table_of_models.TITLES)
    for name, cells in shown.items():
        counted = sizes()[name]
        assert cells == (f"{counted.parameters / 1e6:.2f}", f"{counted.flops / 1e6:.0f}"), name


def test_configs_that_are_named_are_shipped():
    for name in set(re.findall(r"`([\w/]+\.yaml)`", PAGE)):
        assert name in files.shipped(), name


def test_tools_that_are_named_are_there():
    for name in set(re.findall(r"python (tools/\w+\.py)", PAGE)):
        assert (REPOSITORY / name).is_file(), name


@pytest.mark.parametrize("tool", [table_of_models, table_of_robustness])
def test_the_page_has_its_markers(tool):
    assert PAGE.count(tool.BEGIN) == PAGE.count(tool.END) == 1


@pytest.mark.parametrize(("tool", "name"), [(table_of_models, "models"), (table_of_robustness, "robustness")])
def test_a_table_of_the_page_is_made_of_the_numbers_that_are_kept(tool, name):
    numbers = REPOSITORY / "benchmarks" / "results" / f"{name}-digits.json"
    if not numbers.is_file():
        pytest.skip("the table was not made yet")
    kept = json.loads(numbers.read_text())
    assert tool.table(kept["runs"]) in PAGE
    assert (REPOSITORY / "docs" / f"{name}.svg").is_file()
    assert kept["flags"] == []
