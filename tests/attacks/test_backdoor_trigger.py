"""Triggers: blended pixel by pixel, at any place, kept and read again; patterns by name."""

import numpy as np
import pytest
import torch
from PIL import Image

from robnas import jobs
from robnas.attacks.backdoor import patterns
from robnas.attacks.backdoor.trigger import FILE, Trigger, read
from robnas.errors import UserError


def plain(x, trigger, top, left):
    """The formula in Python numbers."""
    out = x.clone()
    c, h, w = trigger.pattern.shape
    for k in range(c):
        for i in range(h):
            for j in range(w):
                m = float(trigger.mask[min(k, len(trigger.mask) - 1), i, j]) * (1 - trigger.transparency)
                old = float(x[..., k, top + i, left + j])
                unit = 1 if x.is_floating_point() else 255
                new = old * (1 - m) + unit * float(trigger.pattern[k, i, j]) * m
                out[..., k, top + i, left + j] = new if x.is_floating_point() else round(new)
    return out


def random(c=3, h=2, w=3, channels=1, **more):
    g = torch.Generator().manual_seed(0)
    return Trigger(torch.rand(channels, h, w, generator=g), torch.rand(c, h, w, generator=g), **more)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_blending_pixel_by_pixel(dtype, channels):
    it = random(channels=channels, place=(1, 2), transparency=0.3)
    x = torch.randint(0, 256, (3, 6, 7), generator=torch.Generator().manual_seed(1))
    x = x.to(torch.uint8) if dtype == torch.uint8 else (x / 255).to(dtype)
    before = x.clone()
    found = it.stamp(x)
    assert found.dtype == dtype
    assert torch.equal(x, before)
    torch.testing.assert_close(found, plain(x, it, 1, 2), rtol=1e-6, atol=1e-6)
    assert torch.equal(it.stamp(torch.stack([x, x])), torch.stack([found, found]))


def test_one_pixel_by_hand():
    it = Trigger(torch.tensor([[[0.5]]]), torch.ones(1, 1, 1), (0, 0), 0.2)  # covers 0.5 · 0.8 = 0.4
    assert float(it.stamp(torch.full((1, 2, 2), 0.5))[0, 0, 0]) == pytest.approx(0.5 * 0.6 + 0.4)
    assert it.stamp(torch.full((1, 2, 2), 100, dtype=torch.uint8)).tolist() == [[[162, 100], [100, 100]]]  # 60 + 102


@pytest.mark.parametrize(
    ("place", "corner"), [((0, 0), (0, 0)), ((-1, -1), (4, 4)), ((-2, 0), (3, 0)), ((4, -5), (4, 0)), ((0, -1), (0, 4)), ((2, 3), (2, 3))]
)
def test_corners_and_negative_places(place, corner):
    it = Trigger(torch.ones(1, 2, 3), torch.ones(1, 2, 3), place)
    assert it.corner(6, 7) == corner
    top, left = corner
    assert [tuple(p) for p in it.stamp(torch.zeros(1, 6, 7)).nonzero()[:, 1:].tolist()] == [
        (top + i, left + j) for i in range(2) for j in range(3)
    ]


@pytest.mark.parametrize("place", [(5, 0), (0, 5), (-6, 0), (0, -6)])
def test_no_place_outside_of_the_image(place):
    with pytest.raises(UserError, match=r"place: .* outside of the image of 6×7"):
        Trigger(torch.ones(1, 2, 3), torch.ones(1, 2, 3), place).corner(6, 7)


def test_larger_than_the_image():
    with pytest.raises(UserError, match="7×3 pixels are larger than the image of 6×7"):
        Trigger(torch.ones(1, 7, 3), torch.ones(1, 7, 3)).stamp(torch.zeros(1, 6, 7))


@pytest.mark.parametrize(
    ("mask", "pattern", "t", "says"),
    [
        (torch.ones(1, 2, 2), torch.ones(3, 2, 3), 0.0, "mask .* and pattern"),
        (torch.ones(2, 2, 2), torch.ones(3, 2, 2), 0.0, "mask .* and pattern"),
        (torch.ones(1, 2, 2) * 2, torch.ones(3, 2, 2), 0.0, r"mask has values outside of \[0, 1\]"),
        (torch.ones(1, 2, 2), -torch.ones(3, 2, 2), 0.0, "pattern has values"),
        (torch.ones(1, 2, 2), torch.ones(3, 2, 2) * torch.nan, 0.0, "pattern has values"),
        (torch.ones(1, 2, 2), torch.ones(3, 2, 2), 1.0, r"transparency: 1.0 is not in \[0, 1\)"),
    ],
)
def test_what_is_no_trigger(mask, pattern, t, says):
    with pytest.raises(UserError, match=says):
        Trigger(mask, pattern, transparency=t)


def test_the_pattern_has_a_gradient():
    pattern = torch.full((1, 1, 1), 0.5, requires_grad=True)
    Trigger(torch.ones(1, 1, 1), pattern, (0, 0), 0.7).stamp(torch.zeros(2, 1, 2, 2)).sum().backward()
    assert float(pattern.grad) == pytest.approx(2 * 0.3)


def test_kept_and_read_again(tmp_path):
    it = random(place=(-1, 2), transparency=0.7)
    it.write(tmp_path, target=torch.tensor(3))
    again = Trigger.read(tmp_path)
    assert torch.equal(again.mask, it.mask)
    assert torch.equal(again.pattern, it.pattern)
    assert (again.place, again.transparency) == (it.place, it.transparency)
    assert int(read(tmp_path)["target"]) == 3
    assert FILE in jobs.WRITTEN  # starting anew removes it
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:80])
    with pytest.raises(UserError, match="cannot be read"):
        Trigger.read(tmp_path)
    with pytest.raises(UserError, match="no backdoor was planted"):
        Trigger.read(tmp_path / "elsewhere")


def test_patterns(tmp_path):
    assert patterns.named("checkerboard", (2, 3, 3), 0)[1].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert patterns.named("white", (3, 2, 2), 0).min() == 1
    noise = patterns.named("noise", (3, 4, 5), 0)
    assert torch.equal(noise, patterns.named("noise", (3, 4, 5), 0))
    assert not torch.equal(noise, patterns.named("noise", (3, 4, 5), 1))
    hello = patterns.named("hello", (3, 11, 11), 0)
    assert hello[0, 0].tolist() == [1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 0]
    Image.fromarray(np.array([[[255, 0, 51]]], dtype=np.uint8)).save(tmp_path / "red.png")
    assert patterns.named(str(tmp_path / "red.png"), (3, 2, 2), 0)[:, 1, 1].tolist() == pytest.approx([1, 0, 0.2])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match="not a readable image"):
        patterns.named(str(tmp_path / "text.png"), (3, 2, 2), 0)
    with pytest.raises(UserError, match="Did you mean 'checkerboard'"):
        patterns.named("chequerboard", (3, 2, 2), 0)
