"""docs/attacks.md: its commands and its Python run, and it leaves out no config of an attack."""

import re
from math import inf
from pathlib import Path

import pytest
import torch

from command_line import robnas
from robnas.configuration import files
from robnas.data import Digits
from small_victims import images

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "attacks.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line.removeprefix("robnas ") for kind, text in BLOCKS if not kind for line in text.splitlines() if line.startswith("robnas ")]
FIT = next(told for told in COMMANDS if told.startswith("fit"))
ANYWHERE = " --wandb=off --trainer.accelerator=cpu"
FEW = " --trainer.limit_test_batches=1 --data.batch_size=8"
SMALL = {
    "pgd/sweep": " --attacks.sweep.attack.init_args.steps=1 --attacks.sweep.attack.init_args.n_restarts=1",
    "ensemble": " --attacks.ensemble.steps=2 --attacks.ensemble.n_queries=10",
    "hopskipjump": " --attacks.hopskipjump.steps=1",
    "membership/hopskipjump": " --attacks.membership_hopskipjump.steps=1 --attacks.membership_hopskipjump.max_inputs=5",
    "masking": " --attacks.masking.attack.init_args.steps=1 --attacks.masking.square_queries=5",
    "membership/lira": " --attacks.lira.n_shadows=4 --attacks.lira.max_inputs=20",
    "membership": " --attacks.membership_noise.copies=2",
}
"""Config of a command → flags that make it take a moment."""


def made_small(told):
    if told.startswith("fit"):
        return told + ANYWHERE + " --trainer.max_epochs=1 --trainer.limit_train_batches=2 --trainer.limit_val_batches=1"
    small = "".join(SMALL.get(word.removesuffix(".yaml"), "") for word in told.split() if word.endswith(".yaml"))
    one = "".join(f" --attacks.{n}.steps=1" for n in ("pgd", "pgd_most", "pgd_least", "unbounded")) if " pgd.yaml" in told else ""
    return told + ANYWHERE + FEW + one + small


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("somebody's")


@pytest.mark.filterwarnings("ignore:.*HopSkipJump", "ignore:hopskipjump", "ignore:lira", "ignore:.*shadow")  # networks of two steps
@pytest.mark.parametrize("told", [pytest.param(t, marks=[pytest.mark.slow] * ("lira" in t)) for t in COMMANDS])
def test_a_command(told, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    if not (place / "runs").exists():
        assert robnas(made_small(FIT), capsys).status == 0
    for experiment in re.findall(r"runs/(\w+)/latest", told):  # whose own command may have been left out
        if not (place / "runs" / experiment).exists():
            fit = next(other for other in COMMANDS if other.startswith("fit") and f"--experiment={experiment}" in other)
            assert robnas(made_small(fit), capsys).status == 0
    said = robnas(made_small(told), capsys)
    assert said.status == 0, (told, said)


def test_the_python_of_the_page():
    pytest.importorskip("foolbox")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    x = images(4).float()
    names = {"model": model, "x": x, "y": model(x).argmax(1)}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "docs/attacks.md", "exec"), names)
    assert (names["result"].distance[names["result"].success] < inf).all()
    assert names["WhiteCorner"]().trigger(model, Digits()).size == (4, 4)


def test_every_config_of_an_attack_is_on_the_page():
    named = set(re.findall(r"`([\w/]+\.yaml)`", PAGE)) | set(re.findall(r"--config ([\w/]+\.yaml)", PAGE))
    shown = {name.partition("/")[0].removesuffix(".yaml") for name in named}
    attacks = {name for name, path in files.shipped().items() if re.search(r"^(attacks|defences):", path.read_text("utf-8"), re.MULTILINE)}
    assert {name.partition("/")[0].removesuffix(".yaml") for name in attacks} <= shown
    assert named <= set(files.shipped())
