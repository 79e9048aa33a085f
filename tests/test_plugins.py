"""Plug-ins of others: found, clashing, broken. Distributions are written into a folder as an installer would."""

import json

import pytest

from command_line import refused, robnas
from robnas import plugins
from robnas.errors import UserError

GROUP = "robnas.attacks"
GOOD = "class Good:\n    '''Does good.'''\n    def __init__(self, eps: float = 0.1): ...\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install("robnas-x", {"name": "module:Class"}, module="source")"""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def install(distribution: str, points: dict[str, str], group: str = GROUP, **modules: str) -> None:
        folder = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text("\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]))
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        plugins.refresh()

    yield install
    plugins.refresh()


def test_built_ins_are_declared_as_everybody_elses():
    assert {"pgd", "apgd"} <= set(plugins.names(GROUP))
    pgd = plugins.find(GROUP, "pgd")
    assert pgd.built_in
    assert pgd.class_path == "robnas.attacks.pgd.PGD"
    assert plugins.find(GROUP, "PGD") is plugins.find(GROUP, "pgd")


def test_a_plugin_is_found_by_short_name_and_class_name(install):
    install("robnas-good", {"goodness": "good_module:Good"}, good_module=GOOD)
    assert plugins.find(GROUP, "goodness").provider == "robnas-good 1.2"
    assert plugins.load(GROUP, "Good") is plugins.load(GROUP, "GOODNESS")
    with pytest.raises(UserError, match=r"unknown attack 'godness'. Did you mean 'goodness'\? Known: apgd, .*goodness"):
        plugins.find(GROUP, "godness")


BROKEN = {
    "imports": ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name' (imports.py, line 1)"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3 (exits.py, line 1)"),
    "grammar": ("class (", "SyntaxError: "),
    "lacks": ("x = 1", "AttributeError: module 'lacks' has no attribute 'Good'"),
    "divides": ("1 / 0", "ZeroDivisionError: division by zero (divides.py, line 1)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_its_error_and_harms_nothing(install, name, capsys):
    text, error = BROKEN[name]
    install("robnas-broken", {name: f"{name}:Good"}, **{name: text})
    listed = {entry["name"]: entry for entry in json.loads(robnas("list attacks --json --check", capsys).out)}
    assert listed[name]["error"].startswith(error)
    assert listed["pgd"]["error"] == ""
    assert error in robnas("list attacks --check", capsys).out
    assert "error" not in robnas("list attacks --json", capsys).out.replace('"error": ""', "")
    assert robnas("attack --config classify --config digits --config pgd --print_config", capsys).status == 0
    line = refused(f"attack --config classify --config digits --attacks.x={name}", capsys)
    assert f"attack {name!r} of robnas-broken 1.2 cannot be used: {error}" in line


def test_a_value_that_is_no_entry_point_is_said_without_importing(install, capsys):
    install("robnas-broken", {"odd": "not a module", "worse": "x:"})
    listed = {entry["name"]: entry["error"] for entry in json.loads(robnas("list attacks --json", capsys).out)}
    assert listed["odd"] == "'not a module' is not of the form 'module:Class'"
    assert listed["worse"]


def test_nobody_can_take_a_name_of_robnas(install, capsys):
    install("aaa-first-in-the-alphabet", {"pgd": "good_module:Good"}, good_module=GOOD)
    assert plugins.find(GROUP, "pgd").built_in
    clash = [entry for entry in json.loads(robnas("list attacks --json", capsys).out) if entry["name"] == "pgd"]
    assert [bool(entry["error"]) for entry in clash] == [False, True]
    assert clash[1]["error"] == "the name 'pgd' is already that of robnas.attacks.pgd:PGD of robnas " + plugins.find(GROUP, "pgd").version


def test_of_two_strangers_the_first_by_name_keeps_it(install):
    install("robnas-b", {"same": "b_module:Good"}, b_module=GOOD)
    install("robnas-a", {"same": "a_module:Good"}, a_module=GOOD)
    assert plugins.find(GROUP, "same").distribution == "robnas-a"
    assert [bool(plugin.broken) for plugin in plugins.declared(GROUP) if plugin.name == "same"] == [False, True]


def test_a_class_in_the_current_folder_never_shadows_a_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "difflib.py").write_text("class SequenceMatcher: ...")
    (tmp_path / "a_class_of_mine.py").write_text("class Mine: ...")
    assert plugins.resolve("a_class_of_mine.Mine").__name__ == "Mine"
    assert plugins.resolve("difflib.SequenceMatcher").__doc__


def test_a_digest_of_the_source_changes_with_it(install, tmp_path):
    from robnas.source import source_digest

    install("robnas-good", {}, digested_module=GOOD)
    before = source_digest("digested_module")
    assert before == source_digest("digested_module")
    (tmp_path / "digested_module.py").write_text(GOOD + "\n")
    assert source_digest("digested_module") != before
    assert source_digest("robnas.attacks.pgd") is None
