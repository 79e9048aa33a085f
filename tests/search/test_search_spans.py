"""Stages of equal length and what outlives them, by hand."""

import pytest
import torch

from robnas.errors import UserError
from robnas.search.darts import DARTS
from robnas.search.stages import prune, require_each, require_fewer, span, strongest
from robnas.space.search_space import Space


def test_75_epochs_in_three_stages():
    assert [span(epoch, 75, 3) for epoch in (0, 24, 25, 49, 50, 74)] == [(0, 0, 25)] * 2 + [(1, 25, 25)] * 2 + [(2, 50, 25)] * 2


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@pytest.mark.parametrize("max_epochs", range(1, 14))
def test_stages_follow_each_other_and_share_the_epochs(stages, max_epochs):
    spans = sorted({span(epoch, max_epochs, stages) for epoch in range(max_epochs)})
    for epoch in range(max_epochs):
        _, first, epochs = span(epoch, max_epochs, stages)
        assert first <= epoch < first + epochs
    if max_epochs >= stages:
        assert [s.number for s in spans] == list(range(stages))
        assert sum(s.epochs for s in spans) == max_epochs
        assert max(s.epochs for s in spans) - min(s.epochs for s in spans) <= 1


def test_the_strongest_of_every_edge_and_of_equal_ones_the_earlier():
    weights = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25], [0.0, 0.7, 0.0, 0.3]], requires_grad=True)
    assert strongest(weights, 2).tolist() == [[False, True, False, True], [True, True, False, False], [False, True, False, True]]
    assert strongest(weights, 9).all()


def test_the_first_epoch_of_a_stage_prunes_and_no_other_does():
    space, found = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=1), []
    searcher = DARTS()
    searcher.build(space, 0)
    for epoch in range(6):
        found.append((prune(searcher, span(epoch, 6, 3), epoch, keep=(2, 1)), len(searcher.alive)))
    assert found == [(False, 0), (False, 0), (True, 2), (False, 2), (True, 2), (False, 2)]
    assert {kind: mask.sum(-1).tolist() for kind, mask in searcher.alive.items()} == {"normal": [1, 1], "reduce": [1, 1]}


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (lambda: require_each("dropout", [0.1], 2, 0), r"dropout: \[0\.1\] has 1 numbers; allowed: one for each stage, 2"),
        (lambda: require_each("dropout", [0.1, -1], 2, 0), "has a number below 0"),
        (lambda: require_each("partial", [], 0, 1), "partial: there is no stage"),
        (lambda: require_fewer([6], 3, 2), r"keep: \[6\] has 1 numbers; allowed: one for each stage but the first, 2"),
        (lambda: require_fewer([6, 1], 3, 2), "leaves fewer than 2 operations"),
        (lambda: require_fewer([4, 6], 3, 2), "brings operations back"),
    ],
)
def test_wrong_numbers_are_said_in_one_line(check, says):
    with pytest.raises(UserError, match=says) as error:
        check()
    assert "\n" not in str(error.value)
