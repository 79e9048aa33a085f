"""docs/poisoning.md, backdoors.md and stealing.md: their commands run, in the order of the page, at a size that takes a moment."""

import re
from pathlib import Path

import pytest

from command_line import robnas

REPOSITORY = Path(__file__).parents[1]
QUICK = " --wandb=off --trainer.accelerator=cpu --trainer.max_epochs=1 --trainer.limit_train_batches=2 --trainer.limit_val_batches=1"
CLEAN = "fit --config classify.yaml --config digits.yaml --model.network=resnet"
SMALL = {
    "knockoff": " --attacks.knockoff.budget=64",
    "trojannn": " --attacks.trojannn.init_args.steps=1",
    "clean_label": " --attacks.clean_label.init_args.steps=1",
    "filtered": " --defences.loss_filter.start=1 --trainer.max_epochs=2",
}
"""In a command → flags that make it take a moment."""


def commands(page):
    text = (REPOSITORY / "docs" / page).read_text("utf-8")
    return [line.removeprefix("robnas ") for line in re.findall(r"^robnas fit .*$", text, re.MULTILINE)]


def made_small(told):
    told = told.replace("POISONED_RUN", "runs/badnets/latest").replace("RUN", "runs/classify/latest")
    network = "" if "--model.network" in told or "--init_from" in told else " --model.network=resnet"
    return told + network + QUICK + "".join(flags for word, flags in SMALL.items() if f"--config {word}" in told or f"/{word}.yaml" in told)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["poisoning.md", "backdoors.md", "stealing.md"])
def test_the_commands_of_a_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told = commands(page)
    assert len(told) >= 2
    for command in [CLEAN, *told] if page == "backdoors.md" else told:
        said = robnas(made_small(command), capsys)
        assert said.status == 0, (command, said)
