"""docs/searchers.md: every searcher has its section, and what the page names is there."""

import re
from pathlib import Path

import pytest

from robnas import plugins
from robnas.configuration import files
from robnas.configuration.reading import read_file

PAGE = (Path(__file__).parents[1] / "docs" / "searchers.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### (\S+)\n\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
BUILT_IN = [plugin for plugin in plugins.declared("robnas.searchers") if plugin.built_in]


@pytest.mark.parametrize("plugin", BUILT_IN, ids=lambda plugin: plugin.name)
def test_every_searcher_has_a_section_whose_config_runs_it(plugin):
    section = next(text for title, text in SECTIONS.items() if title.replace("-", "").lower() == plugin.class_name.lower())
    config = section.split("`")[1]
    assert config == f"{plugin.name}.yaml"
    assert read_file(files.shipped()[config])["model"]["init_args"]["searcher"]["class_path"] == plugin.name


def test_there_are_ten_and_no_others():
    assert len(SECTIONS) == len(BUILT_IN) == 10


def test_configs_that_are_named_are_shipped():
    for name in set(re.findall(r"`([\w/]+\.yaml)`", PAGE)):
        assert name in files.shipped(), name


def test_evaluators_that_are_named_are_there():
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) == set(plugins.names("robnas.evaluators"))
