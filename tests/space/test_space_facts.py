"""What is said of a cell without training it, by hand; and where it stands among random ones."""

import pytest

from robnas.errors import UserError
from robnas.space import published
from robnas.space.facts import CELL_FACTS, PASSED, describe, passed, ranked
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.percentile import random_genotypes
from robnas.tasks import chronicle

NETWORK = {"layers": 5, "init_channels": 10, "image_size": 16, "num_classes": 10}


def test_convolutions_are_what_has_a_kernel_and_density_counts_pairs_of_nodes_once():
    cell = Cell(
        (
            (Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),
            (Edge("conv_7x1_1x7", 2), Edge("dil_conv_5x5", 2)),  # one pair, twice
            (Edge("zero", 0), Edge("max_pool_3x3", 3)),  # zero connects nothing
        ),
        (4,),
    )
    assert cell.convolutions == 3
    assert cell.density == pytest.approx((2 + 1 + 1) / (2 + 3 + 4))


def test_every_random_cell_of_darts_s_space_is_equally_dense():
    assert {g.normal.density for g in random_genotypes(4, 50)} == {8 / 14}
    assert ranked(published.find("darts"), "normal")["percentile"]["density"] == 50
    assert ranked(published.find("darts_i"), "normal")["density"] == 5 / 14  # node 2 reads two, the others one


def test_the_mitigations_change_what_they_say():
    cells = {name: published.find(name).normal for name in ("darts", "darts_i", "darts_ii", "darts_iii")}
    assert {name: (c.depth, c.width, c.skips, c.convolutions) for name, c in cells.items()} == {
        "darts": (3, 3, 2, 6),
        "darts_i": (5, 1, 2, 6),
        "darts_ii": (3, 3, 0, 8),
        "darts_iii": (5, 1, 0, 8),
    }


def test_equal_cells_have_equal_facts_whatever_their_order():
    a = Genotype(*(Cell(((Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),), (2,)),) * 2)
    b = Genotype(*(Cell(((Edge("skip_connect", 1), Edge("sep_conv_3x3", 0)),), (2,)),) * 2)
    assert describe(a, NETWORK) == describe(b, NETWORK)
    assert set(describe(a, NETWORK)["normal"]) == {*CELL_FACTS, "percentile"}


def test_the_file_of_a_search_is_read_by_its_name_or_its_folder(tmp_path):
    log = chronicle.Chronicle()
    log.genotypes = {0: published.find("enas").to_dict(), 3: published.find("darts").to_dict()}
    log.write(tmp_path)
    there = {0: published.find("enas"), 3: published.find("darts")}
    assert passed(tmp_path) == passed(tmp_path / PASSED) == there


@pytest.mark.parametrize("content", ["[]", '{"epoch": 0}', '{"epoch": 0, "genotype": {}}', "no json"])
def test_what_is_no_list_of_genotypes_is_a_line(tmp_path, content):
    (tmp_path / PASSED).write_text(content + "\n")
    with pytest.raises(UserError, match="no list of genotypes"):
        passed(tmp_path)
