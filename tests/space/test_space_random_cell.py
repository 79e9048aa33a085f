"""Random cells: uniform over the cells of their space, and what a cell of a space concatenates."""

from collections import Counter
from itertools import combinations, combinations_with_replacement, product
from random import Random

import pytest

from robnas.errors import UserError
from robnas.space.genotype import Cell, Edge
from robnas.space.percentile import random_cell, random_genotype, random_genotypes
from robnas.space.search_space import OPERATIONS, Space


def test_random_cells_are_uniform():
    cells = [g.normal for g in random_genotypes(4, 1000)]
    edges = [e for c in cells for edges in c.nodes for e in edges]
    share = {o: sum(e.operation == o for e in edges) / len(edges) for o in OPERATIONS}
    assert share.pop("zero") == 0
    assert all(abs(s - 1 / 9) < 0.016 for s in share.values())  # 8,000 draws: 0.0035 is one deviation
    pairs = [tuple(e.source for e in c.nodes[1]) for c in cells]
    assert set(pairs) == {(0, 1), (0, 2), (1, 2)}
    assert all(abs(pairs.count(p) / 1000 - 1 / 3) < 0.06 for p in set(pairs))  # 0.015 is one deviation


def test_a_random_genotype_depends_on_its_seed_and_number_alone():
    a = random_genotypes(4, 20)
    assert a == random_genotypes(4, 30)[:20]
    assert len(set(a)) == 20
    assert random_genotype(Space(), 0, 7) == a[7] != random_genotype(Space(), 1, 7)


def test_random_genotypes_obey_the_space():
    g = random_genotype(Space(operations=("skip_connect", "zero"), nodes=5, sources=3, concat=(4, 6)), 0)
    assert [len(edges) for edges in g.normal.nodes] == [2, 3, 3, 3, 3]
    assert g.normal.skips == 14
    assert g.reduce.concat == (4, 6)


def all_cells(space: Space) -> set[Cell]:
    """Every cell by enumeration."""
    operations = [o for o in space.operations if o != "zero"]
    choices = []
    for node in range(2, 2 + space.nodes):
        pairs = [Edge(o, s) for s in range(node) for o in operations]
        if space.repeats:
            choices.append(list(combinations_with_replacement(pairs, space.sources)))
        else:
            sets = combinations(pairs, min(space.sources, node))
            choices.append([edges for edges in sets if len({e.source for e in edges}) == len(edges)])
    return {Cell(nodes, space.outputs_of(nodes)) for nodes in product(*choices)}


@pytest.mark.parametrize("loose_ends", [False, True])
@pytest.mark.parametrize("repeats", [False, True])
def test_every_cell_is_as_likely_as_any_other(repeats, loose_ends):
    space = Space(("zero", "skip_connect", "sep_conv_3x3"), nodes=2, loose_ends=loose_ends, repeats=repeats)
    cells = all_cells(space)
    assert len(cells) == (10 * 21 if repeats else 4 * 12)  # multisets of 2 of 4 and of 6 pairs; 2 and 3 sets of two sources
    random, each = Random(0), 60
    found = Counter(random_cell(space, random) for _ in range(each * len(cells)))
    assert set(found) == cells
    chi_squared = sum((n - each) ** 2 / each for n in found.values())
    freedom = len(cells) - 1
    assert abs(chi_squared - freedom) < 4 * (2 * freedom) ** 0.5  # mean and deviation of χ²


def test_loose_ends_are_the_nodes_that_no_node_reads():
    nodes = ((Edge("skip_connect", 0),) * 2, (Edge("skip_connect", 2), Edge("max_pool_3x3", 1)), (Edge("skip_connect", 0),) * 2)
    assert Space(nodes=3, loose_ends=True).outputs_of(nodes) == (3, 4)
    assert Space(nodes=3, loose_ends=True).outputs == (2, 3, 4)  # a supernet holds them all
    assert Space(nodes=3).outputs_of(nodes) == (2, 3, 4)
    assert Space(nodes=3, concat=(4, 2)).outputs_of(nodes) == (4, 2)


def test_a_fixed_concatenation_and_loose_ends_contradict_each_other():
    with pytest.raises(UserError, match=r"concat: \[2, 3\], but with loose_ends the cell itself decides"):
        Space(concat=(2, 3), loose_ends=True)
