"""Discretisation by hand, and against the rule of the published DARTS code written out plainly."""

import pytest
import torch

from robnas.errors import UserError
from robnas.search.derive import top_two_edges
from robnas.space.genotype import Edge
from robnas.space.search_space import Space

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)  # edges: 2←0, 2←1, 3←0, 3←1, 3←2


def derive(rows, space=SPACE):
    weights = torch.tensor(rows)
    return top_two_edges(space, {"normal": weights, "reduce": weights}).normal


def test_each_node_keeps_its_two_strongest_edges_from_strong_to_weak():
    cell = derive([[0.0, 0.6, 0.4], [0.0, 0.2, 0.8], [0.0, 0.3, 0.2], [0.1, 0.1, 0.5], [0.2, 0.4, 0.1]])
    assert cell.nodes == ((Edge("sep_conv_3x3", 1), Edge("skip_connect", 0)), (Edge("sep_conv_3x3", 1), Edge("skip_connect", 2)))
    assert cell.concat == (2, 3)


def test_zero_neither_wins_an_edge_nor_makes_it_strong():
    cell = derive([[0.9, 0.04, 0.06], [0.98, 0.015, 0.005], [0.8, 0.1, 0.1], [0.1, 0.3, 0.2], [0.1, 0.2, 0.1]])
    assert cell.nodes[0] == (Edge("sep_conv_3x3", 0), Edge("skip_connect", 1))
    assert cell.nodes[1] == (Edge("skip_connect", 1), Edge("skip_connect", 2))


def test_ties_go_to_the_earlier_source_and_the_earlier_operation():
    cell = derive([[1.0, 1.0, 1.0]] * 5)
    assert cell.nodes == ((Edge("skip_connect", 0), Edge("skip_connect", 1)),) * 2


def test_a_space_of_one_source_keeps_one():
    space = Space(operations=SPACE.operations, nodes=2, sources=1, concat=(3,))
    cell = derive([[0.0, 0.6, 0.4], [0.0, 0.2, 0.8], [0.0, 0.3, 0.2], [0.1, 0.1, 0.5], [0.2, 0.4, 0.1]], space)
    assert cell.nodes == ((Edge("sep_conv_3x3", 1),), (Edge("sep_conv_3x3", 1),))
    assert cell.concat == (3,)


def test_where_sources_repeat_a_node_keeps_its_strongest_pairs_of_operation_and_source():
    space = Space(operations=SPACE.operations, nodes=2, repeats=True)
    cell = derive([[0.9, 0.6, 0.7], [0.0, 0.2, 0.5], [0.9, 0.2, 0.3], [0.9, 0.3, 0.1], [0.9, 0.4, 0.1]], space)
    assert cell.nodes == ((Edge("sep_conv_3x3", 0), Edge("skip_connect", 0)), (Edge("skip_connect", 2), Edge("sep_conv_3x3", 0)))
    assert cell.nodes[1][1] == Edge("sep_conv_3x3", 0)  # 0.3 twice: the earlier source


def test_loose_ends_are_concatenated():
    space = Space(operations=SPACE.operations, nodes=2, loose_ends=True)
    rows = [[0.0, 0.6, 0.4], [0.0, 0.2, 0.8], [0.0, 0.3, 0.2], [0.1, 0.1, 0.5], [0.2, 0.4, 0.1]]
    assert derive(rows, space).concat == (3,)  # node 3 reads node 2
    assert derive([*rows[:4], [0.2, 0.1, 0.1]], space).concat == (2, 3)


def published_rule(space, weights):
    """Liu et al.'s derivation: edges of node i sorted by −max over non-zero operations, two kept; argmax by strict comparison."""
    none, nodes, start = space.operations.index("zero"), [], 0
    for i in range(space.nodes):
        rows = weights[start : start + i + 2]
        start += i + 2
        candidates = [k for k in range(len(space.operations)) if k != none]
        kept = sorted(range(i + 2), key=lambda j: -max(rows[j][k] for k in candidates))[:2]
        node = []
        for j in kept:
            best = None
            for k in candidates:
                if best is None or rows[j][k] > rows[j][best]:
                    best = k
            node.append(Edge(space.operations[best], j))
        nodes.append(tuple(node))
    return tuple(nodes)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_published_rule_ties_and_all(seed):
    space = Space()
    weights = torch.randint(0, 4, (len(space.edges), len(space.operations)), generator=torch.Generator().manual_seed(seed)).double()
    assert top_two_edges(space, {"normal": weights, "reduce": weights}).reduce.nodes == published_rule(space, weights.tolist())


def test_zeros_alone_are_no_cell():
    with pytest.raises(UserError, match="zero"):
        derive([[1.0]] * 5, Space(operations=("zero",), nodes=2))
