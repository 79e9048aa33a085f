"""Table 3: nine rows as printed in depth and width, two differences in skip connects, each with its reason; docs/cells.md has it."""

import re
import sys
from pathlib import Path

import pytest

from command_line import robnas
from robnas.space import published
from robnas.space.facts import PASSED

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_cells as tool

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "cells.md"
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
COMMANDS = [line.removeprefix("robnas ") for text in BLOCKS for line in text.splitlines() if line.startswith("robnas ")]


def words(picture: Path) -> list[str]:
    """Every text of an SVG: releases of matplotlib may place it elsewhere."""
    return re.findall(r"<!-- (.*?) -->", picture.read_text("utf-8"))


def test_nine_rows_differ_twice_and_only_in_skip_connects():
    assert len(tool.PRINTED) == 9
    assert tool.differences() == list(tool.WHY) == ["darts", "nasnet"]
    for name, (depth, width, skips) in tool.PRINTED.items():
        cell = published.find(name).normal
        assert (cell.depth, cell.width) == (depth, width)
        assert (cell.skips == skips) == (name not in tool.WHY)


def test_the_reasons_are_true():
    assert published.find("darts").normal.skips == 2
    assert published.find("darts_v1").normal.skips == published.find("darts").reduce.skips == 3
    assert (published.find("nasnet").normal.skips, published.find("nasnet").reduce.skips) == (2, 1)


@pytest.mark.parametrize(("name", "facts"), [("darts_i", (5, 1, 2)), ("darts_ii", (3, 3, 0)), ("darts_iii", (5, 1, 0))])
def test_the_mitigations(name, facts):
    cell = published.find(name).normal
    assert (cell.depth, cell.width, cell.skips) == facts


def test_the_page_has_the_tables():
    text = PAGE.read_text("utf-8")
    assert text.count(tool.BEGIN) == text.count(tool.END) == 1
    assert tool.tables() in text
    assert "9 of 9 rows, skip connects in 7" in tool.tables()


@pytest.mark.slow
def test_the_pictures_are_those_of_today(tmp_path):
    text = PAGE.read_text("utf-8")
    assert tool.main(["--out", str(tmp_path / "cells.md")]) == 0
    for name in ("cells.svg", "cells-darts.svg"):
        assert f"]({name})" in text
        assert words(tmp_path / name) == words(PAGE.parent / name)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("cell")])
def test_the_commands_about_cells_run(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / PASSED).write_text(f'{{"epoch": 0, "genotype": {published.find("darts").to_dict()}}}\n'.replace("'", '"'))
    said = robnas(command.replace("RUN", str(tmp_path)), capsys)
    assert said.status == 0, said.err
    assert "density" in said.out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("fit") and "ntk" not in command])
def test_the_configs_that_the_page_names_parse(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert robnas(f"{command} --print_config", capsys).status == 0
