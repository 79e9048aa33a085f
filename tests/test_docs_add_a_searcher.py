"""docs/add-a-searcher.md: its code is the package's, its commands run, and the penalty is what it says on a real supernet and on ranks."""

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from command_line import robnas
from ranks import run_on_ranks
from robnas import collectives, plugins
from robnas.results import Rows
from robnas.space.search_space import Space
from robnas.space.supernet import Supernet

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "plugins" / "robnas-smooth"
PAGE = (REPOSITORY / "docs" / "add-a-searcher.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line.removeprefix("robnas ") for kind, text in BLOCKS if not kind for line in text.splitlines() if line.startswith("robnas ")]
SMALL = " --wandb=off --trainer.accelerator=cpu --trainer.max_epochs=1 --trainer.limit_train_batches=1"
SPACE = Space(operations=("zero", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "conv_7x1_1x7"), nodes=2)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """As an editable install: the folder on the path, the entry points in a dist-info."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    site = tmp_path_factory.mktemp("site")
    info = site / f"robnas_smooth-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["robnas.searchers"]
    (info / "entry_points.txt").write_text("[robnas.searchers]\n" + "\n".join(f"{name} = {value}" for name, value in points.items()))
    before = list(sys.path)
    sys.path[:0] = [str(site), str(FOLDER)]
    plugins.refresh()
    yield
    sys.path[:] = before
    plugins.refresh()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("somebody's")
    shutil.copytree(FOLDER, folder / "plugins" / "robnas-smooth", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("file", ["robnas_smooth.py", "pyproject.toml", "smooth.yaml", "test_smooth.py"])
def test_the_page_shows_the_package_word_for_word(file):
    assert (FOLDER / file).read_text("utf-8") in [text for _, text in BLOCKS]


def test_the_page_names_files_that_are_there():
    for name in re.findall(r"`(search/\w+\.py)`", PAGE):
        assert (REPOSITORY / "src" / "robnas" / name).is_file(), name


def test_there_are_commands():
    assert [command.split()[0] for command in COMMANDS] == ["list", "fit", "fit", "attack"]


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_a_command_of_the_page(number, installed, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    command = COMMANDS[number]
    if command.startswith("fit"):
        size = " --model.options.layers=3 --model.options.init_channels=4" if "classify" in command else " --model.layers=3"
        command += SMALL + size
    if command.startswith("attack"):
        command += " --wandb=off --trainer.accelerator=cpu" + "".join(f" --attacks.{n}.steps=1" for n in ("pgd", "pgd_most", "pgd_least"))
    said = robnas(command, capsys)
    assert said.status == 0, said
    if command.startswith("list"):
        assert re.search(r"^ *smooth +DARTS whose architecture pays .*robnas-smooth", said.out, re.MULTILINE)
    if "smooth.yaml" in command:
        row = Rows(place / "runs" / "smooth" / "latest" / "results.jsonl").read()[0]
        assert (row.kind, row.plugin, row.params["penalty"], row.params["gamma"]) == ("search", "smooth", 0.01, 1.0)


def test_further_arguments_reach_the_relaxed_searcher_by_their_address(installed, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    said = robnas(f"fit --config {FOLDER / 'smooth.yaml'} --model.searcher.penalty=0.1 --model.searcher.gamma=0.5 --print_config", capsys)
    assert said.status == 0, said
    assert "penalty: 0.1" in said.out
    assert "gamma: 0.5" in said.out


# On a real supernet, float64


def _smooth(rank: int = 0, ranks: int = 1) -> torch.Tensor:
    """∇α of the loss on this rank's share of six inputs, meaned over ranks."""
    searcher, logits, x, y = _problem()
    share = slice(6 * rank // ranks, 6 * (rank + 1) // ranks)
    loss = searcher.loss(logits, x[share], y[share])
    gradient = list(torch.autograd.grad(loss, list(searcher.parameters())))
    collectives.mean_(gradient)
    return torch.cat([g.flatten() for g in gradient])


def _problem():
    from robnas_smooth import Smooth

    torch.manual_seed(0)
    network = Supernet(SPACE, layers=3, init_channels=2, num_classes=3, across_ranks=True).double()
    searcher = Smooth(penalty=3.0, init_scale=1.0).double()
    searcher.build(SPACE, 0)
    searcher.double()
    x, y = torch.rand(6, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    return searcher, lambda x: network(x, searcher.mixture()), x, y


def test_the_penalty_of_a_supernet_has_the_gradient_that_finite_differences_have(installed):
    searcher, logits, x, y = _problem()
    exact = _smooth()
    direction = torch.randn(len(exact), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for a, d in zip(searcher.parameters(), direction.split([a.numel() for a in searcher.parameters()]), strict=True):
                a += sign * 1e-5 * d.view_as(a) * (1 if sign == 1 else 2)
        values.append(searcher.loss(logits, x, y).detach())
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(exact @ direction), rel=1e-5)
    searcher.penalty = 0.0
    without = torch.cat([g.flatten() for g in torch.autograd.grad(searcher.loss(logits, x, y), list(searcher.parameters()))])
    assert (exact - without).norm() > 0.1 * without.norm()  # the penalty is felt


def test_two_ranks_equal_one_process(installed):
    one, ranks = _smooth(), run_on_ranks(_smooth, 2, 2)
    for rank in ranks:
        torch.testing.assert_close(rank, one, rtol=1e-10, atol=1e-12)
