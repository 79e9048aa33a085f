"""docs/searchers.md, cells.md, mitigations.md, transfer.md: their commands run, in the order of the page, at a size of a moment."""

import re
import sys
from pathlib import Path

import pytest

from command_line import robnas
from docs_page import forgotten, installed

REPOSITORY = Path(__file__).parents[1]
CPU = " --wandb=off --trainer.accelerator=cpu"
FIT = CPU + " --trainer.max_epochs=1 --trainer.limit_train_batches=2 --trainer.limit_val_batches=1"
RUNS = {
    "searches": "fit --config darts.yaml --config digits.yaml --model.layers=3" + FIT,
    "classify": "fit --config classify.yaml --config digits.yaml --model.network=resnet --trainer.max_epochs=3" + CPU,
    "other": "fit --config classify.yaml --config digits.yaml --model.network=vgg --experiment=other" + FIT,
}
"""What a page calls RUN, and other models beside it; the one that is exported has to know something."""
SMALL = {
    "common": " --attacks.common.steps=1 --attacks.common_least.steps=1",
    "transfer": " --attacks.transfer.attack.steps=1 --attacks.transfer_least.attack.steps=1",
    "drnas": " --trainer.max_epochs=4",  # of two stages, each with a warm-up
    "ntk": " --probes.ntk.n_samples=8 --probes.ntk.batch=4",
}
"""Config of a command → flags that make it take a moment."""


def commands(page):
    text = (REPOSITORY / "docs" / page).read_text("utf-8")
    return [line.removeprefix("robnas ") for line in re.findall(r"^robnas .*$", text, re.MULTILINE)]


def made_small(told):
    verb = told.split()[0]
    if verb == "cell":
        return told.replace("RUN", "runs/darts/latest")
    if verb == "fit" and "digits" not in told:
        return f"{told} --print_config"  # CIFAR10
    if verb == "fit":
        small = "".join(flags for name, flags in SMALL.items() if f"{name}.yaml" in told)
        return told + FIT + small + (" --model.options.layers=3" if "classify" in told else " --model.layers=3")
    if verb == "attack":
        small = "".join(flags for name, flags in SMALL.items() if f"{name}.yaml" in told)
        told = told.replace("RUN RUN RUN", "runs/classify/latest runs/other/latest exported").replace("RUN", "runs/other/latest")
        return told + CPU + small + " --trainer.limit_test_batches=1 --data.batch_size=8"
    return told


@pytest.fixture
def here(tmp_path, monkeypatch):
    """With the package that docs/cells.md installs."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").symlink_to(REPOSITORY / "plugins")
    installed(tmp_path / "plugins" / "robnas-ntk", tmp_path / "site")
    yield tmp_path
    forgotten(tmp_path, path, modules)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["searchers.md", "cells.md", "mitigations.md", "transfer.md"])
def test_the_commands_of_a_page(page, here, capsys):
    before = {"cells.md": [RUNS["searches"]], "transfer.md": [RUNS["classify"], RUNS["other"], "export runs/classify/latest exported"]}
    told = commands(page)
    assert len(told) >= 3
    for command in [*before.get(page, ()), *map(made_small, told)]:
        said = robnas(command, capsys)
        assert said.status == 0, (command, said)
