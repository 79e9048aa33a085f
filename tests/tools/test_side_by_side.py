"""What the tables share: intervals by hand, a page between its markers, and how many seconds of a processor a job took."""

import sys
from pathlib import Path

import pytest

from robnas.errors import UserError
from robnas.statistics import student

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import side_by_side as tool


def test_a_number_and_its_interval():
    low, high = student([2.0, 3.0])
    assert tool.plus_minus([2.0, 3.0], 1) == f"2.5 ± {(high - low) / 2:.1f}" == "2.5 ± 6.4"
    assert tool.plus_minus([2.0], 1) == "2.0"
    assert tool.plus_minus([], 1) == tool.between([], 1) == "–"
    assert tool.between([99.0, 100.0], 1, most=100) == "99.5 [93.1, 100.0]"
    assert tool.between([1.0, 2.0], 1) == "1.5 [0.0, 7.9]"
    assert tool.between([1.0, 2.0], 1, least=-100) == "1.5 [-4.9, 7.9]"
    assert tool.between([99.0], 1, most=100) == "99.0"


def test_only_what_stands_between_the_markers_is_written(tmp_path):
    page, markers = tmp_path / "page.md", ("<!-- begin -->", "<!-- end -->")
    page.write_text("before\n\n<!-- begin -->\nold\n<!-- end -->\n\nafter\n")
    tool.write_between(page, "new", *markers)
    tool.write_between(page, "newer", *markers)
    assert page.read_text() == "before\n\n<!-- begin -->\n\nnewer\n\n<!-- end -->\n\nafter\n"
    tool.write_between(tmp_path / "none.md", "new", *markers)
    assert (tmp_path / "none.md").read_text() == "<!-- begin -->\n\nnew\n\n<!-- end -->\n"


def test_a_seed_that_is_named_twice_is_refused():
    tool.check_seeds([0, 1])
    with pytest.raises(UserError, match=r"--seeds: \[1, 1\] names a seed twice"):
        tool.check_seeds([1, 1])
