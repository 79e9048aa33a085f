"""Re-wiring makes the paper's own variants of DARTS."""

import pytest

from robnas.errors import UserError
from robnas.space import published
from robnas.space.rewire import deepen, replace


def test_darts_deepened_is_darts_i():
    assert deepen(published.find("darts")) == published.find("darts_i")


def test_darts_without_skips_is_darts_ii_and_with_both_darts_iii():
    darts = published.find("darts")
    assert replace(darts, "skip_connect", "sibling") == published.find("darts_ii")
    assert replace(deepen(darts), "skip_connect", "sibling") == published.find("darts_iii")


@pytest.mark.parametrize("name", published.names())
def test_a_deepened_cell_is_a_chain(name):
    before, after = published.find(name), deepen(published.find(name), ("normal", "reduce"))
    for kind, cell in after.cells.items():
        assert cell.depth == max(cell.concat)  # nodes + 1 where the last node is an output
        assert cell.width == 1
        assert cell.skips == before.cells[kind].skips
        assert cell.concat == before.cells[kind].concat


def test_only_the_cells_asked_for_change():
    enas = published.find("enas")
    changed = replace(enas, "skip_connect", "sep_conv_3x3")
    assert changed.normal.skips == 0
    assert changed.reduce is enas.reduce
    assert replace(enas, "avg_pool_3x3", "zero", ("reduce",)).normal is enas.normal


def test_wrong_operations():
    snas = published.find("snas")
    with pytest.raises(UserError, match="'skip_connect'"):
        replace(snas, "skip_conect", "sep_conv_3x3")
    with pytest.raises(UserError, match="'sep_conv_3x3'"):
        replace(snas, "skip_connect", "sep_conv3x3")
    with pytest.raises(UserError, match="node 4 has no edge but skip_connect"):
        replace(snas, "skip_connect", "sibling")
