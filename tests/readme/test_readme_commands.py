"""Every command of the README, in its order, at a size that takes a moment; and its Python."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from command_line import robnas

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line.partition("robnas ")[2] for kind, text in BLOCKS if not kind for line in text.splitlines() if "robnas " in line]
FIRST = next(number for number, command in enumerate(COMMANDS) if command.startswith("fit"))
"""Makes the run folders that the others are about; what stands before it is only looked at."""

ANYWHERE = " --wandb=off --trainer.accelerator=cpu"
QUICK = ANYWHERE + " --trainer.max_epochs=1 --trainer.limit_train_batches=1"

ONE_STEP = "".join(f" --attacks.{name}.steps=1" for name in ("pgd", "pgd_most", "pgd_least"))
PROBES = ("gradient_variance", "gradient_variance_own", "gradient_variance_kaiming", "contours")
SMALL = {
    "masking": ONE_STEP + " --attacks.masking.attack.init_args.steps=1 --attacks.masking.square_queries=5",
    "sweep": " --attacks.sweep.attack.init_args.steps=1 --attacks.sweep.attack.init_args.n_restarts=1",
    "ensemble": " --attacks.ensemble.steps=2 --attacks.ensemble.n_queries=10",
    "nes": "".join(f" --attacks.{name}.steps=1 --attacks.{name}.n_queries=2" for name in ("nes", "nes_most", "nes_least")),
    "hopskipjump": " --attacks.hopskipjump.steps=1",
    "membership": " --attacks.membership_noise.init_args.copies=2",
    "transfer": "".join(f" --attacks.{name}.init_args.attack.init_args.steps=1" for name in ("transfer", "transfer_least")),
}
"""Config of an attack → flags that make it take a moment."""


def made_small(command: str) -> str | None:
    """The command with flags that make it take a moment; None: it needs what is not here (GPUs, CIFAR10)."""
    verb = command.split()[0]
    if verb == "study":  # tests/study runs the first one, smaller
        return command if "--dry-run" in command else f"{command} --dry-run"
    if verb == "report":
        return command.replace("runs/quickstart", "runs").replace("runs/mitigation", "runs") + " --out=report"
    if verb == "fit" and "init_from" in command:
        return command + QUICK + " --attacks.trojannn.init_args.steps=1"
    if verb == "fit" and "digits" not in command and "photos" not in command:
        return f"{command} --print_config"
    if verb == "fit":
        size = " --model.options.layers=3 --model.options.init_channels=4" if "classify" in command else " --model.layers=3"
        return command + QUICK + (size if "=resnet" not in command else " --trainer.limit_val_batches=1")
    if verb == "probe":
        few = "".join(f" --probes.{name}.init_args.n_samples=16" for name in PROBES)
        return command + ANYWHERE + few + " --probes.contours.init_args.points=3"
    if verb == "attack":
        insist = " --model.insist=true" if "own_model" in command else ""  # of random weights
        few = " --trainer.limit_test_batches=1 --data.batch_size=8"
        for config, small in SMALL.items():
            if f"/{config}.yaml" in command or f" {config}.yaml" in command:
                return command + ANYWHERE + few + small
        return command + ANYWHERE + insist + ONE_STEP
    return command


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a new user")
    noise = np.random.default_rng(0)
    for i in range(60):
        path = folder / "photos" / f"class {i % 3}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    layers = "torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))"
    (folder / "net.py").write_text(f"import torch\n\n\ndef Net():\n    return {layers}\n")
    save_file({"2.weight": torch.ones(3, 3), "2.bias": torch.zeros(3)}, folder / "net.safetensors")
    return folder


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.chdir(place)


def test_the_first_commands_are_the_ones_that_were_promised():
    first, second, third = [text.splitlines() for kind, text in BLOCKS if not kind][:3]
    assert first == ["pip install -e . && robnas study quickstart.yaml"]
    assert second == ["pip install -e '.[test]' && pytest -n 2 --dist loadfile"]
    assert third[0] == "robnas fit --config darts_iii.yaml --config digits.yaml"
    assert len(third) == 4


@pytest.mark.filterwarnings("ignore:.*HopSkipJump", "ignore:hopskipjump")  # a network of one training step may know one class only
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_a_command(number, place, capsys):
    if number > FIRST and not (place / "runs").exists():
        pytest.skip("the commands before it were not run")
    said = robnas(made_small(COMMANDS[number]), capsys)
    assert said.status == 0, (COMMANDS[number], said)
    if COMMANDS[number].startswith("list runs"):
        assert "accuracy" in said.out
        assert "ASR of pgd" in said.out


def test_the_notebook(place):
    (code,) = [text for kind, text in BLOCKS if kind == "python" and "robnas.load" in text]
    if not (place / "runs").exists():
        pytest.skip("the commands before it were not run")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["result"].x_adv.shape == names["x"].shape


def test_the_plugin_shown_is_the_plugin_that_is_there():
    (code,) = [text for kind, text in BLOCKS if kind == "python" and "FGSM" in text]
    assert code.strip() in (REPOSITORY / "plugins/robnas-fgsm/robnas_fgsm.py").read_text("utf-8")


def test_what_the_readme_points_to_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target
