"""The example plug-in: small, complete, and found as any other once it is installed."""

import runpy
import tomllib
from pathlib import Path

import pytest

from robnas import plugins
from robnas.configuration.reading import read_file

FOLDER = Path(__file__).parents[1] / "plugins" / "robnas-fgsm"
PARTS = ("pyproject.toml", "robnas_fgsm.py", "fgsm.yaml")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As an editable install: the folder on the path, the entry points in a dist-info."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    info = tmp_path / "robnas_fgsm-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["robnas.attacks"]
    (info / "entry_points.txt").write_text("[robnas.attacks]\n" + "\n".join(f"{name} = {value}" for name, value in points.items()))
    for folder in (tmp_path, FOLDER):
        monkeypatch.syspath_prepend(str(folder))
    plugins.refresh()
    yield
    plugins.refresh()


def test_class_pyproject_and_config_are_under_40_lines():
    assert sum(len((FOLDER / part).read_text().splitlines()) for part in PARTS) < 40


def test_it_is_found_by_its_short_name(installed):
    block = read_file(FOLDER / "fgsm.yaml")["attacks"]["fgsm"]
    fgsm = plugins.find("robnas.attacks", block["class_path"])
    assert fgsm.distribution == "robnas-fgsm"
    assert fgsm.load().__name__ == "FGSM"
    assert fgsm.fault() == ""


def test_its_own_tests_pass(installed):
    tests = {name: value for name, value in runpy.run_path(str(FOLDER / "test_fgsm.py")).items() if name.startswith("test_")}
    assert tests
    for test in tests.values():
        test()
