"""The packaged digits: scikit-learn's, split in the same way for everyone."""

import pytest
import torch

from robnas.data import Digits
from robnas.data.digits import packaged, rendered
from robnas.errors import UserError


def test_equal_to_scikit_learn():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    ink, y = packaged()
    assert torch.equal(ink.double(), torch.from_numpy(digits.images))
    assert torch.equal(y, torch.from_numpy(digits.target))


def test_1437_to_train_and_360_to_test_whatever_the_seed():
    data, other = Digits(), Digits(seed=1)
    (train, test), (_, other_test) = data.sets(), other.sets()
    assert (len(train), len(test)) == (1437, 360)
    assert torch.equal(test.x, other_test.x)
    assert torch.bincount(test.y).sub(36).abs().max() <= 2  # of about 180 of each class, a fifth
    counts = data.describe()["counts"]
    assert counts == {"train": 1293, "validation": 144, "test": 360}


def test_no_image_is_in_both_splits():
    rows = torch.cat([split.x.flatten(1) for split in Digits().sets()])
    assert len(rows.unique(dim=0)) == 1797


def test_contrast_around_mid_grey_by_hand():
    ink = torch.zeros(1, 8, 8, dtype=torch.uint8)
    ink[:, :, 4:] = 16
    pixels = rendered(ink, 0.5)[0]
    assert pixels.shape == (3, 16, 16)
    assert pixels[:, 0, 0].tolist() == [64, 64, 64]  # 255 · (0.5 − 0.25) = 63.75
    assert pixels[:, 0, 15].tolist() == [191, 191, 191]  # 255 · 0.75 = 191.25
    assert pixels[0, 0, 7].item() == 96  # bilinear: a quarter of the way, 255 · 0.375 = 95.6
    assert rendered(ink, 1.0).unique().tolist() == [0, 64, 191, 255]


def test_a_crop_moves_in_paper_and_nothing_is_mirrored():
    data = Digits(cutout=0.0)
    train, _ = data.sets()
    batch = train.__getitems__(torch.arange(200))
    x = data.augmented(batch, epoch=0).x
    assert torch.equal(x.amin((1, 2, 3)), torch.full((200,), 64 / 255))
    centre = train.x[:200, 0].float() - 64
    shifted = 255 * x[:, 0] - 64
    assert (shifted.sum((1, 2)) <= centre.sum((1, 2)) + 0.5).all()
    assert data.flips is False


@pytest.mark.parametrize("contrast", [0.0, -0.5, 1.5])
def test_contrast_that_makes_no_image(contrast):
    with pytest.raises(UserError, match=r"contrast: .* is not in \(0, 1\]"):
        Digits(contrast=contrast)


def test_fingerprint_is_of_the_images_only():
    assert Digits().fingerprint() == Digits(batch_size=7, seed=3, num_workers=2).fingerprint()
    assert Digits().fingerprint() != Digits(contrast=1.0).fingerprint()
    assert Digits().describe()["digest"] != Digits(contrast=1.0).describe()["digest"]
