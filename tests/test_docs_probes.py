"""docs/probes.md: its tables are made of the numbers that are kept, and what it names is there."""

import json
import re
import sys
from pathlib import Path

import pytest

from robnas.configuration import files

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import probe_cloud
import table_of_probes

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "probes.md").read_text("utf-8")
NUMBERS = REPOSITORY / "benchmarks" / "results" / "probes-digits.json"


def test_the_page_has_its_markers():
    assert PAGE.count(table_of_probes.BEGIN) == PAGE.count(table_of_probes.END) == 1


def test_configs_and_tools_that_are_named_are_there():
    for name in set(re.findall(r"\b([\w/]+\.yaml)", PAGE)):
        assert name in files.shipped(), name
    for name in set(re.findall(r"python (tools/\w+\.py)", PAGE)):
        assert (REPOSITORY / name).is_file(), name


def test_the_recipe_is_the_one_that_is_named():
    assert f"for {probe_cloud.EPOCHS} epochs" in PAGE


@pytest.mark.slow
def test_the_tables_of_the_page_are_made_of_the_numbers_that_are_kept():
    if not NUMBERS.is_file():
        pytest.skip("the tables were not made yet")
    kept = json.loads(NUMBERS.read_text())
    assert table_of_probes.tables(kept["runs"]) in PAGE
    assert (REPOSITORY / "docs" / "probes.svg").is_file()
    assert kept["flags"] == []
