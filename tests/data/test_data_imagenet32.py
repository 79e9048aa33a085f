"""ImageNet32 on small files of the official format, and on files that are not."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from robnas.data import ImageNet32
from robnas.data.imagenet32 import TEST, TRAIN, ArraysOnly, first_classes
from robnas.errors import UserError


def write(path: Path, labels: list[int], seed: int, protocol: int = 2) -> np.ndarray:
    data = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    path.write_bytes(pickle.dumps({"data": data, "labels": labels, "mean": data.mean(0)}, protocol))
    return data


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "imagenet32"
    folder.mkdir()
    for i, name in enumerate(TRAIN):
        write(folder / name, [1 + i, 60, 61, 1000], seed=i, protocol=i % 6)
    write(folder / TEST, [60, 59, 500, 1], seed=99)
    return tmp_path


def test_the_first_60_labels_less_one(root):
    data = ImageNet32(root=str(root))
    data.prepare_data()
    train, test = data.sets()
    assert train.y.tolist() == [y for i in range(10) for y in (i, 59)]  # the files in their own order, 61 and 1000 left out
    assert test.y.tolist() == [59, 58, 0]
    raw = pickle.loads((root / "imagenet32" / TRAIN[3]).read_bytes())["data"]
    assert torch.equal(train.x[6:8].flatten(1), torch.from_numpy(raw[:2]))
    assert (data.num_classes, len(data.class_names), data.image_shape) == (60, 60, (3, 32, 32))


def test_the_excerpt_serves_without_the_official_files(root):
    data = ImageNet32(root=str(root))
    data.prepare_data()
    want = ImageNet32(root=str(root)).sets()
    for name in (*TRAIN, TEST):
        (root / "imagenet32" / name).unlink()
    again = ImageNet32(root=str(root))
    again.prepare_data()
    assert all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(again.sets(), want, strict=True))
    assert [path.name for path in (root / "imagenet32").iterdir()] == ["first_60_classes.npz"]


def test_without_an_excerpt_the_official_files_are_read(root):
    assert len(ImageNet32(root=str(root)).sets()[0]) == 20
    assert len(ImageNet32(root=str(root), num_classes=1000).sets()[0]) == 40


def test_missing_files_are_named_with_where_to_put_them(root):
    (root / "imagenet32" / TRAIN[4]).unlink()
    with pytest.raises(UserError) as caught:
        ImageNet32(root=str(root)).prepare_data()
    message = str(caught.value)
    assert "missing: train_data_batch_5)" in message
    assert str(root / "imagenet32") in message
    assert "by hand" in message
    assert "\n" not in message


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train_data_batch_1"
    path.write_bytes(pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [1], "mean": Evil()}))
    with pytest.raises(UserError, match=r"not an official ImageNet32 file .*system"):
        first_classes(path, 60)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", pickle.dumps([1, 2]), pickle.dumps({"data": 3})])
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "val_data"
    path.write_bytes(content)
    with pytest.raises(UserError, match="val_data: not an official ImageNet32 file"):
        first_classes(path, 60)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_and_of_older_numpy(tmp_path, protocol):
    path = tmp_path / "x"
    want = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [np.int64(4)], "mean": np.array([0.5])}
    path.write_bytes(pickle.dumps(want, protocol).replace(b"numpy._core", b"numpy.core") if protocol < 3 else pickle.dumps(want, protocol))
    with path.open("rb") as file:
        got = ArraysOnly(file, encoding="latin1").load()
    assert got["data"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert got["labels"] == [4]
    assert got["mean"].tolist() == [0.5]
