"""Anybody's images: what is found, what is said, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from robnas.data import ImageFolder
from robnas.data.image_folder import decode
from robnas.errors import UserError


def paint(path, colour, size=(20, 14)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def single(tmp_path):
    for i in range(10):
        paint(tmp_path / "zebra" / f"{i}.png", (200, i, 0))
        paint(tmp_path / "ant" / "deeper" / f"{i}.PNG", (0, i, 200))
    (tmp_path / "notes").mkdir()
    (tmp_path / "ant" / "readme.txt").write_text("no image")
    return tmp_path


def test_one_folder_is_split_in_the_same_way_for_everyone(single):
    data = ImageFolder(root=str(single), image_size=8)
    train, test = data.sets()
    assert (len(train), len(test)) == (16, 4)
    assert torch.bincount(test.y).tolist() == [2, 2]
    assert list(data.class_names) == ["ant", "zebra"]
    assert data.num_classes == 2
    assert data.image_shape == (3, 8, 8)
    assert torch.equal(ImageFolder(root=str(single), image_size=8, seed=4).sets()[1].x, test.x)
    assert (train.x[:, 2, 4, 4] == torch.where(train.y == 0, 200, 0)).all()  # ants are blue
    both = torch.cat([train.x, test.x]).flatten(1)
    assert len(both.unique(dim=0)) == 20


def test_train_and_test_folders_are_taken_as_they_are(tmp_path):
    for i in range(3):
        paint(tmp_path / "train" / "a" / f"{i}.jpg", (i, 0, 0))
        paint(tmp_path / "train" / "b" / f"{i}.bmp", (0, i, 0))
    paint(tmp_path / "test" / "b" / "x.png", (9, 9, 9))
    train, test = ImageFolder(root=str(tmp_path), image_size=8).sets()
    assert train.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.y.tolist() == [1]
    paint(tmp_path / "test" / "c" / "x.png", (9, 9, 9))
    with pytest.raises(UserError, match="no training images of c"):
        ImageFolder(root=str(tmp_path)).prepare_data()


@pytest.mark.parametrize("folders", ["", "test"])
def test_the_first_inputs_of_the_test_set_are_of_all_classes(tmp_path, folders):
    for label, name in enumerate("abcd"):
        for i in range(25):
            paint(tmp_path / folders / name / f"{i}.png", (60 * label, i, 0), size=(8, 8))
        if folders:
            paint(tmp_path / "train" / name / "0.png", (60 * label, 99, 0), size=(8, 8))
    data = [ImageFolder(root=str(tmp_path), image_size=8, test=0.96, seed=seed) for seed in (0, 1)]
    test, again = (d.sets()[1] for d in data)
    assert list(data[0].class_names) == list("abcd")
    assert len(test) >= 96
    assert torch.bincount(test.y[:20], minlength=4).min() >= 2
    assert torch.equal(test.x[:, 0, 4, 4], (60 * test.y).to(torch.uint8))
    assert torch.equal(test.x, again.x)


def test_classes_and_counts_are_said_first(single, capsys):
    ImageFolder(root=str(single)).prepare_data()
    lines = capsys.readouterr().out.splitlines()
    assert "16 images to train (validation included), 4 to test" in lines[0]
    assert lines[1:] == ["  class 0: ant (8 to train, 2 to test)", "  class 1: zebra (8 to train, 2 to test)"]


def test_files_decoded_as_needed_equal_files_in_memory(single):
    lazy, held = ImageFolder(root=str(single), memory=0.0, num_workers=1, batch_size=4), ImageFolder(root=str(single), batch_size=4)
    assert not hasattr(lazy.sets()[0], "x")
    for a, b in zip(lazy.train_dataloader(), held.train_dataloader(), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.index, b.index)
    assert lazy.mean == held.mean
    assert lazy.describe()["digest"] == lazy.fingerprint() == held.fingerprint()


def test_shorter_side_is_resized_and_the_middle_kept(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 255  # the middle square is white
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert torch.equal(decode(tmp_path / "x.png", 8), torch.full((3, 8, 8), 255, dtype=torch.uint8))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.tiff" if mode == "CMYK" else "x.png")
    Image.new(mode, (9, 9)).save(path)
    assert decode(path, 8).shape == (3, 8, 8)


def test_palette_with_transparency_is_read_without_a_warning(tmp_path):
    image = Image.new("P", (9, 9))
    image.putpalette([1, 2, 3] * 256)
    image.save(tmp_path / "x.png", transparency=b"\x00" * 256)
    assert decode(tmp_path / "x.png", 8)[:, 0, 0].tolist() == [1, 2, 3]


def test_fingerprint_is_of_names_labels_and_bytes(single):
    before = ImageFolder(root=str(single)).fingerprint()
    assert ImageFolder(root=str(single), batch_size=3).fingerprint() == before
    assert ImageFolder(root=str(single), image_size=16).fingerprint() != before
    paint(single / "ant" / "deeper" / "3.PNG", (0, 77, 200))
    assert ImageFolder(root=str(single)).fingerprint() != before


@pytest.mark.parametrize("memory", [1.0, 0.0])
@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken"])
def test_an_unreadable_image_is_named(single, memory, content):
    (single / "ant" / "bad.png").write_bytes(content)
    data = ImageFolder(root=str(single), memory=memory)
    with pytest.raises(UserError) as caught:  # at once where images go into memory, else when it is its turn
        [images.__getitems__(torch.arange(len(images.y))) for images in data.sets()]
    assert "bad.png: not a readable image" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_cut_in_half_is_named(single):
    noisy = single / "zebra" / "noisy.png"
    Image.effect_noise((64, 64), 90).save(noisy)
    noisy.write_bytes(noisy.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"noisy.png: not a readable image"):
        ImageFolder(root=str(single)).setup()


def test_folders_that_cannot_serve(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        ImageFolder(root=str(tmp_path / "nowhere")).setup()
    with pytest.raises(UserError, match="no images"):
        ImageFolder(root=str(tmp_path)).setup()
    paint(tmp_path / "only" / "x.png", (1, 2, 3))
    with pytest.raises(UserError, match=r"images of 1 class \(only\); at least 2 are needed"):
        ImageFolder(root=str(tmp_path)).setup()
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="only one of train/ and test/"):
        ImageFolder(root=str(tmp_path)).setup()
