"""What training sees of an altered training set, and that nothing else does."""

import pytest
import torch

from robnas.data import Digits
from robnas.data.altered import Altered
from robnas.data.base import Images
from robnas.errors import UserError


def images(n: int = 6) -> Images:
    return Images(torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 3, 2, 2).clone(), torch.arange(n) % 3)


def plus_100(x, index):
    return x + 100


def test_labels_pixels_and_copies_by_hand():
    clean = images()
    longer, new = Altered.of(clean).relabelled(torch.tensor([1, 4]), torch.tensor([0, 2])).extended(torch.tensor([4]))
    altered = longer.repainted(new, plus_100)
    assert new.tolist() == [6]
    assert altered.y.tolist() == [0, 0, 2, 0, 2, 2, 2]
    batch = altered.__getitems__(torch.tensor([6, 4, 0]))
    assert batch.x[:, 0, 0, 0].tolist() == [104, 4, 0]
    assert batch.y.tolist() == [2, 2, 0]
    assert batch.index.tolist() == [6, 4, 0]
    assert altered.touched.tolist() == [False, True, False, False, True, False, True]
    assert clean.y.tolist() == [0, 1, 2, 0, 1, 2]
    assert clean.x.max() == 5  # the pixels that are handed out are a copy


def test_a_label_that_stays_is_not_touched():
    assert not Altered.of(images()).relabelled(torch.tensor([0]), torch.tensor([0])).touched.any()


def test_a_second_change_is_refused():
    with pytest.raises(UserError, match="change of its own"):
        Altered.of(images()).repainted(torch.tensor([0]), plus_100).repainted(torch.tensor([1]), plus_100)


def test_training_alone_draws_from_it_and_a_new_fit_begins_clean():
    data = Digits(batch_size=4)
    clean, pool = data.trained_on()
    altered = Altered.of(clean).relabelled(pool, (clean.y[pool] + 1) % 10)
    data.train_on(altered, pool)
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch.y, (clean.y[batch.index] + 1) % 10)
    held = next(iter(data.val_dataloader()))
    assert torch.equal(held.y, clean.y[held.index])
    assert torch.equal(data.parts()[0], pool)
    data.setup("fit")
    assert data.trained_on()[0] is clean
