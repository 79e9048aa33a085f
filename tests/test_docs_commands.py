"""README.md and docs/: every command is understood by the real command line, and run by a test that is named here; all Python compiles."""

import ast
import importlib
import importlib.util
import re
import sys

import pytest

from command_line import words
from docs_commands import PAGES, REPOSITORY, Command, commands, understand
from docs_page import forgotten, installed, page
from robnas.errors import UserError
from robnas.scaffold import main

HOW_TO = "test_docs_how_to.py"
RUN_BY = {
    "README.md": "readme/test_readme_commands.py",
    "docs/add-a-data-set.md": HOW_TO,
    "docs/add-a-model.md": HOW_TO,
    "docs/add-a-probe.md": HOW_TO,
    "docs/add-a-searcher.md": "test_docs_add_a_searcher.py",
    "docs/add-an-attack.md": HOW_TO,
    "docs/attacks.md": "test_docs_attacks.py",
    "docs/backdoors.md": "test_docs_training.py",
    "docs/cells.md": "test_docs_searching.py",
    "docs/mitigations.md": "test_docs_searching.py",
    "docs/models.md": "test_docs_models.py",
    "docs/own-checkpoint.md": HOW_TO,
    "docs/poisoning.md": "test_docs_training.py",
    "docs/searchers.md": "test_docs_searching.py",
    "docs/stealing.md": "test_docs_training.py",
    "docs/studies.md": "test_docs_studies.py",
    "docs/transfer.md": "test_docs_searching.py",
}
"""Page → the test that runs its robnas commands, where they need GPUs or CIFAR10 with `--print_config`. All others are only read."""
ONLY_READ = {"docs/scaling.md": "GPUs, several nodes, a store; test_docs_scaling.py plays what can be played on one machine"}
FOUND = {name: list(commands(name, (REPOSITORY / name).read_text("utf-8"))) for name in PAGES}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of somebody's who has cloned the repository."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    for name in ("plugins", "tools"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    forgotten(tmp_path, path, modules)


def read(command, here):
    """What is wrong with the command, in words; None if nothing is."""
    told = words(command.text.replace("…", "") if command.inline else command.text)
    try:
        understand(told, here)
    except (UserError, SystemExit, AssertionError) as error:
        if command.inline and re.search(r" needs |are required", str(error)):  # half of a command, in a sentence
            return None
        return f"{command}\n    {error}"
    if told[:2] == ["robnas", "new"] and not command.inline:  # the page goes on with what it writes
        main(told[2:])
    if told[:3] == ["pip", "install", "-e"] and not told[3].startswith("."):
        installed(here / told[3], here / "site" / told[3].replace("/", "-"))
    return None


@pytest.mark.parametrize("name", [name for name in PAGES if FOUND[name]])
def test_every_command_is_understood(name, here, capsys):
    page(f"../{name}").write(here)
    assert not [wrong for command in FOUND[name] if (wrong := read(command, here))]


def test_every_page_with_commands_says_which_test_runs_them():
    told = {name for name in PAGES if any(not c.inline and c.text.startswith("robnas ") for c in FOUND[name])}
    assert told == set(RUN_BY) | set(ONLY_READ)


@pytest.mark.parametrize("name", RUN_BY)
def test_the_test_of_a_page_has_all_of_its_commands(name):
    file = REPOSITORY / "tests" / RUN_BY[name]
    spec = importlib.util.spec_from_file_location(f"told_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    runs = module.COMMANDS if hasattr(module, "COMMANDS") else module.commands(name.removeprefix("docs/"))
    told = {command.text for command in FOUND[name] if not command.inline and command.text.startswith("robnas ")}
    assert told <= {f"robnas {run.removeprefix('robnas ')}" for run in runs}


@pytest.mark.parametrize("name", PAGES)
def test_python_compiles_and_what_it_imports_is_there(name, here):
    page(f"../{name}").write(here)
    text = (REPOSITORY / name).read_text("utf-8")
    for code in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        compile(code, name, "exec")
        sys.path[:0] = [str(folder) for folder in here.iterdir() if folder.is_dir()]  # packages that the page writes
        imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), name, "exec"), {})


WRONG = {
    "robnas fit --config classify.yaml --model.option.depth=3": "option",
    "robnas fit --config clasify.yaml": "clasify.yaml",
    "robnas attack runs/classify/latest --config pgd.yaml --attacks.pgd.epss=1": "epss",
    "robnas fit --config classify.yaml --trainer.max_epochs=many": "max_epochs",
    "robnas study quickstart.yaml --dry-runn": "--dry-runn",
    "robnas study quickstrat.yaml": "quickstrat.yaml",
    "robnas cell darts --deeper": "--deeper",
    "robnas teach": "teach",
    "pip install -e '.[rays]'": "rays",
    "torchrun --nodes=2 -m robnas fit --config darts_iii.yaml": "",
    "python tools/table_of_models.py --membres 0.5": "",
    "python tools/table_of_modles.py": "tools/table_of_modles.py",
    "make report": "make",
}
"""A command → a word of the complaint."""


@pytest.mark.parametrize("told", WRONG)
def test_a_command_that_is_wrong_is_found(told, here, capsys):
    assert WRONG[told] in read(Command("page.md", 1, told), here)


def test_commands_are_found_wherever_they_stand():
    text = "See `robnas list`.\n\n```console\n$ robnas a\nsaid\n```\n\n```yaml\nb: 1\n```\n\n```text\n$ robnas d\n```\n"
    text += "\n  ```bash\n  robnas e \\\n    --f  # why\n  # a remark\n  pip install -e . && robnas g\n  ```\n"
    found = [command.text for command in commands("page.md", text)]
    assert found == ["robnas list", "robnas a", "robnas d", "robnas e --f", "pip install -e .", "robnas g"]
