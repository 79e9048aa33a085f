"""`robnas new attack NAME`: an installable plug-in package to start from."""

import keyword
import re
from pathlib import Path

from robnas import plugins
from robnas.errors import UserError, require, unknown
from robnas.words import Parser

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "robnas-{dashed}"
version = "0.1.0"
dependencies = ["robnas"]

[project.entry-points."robnas.attacks"]
{name} = "robnas_{name}:{cls}"
"""

MODULE = '''\
"""{cls}: say here what the attack is and which paper it is from."""

from robnas.attacks.base import Evasion


class {cls}(Evasion):
    """One line that `robnas list` shows.

    Args:
        eps: radius ε of the L∞ ball, in pixels of [0, 1].
        step_size: of one step, same unit.
        steps: how many.
        goal: "untargeted", "most_likely" or "least_likely".
    """

    access = "white"  # or "score" or "label": then `victim` answers with scores or labels only

    def __init__(self, eps: float = 8 / 255, step_size: float = 2 / 255, steps: int = 7, goal: str = "untargeted") -> None:
        super().__init__(eps=eps, steps=steps, goal=goal)
        self.step_size = step_size

    def step(self, victim, s):
        """s.x_t → x_{{t+1}} of the inputs that still stand, [B, C, H, W] in [0, 1]; s.x are the clean ones."""
        logits, gradient = victim.logits_and_gradient(s.x_t, s.goal)
        s.leave(s.goal.reached(logits))
        return self.project(s.x_t + self.step_size * s.keep(gradient).sign(), s.x)
'''

CONFIG = """\
# robnas attack RUN… --config {name}.yaml
attacks:
  {name}: {{class_path: {name}, init_args: {{eps: 8/255}}}}
"""

TEST = """\
import pytest
import torch
from robnas.testing import attack_checks
from torch import nn

from robnas_{name} import {cls}


@pytest.mark.parametrize("check", attack_checks({cls}, steps=2), ids=str)
def test_keeps_the_rules_of_attacks(check):
    check()


def test_a_linear_model_breaks_exactly_when_its_margin_is_at_most_eps_times_the_l1_norm():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, -2.0, 3.0, -4.0]]))  # so ε = 0.1 moves the margin by 1
        model[1].bias.copy_(torch.tensor([0.0, 1.95]))
    x = torch.full((2, 1, 2, 2), 0.5)
    x[1, 0, 0, 0] = 0.6  # margins 0.95 and 1.05
    result = {cls}(eps=0.1, step_size=0.1, steps=1)(model, x, torch.tensor([1, 1]))
    assert result.success.tolist() == [True, False]
"""

MEMBERSHIP_MODULE = '''\
"""{cls}: say here what the attack is and which paper it is from."""

from robnas.attacks.membership.base import Membership


class {cls}(Membership):
    """One line that `robnas list` shows.

    Args:
        temperature: of the softmax whose largest probability is the score.
        max_inputs: members that are asked about, and as many non-members.
    """

    access = "score"  # or "label" or "white": then `victim` answers with labels only, or also with gradients

    def __init__(self, temperature: float = 1.0, max_inputs: int | None = 1000) -> None:
        super().__init__(max_inputs=max_inputs)
        self.temperature = temperature

    def score(self, victim, s):
        """[B] higher: more likely a member. s.x: [B, C, H, W] in [0, 1], s.y: [B] labels."""
        logits = victim.scores(s.x).log()
        return (logits / self.temperature).softmax(1).amax(1)
'''

MEMBERSHIP_CONFIG = """\
# robnas attack RUN… --config {name}.yaml
attacks:
  {name}: {{class_path: {name}, init_args: {{temperature: 2.0}}}}
"""

MEMBERSHIP_TEST = """\
import pytest
import torch
from robnas.testing import attack_checks
from torch import nn

from robnas_{name} import {cls}


@pytest.mark.parametrize("check", attack_checks({cls}), ids=str)
def test_keeps_the_rules_of_attacks(check):
    check()


def test_the_score_of_a_linear_model_by_hand():
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0], [4.0]]))
        model[1].bias.zero_()
    x = torch.tensor([0.0, 0.5]).view(2, 1, 1, 1)  # logits lead by 0 and 2
    expected = torch.sigmoid(torch.tensor([0.0, 2.0]) / 2)
    assert torch.allclose({cls}(temperature=2.0)(model, x).score, expected)
"""

KINDS = ("attack",)
SHAPES = {"evasion": (MODULE, CONFIG, TEST), "membership": (MEMBERSHIP_MODULE, MEMBERSHIP_CONFIG, MEMBERSHIP_TEST)}


def main(words: list[str]) -> None:
    """`robnas new attack NAME [--shape evasion|membership] [--out DIR]`. Raises UserError."""
    parser = Parser("robnas new", description="A plug-in package to start from: class, pyproject, config and test.")
    parser.add_argument("kind", metavar="attack", help="what the plug-in adds")
    parser.add_argument("name", metavar="NAME", help="its short name in configs, such as my_attack")
    parser.add_argument("--shape", default="evasion", metavar="SHAPE", help="evasion (an image is moved) or membership (a score per input)")
    parser.add_argument("--out", default=".", metavar="DIR", help="where the package's folder is made (the current folder)")
    options = parser.parse_args(words)
    if options.kind not in KINDS:
        raise unknown("kind of plug-in", options.kind, KINDS)
    folder = attack(options.name, Path(options.out), options.shape)
    name = options.name
    print(f"{folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")
    print(f"next: pip install -e {folder} && robnas list attacks && robnas attack RUN --config {folder / name}.yaml")


def attack(name: str, out: Path = Path(), shape: str = "evasion") -> Path:
    """Writes the package `robnas-<name>` into `out` and returns its folder.

    Raises:
        UserError: a name that cannot name a module or is taken, an unknown shape, or a folder that is there already.
    """
    if shape not in SHAPES:
        raise unknown("shape", shape, SHAPES)
    valid = re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None and not keyword.iskeyword(name)
    require(valid, f"NAME: {name!r} is no name for a module: small letters, digits and _ are, such as 'my_attack'")
    if (taken := plugins.available("robnas.attacks").get(name)) is not None:
        raise UserError(f"NAME: the attack {name!r} exists already, in {taken.provider}")
    dashed = name.replace("_", "-").strip("-")
    folder = out / f"robnas-{dashed}"
    if folder.exists():
        raise UserError(f"{folder} exists already; nothing is overwritten")
    values = {"name": name, "dashed": dashed, "cls": "".join(part.capitalize() for part in name.split("_"))}
    folder.mkdir(parents=True)
    module, config, test = SHAPES[shape]
    for file, text in {
        "pyproject.toml": PYPROJECT,
        f"robnas_{name}.py": module,
        f"{name}.yaml": config,
        f"test_{name}.py": test,
    }.items():
        (folder / file).write_text(text.format(**values), encoding="utf-8")
    return folder
