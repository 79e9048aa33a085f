"""Crop, flip and cutout by hand; each input on its own, whatever is beside it."""

import pytest
import torch

from robnas import seeds
from robnas.data import augmentation


def numbered(batch: int = 1, channels: int = 1) -> torch.Tensor:
    """[batch, channels, 3, 4] with 1 … 12 in every plane."""
    return torch.arange(1, 13, dtype=torch.uint8).view(1, 1, 3, 4).repeat(batch, channels, 1, 1)


def test_cut_out_at_by_hand():
    x = numbered(3)
    out = augmentation.cut_out_at(x, torch.tensor([[1, 1], [0, 0], [2, 1]]), padding=1, fill=9)
    assert torch.equal(out[0], x[0])  # the middle: as it was
    assert out[1, 0].tolist() == [[9, 9, 9, 9], [9, 1, 2, 3], [9, 5, 6, 7]]  # moved down and to the right
    assert out[2, 0].tolist() == [[5, 6, 7, 8], [9, 10, 11, 12], [9, 9, 9, 9]]  # moved up


def test_paint_by_hand():
    x = numbered(2, 2).float()
    out = augmentation.paint(x, torch.tensor([[0, 0], [1, 2]]), side=2, fill=torch.tensor([0.5, 0.25]))
    assert out[0, 0].tolist() == [[0.5, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]  # rows and columns −1, 0: the border cuts it
    assert out[1, 1].tolist() == [[1, 0.25, 0.25, 4], [5, 0.25, 0.25, 8], [9, 10, 11, 12]]  # rows 0, 1, columns 1, 2
    assert augmentation.paint(x, torch.tensor([[0, 0], [1, 2]]), 0, torch.zeros(2)).equal(x)


def test_flip_by_hand():
    x = numbered(64)
    mirrored = seeds.uniform(torch.arange(64), (), 0, "flip", 0) < 0.5
    out = augmentation.flip(x, torch.arange(64), 0, "flip", 0)
    assert 20 < int(mirrored.sum()) < 44
    for i in range(64):
        first_row = [4, 3, 2, 1] if mirrored[i] else [1, 2, 3, 4]
        assert out[i, 0, 0].tolist() == first_row


def test_crop_reaches_every_corner_equally_often():
    n, padding = 4_000, 1
    x = torch.zeros(n, 1, 3, 3)
    x[:, :, 1, 1] = 1  # where this pixel goes tells the corner
    place = augmentation.crop(x, torch.arange(n), padding, 0, 0, "crop", 0).flatten(1).argmax(1)
    counts = torch.bincount(place, minlength=9)
    assert ((counts - n / 9).abs() < 5 * (n / 9) ** 0.5).all()


def test_cutout_hides_a_quarter_of_a_pixel_s_images_in_the_middle():
    n = 4_000
    hidden = augmentation.cutout(torch.ones(n, 1, 16, 16), torch.arange(n), 8, torch.zeros(1), 0, "cutout", 0) == 0
    assert abs(hidden[:, 0, 8, 8].double().mean() - 0.25) < 0.03  # 8 of 16 rows, 8 of 16 columns
    assert int(hidden.flatten(1).sum(1).min()) == 16  # centred on the last corner, rows and columns 12 … 15
    assert int(hidden.flatten(1).sum(1).max()) == 64


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_an_input_does_not_see_its_neighbours(dtype):
    x = (255 * seeds.uniform(torch.arange(10), (3, 8, 8), "x")).to(dtype)
    index = torch.arange(10) + 40

    def augmented(chosen: torch.Tensor) -> torch.Tensor:
        out = augmentation.crop(x[chosen], index[chosen], 2, 7, 0, "crop", 1)
        out = augmentation.flip(out, index[chosen], 0, "flip", 1)
        return augmentation.cutout(out, index[chosen], 4, torch.tensor([1.0, 2.0, 3.0]), 0, "cutout", 1)

    together = augmented(torch.arange(10))
    assert torch.equal(augmented(torch.tensor([7, 2])), together[[7, 2]])
    assert torch.equal(torch.cat([augmented(torch.tensor([i])) for i in range(10)]), together)
    assert together.dtype == dtype
