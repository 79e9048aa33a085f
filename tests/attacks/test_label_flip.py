"""Label flips: exact counts, never to the same class, rates nested, classes in proportion."""

import pytest
import torch

from robnas.attacks.poisoning.label_flip import LabelFlip, in_line, others, successors
from robnas.data.altered import Altered
from robnas.data.base import Images
from robnas.errors import UserError

N, CLASSES = 1003, 10


def clean(n=N, classes=CLASSES, seed=0):
    y = torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))
    return Altered.of(Images(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), y))


def flipped(attack, of=None, pool=None, seed=3, classes=CLASSES):
    """→ the poisoned set, and which of its entries have another label."""
    of = of or clean()
    poisoned, drawn = attack.poison(of, torch.arange(len(of)) if pool is None else pool, classes, seed)
    assert torch.equal(drawn, torch.arange(len(of)) if pool is None else pool)
    return poisoned, (poisoned.y != of.y).nonzero().squeeze(1)


@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.4, 0.777, 1.0])
def test_counts_are_exact_and_no_label_becomes_itself(rate, stratified):
    poisoned, which = flipped(LabelFlip(rate=rate, stratified=stratified))
    assert len(which) == round(rate * N)  # an input that became its own class would be missing here
    assert poisoned.y.min() >= 0
    assert poisoned.y.max() < CLASSES
    assert not poisoned.changed.any()


def test_what_is_not_drawn_from_stays_as_it_is():
    pool = torch.arange(0, N, 2)
    _, which = flipped(LabelFlip(rate=0.5), pool=pool)
    assert len(which) == round(0.5 * len(pool))
    assert torch.isin(which, pool).all()


def test_new_labels_are_uniform_over_the_other_classes():
    y, index = torch.full((90_000,), 3), torch.arange(90_000)
    counts = torch.bincount(others(y, index, CLASSES, 1), minlength=CLASSES)
    assert counts[3] == 0
    assert (counts[[0, 1, 2, 4, 5, 6, 7, 8, 9]] - 10_000).abs().max() < 5 * (10_000 * 8 / 9) ** 0.5
    assert torch.equal(others(y[:5], index[:5], 2, 1), torch.full((5,), 0))  # 3 + 1 modulo 2: there is one other


@pytest.mark.parametrize("stratified", [True, False])
def test_a_smaller_rate_is_part_of_a_larger_one(stratified):
    kept = None
    for rate in (0.05, 0.1, 0.2, 0.4, 0.9):
        poisoned, which = flipped(LabelFlip(rate=rate, stratified=stratified))
        if kept is not None:
            assert torch.isin(kept[1], which).all()
            assert torch.equal(poisoned.y[kept[1]], kept[0].y[kept[1]])
        kept = poisoned, which


def test_another_seed_flips_others():
    first, second = (set(flipped(LabelFlip(rate=0.2), seed=s)[1].tolist()) for s in (0, 1))
    assert 10 < len(first & second) < 80  # 40 by chance


@pytest.mark.parametrize("rate", [0.03, 0.1, 0.25, 0.4])
def test_every_class_gives_its_proportion_if_stratified(rate):
    y = torch.arange(CLASSES).repeat_interleave(torch.arange(1, CLASSES + 1) * 20)
    of = Altered.of(Images(torch.zeros(len(y), 1, 1, 1, dtype=torch.uint8), y))
    _, which = flipped(LabelFlip(rate=rate, stratified=True), of)
    assert (torch.bincount(y[which], minlength=CLASSES) - rate * torch.bincount(y)).abs().max() <= 1
    _, plain = flipped(LabelFlip(rate=0.25, stratified=False), of)
    assert (torch.bincount(y[plain], minlength=CLASSES) - 0.25 * torch.bincount(y)).abs().max() > 1


def test_the_line_by_hand():
    """Of three inputs of class 0 and two of class 1: places 1/6, 3/6, 5/6 and 1/4, 3/4, so classes 0 1 0 1 0."""
    y = torch.tensor([0, 0, 1, 0, 1])
    line = in_line(torch.tensor([10, 11, 12, 13, 14]), y, True, 5)
    assert sorted(line.tolist()) == [10, 11, 12, 13, 14]
    assert y[line - 10].tolist() == [0, 1, 0, 1, 0]


def test_the_line_of_a_plain_draw_does_not_depend_on_who_else_is_there():
    y = clean().y
    whole = in_line(torch.arange(N), y, False, 7)
    part = torch.arange(0, N, 3)
    assert torch.equal(whole[torch.isin(whole, part)], in_line(part, y[part], False, 7))


def test_pairs_are_exact():
    of = clean()
    poisoned, which = flipped(LabelFlip(rate=1.0, flips="pairwise"), of)
    assert len(which) == N
    assert torch.equal(poisoned.y, (of.y + 1) % CLASSES)
    poisoned, which = flipped(LabelFlip(rate=0.5, flips="pairwise", pairs={3: 8, 5: 0}), of)
    movable = (of.y == 3) | (of.y == 5)
    assert len(which) == round(0.5 * int(movable.sum()))
    assert movable[which].all()
    assert torch.equal(poisoned.y[which], torch.where(of.y[which] == 3, 8, 0))
    assert successors({0: 2}, 3).tolist() == [2, -1, -1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rate": 1.5}, r"rate: 1.5 is not in \[0, 1\]"),
        ({"rate": -0.1}, "rate: -0.1"),
        ({"flips": "pairwize"}, "unknown flips 'pairwize'.*pairwise"),
        ({"flips": "pairwise", "pairs": {1: 2, 4: 4}}, "pairs: 4 → 4 flips nothing"),
        ({"pairs": {1: 2}}, "flips are uniform"),
        ({"watched": -1}, "watched: -1"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        LabelFlip(**arguments)


@pytest.mark.parametrize("pairs", [{1: 10}, {10: 1}, {-1: 1}])
def test_a_class_that_there_is_not(pairs):
    with pytest.raises(UserError, match=r"there is no class -?1?\d; the data have 0 … 9"):
        flipped(LabelFlip(flips="pairwise", pairs=pairs))


def test_one_class_has_no_other():
    with pytest.raises(UserError, match="no other to flip to"):
        flipped(LabelFlip(), clean(classes=1), classes=1)
