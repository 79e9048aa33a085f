"""P-DARTS: what survives a stage, what starts anew, dropout's decay and the limit of skip connects, by hand."""

import pytest
import torch

from robnas.errors import UserError
from robnas.search.base import Relaxed
from robnas.search.derive import top_two_edges
from robnas.search.pdarts import PDARTS, with_few_skips
from robnas.space.genotype import Edge
from robnas.space.search_space import Space

SPACE = Space(operations=("zero", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"), nodes=1)  # two edges
T, F = True, False


def pdarts(space: Space = SPACE, **arguments) -> PDARTS:
    searcher = PDARTS(**{"keep": (4, 3), **arguments})
    searcher.build(space, seed=0)
    return searcher


def set_alpha(searcher: PDARTS, rows: list[list[float]]) -> None:
    for alpha in searcher.alpha.values():
        alpha.data = torch.tensor(rows, dtype=torch.float64)


def test_the_least_likely_operations_are_dropped_stage_by_stage():
    searcher = pdarts()
    searcher.epoch_start(0, 9)
    assert searcher.alive == {}
    set_alpha(searcher, [[0.1, 0.5, 0.3, 0.2, 0.4], [1.0, -2.0, 0.0, -1.0, 3.0]])  # the first edge loses zero, the other one its pool
    searcher.epoch_start(3, 9)
    for kind in ("normal", "reduce"):
        assert searcher.alive[kind].tolist() == [[F, T, T, T, T], [T, F, T, T, T]]
    # What was dropped does not come back, however large its α. The first edge loses the 5×5 convolution, the other one the skip connect.
    set_alpha(searcher, [[9.0, 0.5, 0.3, 0.2, 0.1], [1.0, 9.0, 0.0, 0.5, 3.0]])
    searcher.epoch_start(6, 9)
    assert searcher.alive["normal"].tolist() == [[F, T, T, T, F], [T, F, F, T, T]]
    weights = searcher.mixture().weights["normal"]
    assert weights[~searcher.alive["normal"]].count_nonzero() == 0
    assert weights.sum(-1).tolist() == pytest.approx([1, 1])


def test_six_and_four_of_the_ten_operations_are_left():
    searcher = PDARTS()
    searcher.build(Space(), 0)
    left = []
    for epoch in range(75):
        searcher.epoch_start(epoch, 75)
        left.append(searcher.alive["normal"].sum(-1).unique().tolist() if searcher.alive else [10])
    assert left == [[10]] * 25 + [[6]] * 25 + [[4]] * 25


def test_the_paper_s_depths():
    """5, 11 and 17 cells (§3.2.1)."""
    stages = [PDARTS().stage(epoch, 75) for epoch in (0, 25, 50)]
    assert [5 + s.layers for s in stages] == [5, 11, 17]
    assert [(s.number, s.first, s.epochs, s.partial, s.fresh) for s in stages] == [(0, 0, 25, 1, T), (1, 25, 25, 1, T), (2, 50, 25, 1, T)]


def test_alpha_starts_anew_in_every_stage_as_the_seed_says():
    def starts(seed: int, steps: int) -> list[torch.Tensor]:
        searcher = PDARTS(init_scale=0.5)
        searcher.build(Space(), seed)
        parameters = dict(searcher.alpha)
        found = []
        for epoch in (0, 25, 50):
            searcher.step += steps  # no matter: a run that goes on does not know it yet where a stage begins
            searcher.epoch_start(epoch, 75)
            found += [a.detach().clone() for a in searcher.alpha.values()]
            for alpha in searcher.alpha.values():
                alpha.data += 1
        assert all(searcher.alpha[kind] is parameters[kind] for kind in parameters)  # the same parameters, other numbers
        return found

    one, again, other = starts(1, 7), starts(1, 9), starts(2, 7)
    for i, alpha in enumerate(one):
        assert torch.equal(alpha, again[i])
        assert (alpha != other[i]).all()
        assert alpha.std() == pytest.approx(0.5, rel=0.2)
        assert abs(alpha.mean()) < 0.25
        assert all((alpha != b).all() for b in one[:i])


def test_an_epoch_within_a_stage_changes_nothing_but_dropout():
    searcher = pdarts()
    searcher.epoch_start(3, 9)
    alive, alpha = searcher.alive, searcher.alpha["normal"].detach().clone()
    searcher.epoch_start(4, 9)
    assert searcher.alive is alive
    assert torch.equal(searcher.alpha["normal"], alpha)


def test_dropout_falls_on_a_line_within_each_stage():
    searcher, rates = pdarts(), []
    for epoch in range(9):
        searcher.epoch_start(epoch, 9)
        rates.append(searcher.mixture().dropout)
        assert searcher.figures()["skip_dropout"] == rates[-1]
    assert rates == pytest.approx([0, 0, 0, 0.4, 0.4 * 2 / 3, 0.4 / 3, 0.7, 0.7 * 2 / 3, 0.7 / 3])


# α of one node with the sources 0, 1 and of a second one with 0, 1, 2; the operations are zero, skip connect, two convolutions
NODES = Space(operations=("zero", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"), nodes=2)
WEIGHTS = torch.tensor(
    [
        [0.0, 0.50, 0.30, 0.20],  # 0 → 2
        [0.0, 0.60, 0.15, 0.25],  # 1 → 2
        [0.0, 0.70, 0.20, 0.10],  # 0 → 3
        [0.0, 0.40, 0.35, 0.25],  # 1 → 3
        [0.9, 0.05, 0.04, 0.01],  # 2 → 3: zero is the strongest, but no choice
    ],
    dtype=torch.float64,
)
SKIP, CONV3, CONV5 = "skip_connect", "sep_conv_3x3", "sep_conv_5x5"


@pytest.mark.parametrize(
    ("most", "cell"),
    [
        (4, [{(SKIP, 0), (SKIP, 1)}, {(SKIP, 0), (SKIP, 1)}]),
        (3, [{(SKIP, 0), (SKIP, 1)}, {(SKIP, 0), (CONV3, 1)}]),  # 0.40 is given up, then 0.35 is the edge's best, ahead of 0.05
        (2, [{(CONV3, 0), (SKIP, 1)}, {(SKIP, 0), (CONV3, 1)}]),  # 0.50
        (1, [{(CONV3, 0), (CONV5, 1)}, {(SKIP, 0), (CONV3, 1)}]),  # 0.60
        (0, [{(CONV3, 0), (CONV5, 1)}, {(CONV3, 0), (CONV3, 1)}]),  # 0.70
    ],
)
def test_the_weakest_skip_connects_of_the_normal_cell_are_given_up(most, cell):
    before = WEIGHTS.clone()
    genotype = with_few_skips(NODES, {"normal": WEIGHTS, "reduce": WEIGHTS}, most)
    assert [{tuple(edge) for edge in edges} for edges in genotype.normal.nodes] == cell
    assert genotype.reduce.skips == 4  # the reduction cell is left alone
    assert torch.equal(before, WEIGHTS)


def test_a_skip_connect_that_comes_in_for_another_is_counted_too():
    """Node 3: without the skip connect of edge 1 → 3 that of 2 → 3 moves up; it is weaker, and the next to be given up."""
    weights = WEIGHTS.clone()
    weights[3] = torch.tensor([0.0, 0.40, 0.01, 0.02])
    weights[4] = torch.tensor([0.0, 0.05, 0.04, 0.03])
    found = with_few_skips(NODES, {"normal": weights, "reduce": weights}, 3).normal.nodes[1]
    assert found == (Edge(SKIP, 0), Edge(CONV3, 2))
    assert top_two_edges(NODES, {"normal": weights, "reduce": weights}).normal.nodes[1] == (Edge(SKIP, 0), Edge(SKIP, 1))


def test_a_space_of_skip_connects_alone_comes_to_an_end():
    space = Space(operations=("skip_connect",), nodes=2)
    weights = {kind: torch.ones(5, 1) for kind in ("normal", "reduce")}
    assert with_few_skips(space, weights, 0).normal.skips == 4
    without = Space(operations=("sep_conv_3x3",), nodes=2)
    assert with_few_skips(without, weights, 0).normal.skips == 0


def test_cells_derive_with_at_most_two_skip_connects():
    searcher = pdarts(NODES, keep=(3, 3))
    set_alpha(searcher, WEIGHTS.tolist())
    genotype = searcher.derive()
    assert (genotype.normal.skips, genotype.reduce.skips) == (2, 4)


def test_a_resumed_search_stands_where_it_stood():
    one = pdarts(init_scale=0.5)
    for epoch in range(5):
        one.epoch_start(epoch, 9)
    two = Relaxed.of(one.to_config())
    two.build(SPACE, 0)
    two.rebuild(one.state())
    two.load_state_dict(one.state_dict())
    here, there = one.mixture(), two.mixture()
    assert here.dropout == there.dropout == pytest.approx(0.4 * 2 / 3)
    assert torch.equal(here.weights["reduce"], there.weights["reduce"])
    for searcher in (one, two):
        searcher.epoch_start(6, 9)
    assert torch.equal(one.alive["normal"], two.alive["normal"])
    assert torch.equal(one.alpha["reduce"], two.alpha["reduce"])
    assert one.derive() == two.derive()


@pytest.mark.parametrize("keep", [(5, 3), (9, 3)])
def test_to_keep_as_many_operations_as_there_are_drops_none_and_is_refused(keep):
    with pytest.raises(UserError, match=rf"^keep: {keep[0]} operations on an edge drop none of the space's 5; allowed: fewer than 5$"):
        pdarts(keep=keep)


def test_every_stage_needs_an_epoch():
    with pytest.raises(UserError, match=r"^trainer\.max_epochs: 2 epochs leave out some of 3 stages; allowed: at least 3$"):
        PDARTS().require_time(2)
    PDARTS().require_time(3)


def test_alpha_of_a_stage_is_drawn_on_the_cpu_whatever_the_default_device():
    searcher = pdarts()
    with torch.device("meta"):
        searcher.epoch_start(3, 9)
    assert searcher.alpha["normal"].abs().max() < 0.01


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"keep": (6,)}, "keep"),
        ({"keep": (6, 2)}, "leaves fewer than 3"),
        ({"dropout": (0.0, 0.4)}, "dropout"),
        ({"dropout": (0.0, 0.4, 1.0)}, "reaches 1"),
        ({"add_layers": (0, -1, 2)}, "add_layers"),
        ({"add_layers": (), "keep": (), "dropout": ()}, "there is no stage"),
        ({"max_skips": -1}, "max_skips"),
    ],
)
def test_wrong_values_are_said_in_one_line(wrong, says):
    with pytest.raises(UserError, match=says) as error:
        PDARTS(**wrong)
    assert "\n" not in str(error.value)
