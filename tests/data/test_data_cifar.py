"""CIFAR through torchvision's reader, on small files of the same format; and what happens where there is no network."""

import hashlib
import io
import pickle
import socket
import tarfile
import time
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from robnas.data import CIFAR10, CIFAR100, cifar
from robnas.errors import UserError


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def miniature(base: type, folder, files: dict[str, int]):
    """torchvision's reader for small files of the official format, with their own check sums; the files are written into `folder`."""
    labels = "labels" if base is torchvision.datasets.CIFAR10 else "fine_labels"
    classes = 10 if labels == "labels" else 100
    rng, contents = np.random.default_rng(0), {}
    for name, n in files.items():
        data = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        contents[name] = pickle.dumps({"data": data, labels: [i % classes for i in range(n)]}, protocol=2)
    contents[base.meta["filename"]] = pickle.dumps({base.meta["key"]: [f"class {i}" for i in range(classes)]}, protocol=2)
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = [[name, md5(content)] for name, content in contents.items()]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(folder, base.base_folder)
    members = {
        "train_list": [s for s in sums if "train" in s[0] or "data" in s[0]],
        "test_list": [s for s in sums if "test" in s[0]],
        "meta": {**base.meta, "md5": md5(contents[base.meta["filename"]])},
        "tgz_md5": md5(archive.getvalue()),
    }
    return type("Miniature", (base,), members), archive.getvalue()


@pytest.fixture
def small10(tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-py"
    source, archive = miniature(torchvision.datasets.CIFAR10, folder, {"data_batch_1": 30, "data_batch_2": 30, "test_batch": 20})
    return type("Small10", (CIFAR10,), {"source": source}), tmp_path / "data", archive


def no_network(*args, **kwargs):
    raise URLError("no route to host")


def test_pixels_and_labels_are_those_of_the_files(small10):
    data, root, _ = small10
    train, test = data(root=str(root)).sets()
    raw = pickle.loads((root / "cifar-10-batches-py" / "data_batch_2").read_bytes(), encoding="latin1")
    assert train.x.shape == (60, 3, 32, 32)
    assert test.x.shape == (20, 3, 32, 32)
    assert torch.equal(train.x[30:].flatten(1), torch.from_numpy(raw["data"]))  # red, green, blue planes, row by row
    assert train.y[30:].tolist() == raw["labels"]


def test_cifar100_takes_the_fine_labels_and_their_names(tmp_path):
    source, _ = miniature(torchvision.datasets.CIFAR100, tmp_path / "cifar-100-python", {"train": 200, "test": 100})
    data = type("Small100", (CIFAR100,), {"source": source})(root=str(tmp_path))
    train, _ = data.sets()
    assert data.num_classes == len(data.class_names) == 100
    assert data.class_names[3] == "class 3"
    assert train.y.max() == 99


def test_without_a_network_one_line_names_the_overlay_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "urlopen", no_network)
    with pytest.raises(UserError) as caught:
        CIFAR10(root=str(tmp_path / "deep" / "data")).prepare_data()
    message = str(caught.value)
    assert "\n" not in message
    assert "CIFAR10 is not in" in message
    assert "no route to host" in message
    assert "--config digits.yaml" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", ["once", "the download"])
def test_a_server_that_falls_silent_is_given_up(tmp_path, monkeypatch, at):
    monkeypatch.setattr(cifar, "PATIENCE", 0.1)
    if at == "the download":
        monkeypatch.setattr(cifar, "urlopen", lambda *args, **kwargs: io.BytesIO())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = type("Silent", (torchvision.datasets.CIFAR10,), {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/x.tar.gz"})
        start = time.monotonic()
        with pytest.raises(UserError, match=r"[Tt]ime.*digits.yaml"):
            type("Small", (CIFAR10,), {"source": source})(root=str(tmp_path)).prepare_data()
        assert time.monotonic() - start < 3
    assert list(tmp_path.iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_a_name_look_up_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "PATIENCE", 0.1)
    monkeypatch.setattr(cifar, "urlopen", lambda *args, **kwargs: time.sleep(1))
    with pytest.raises(UserError, match="no answer within"):
        CIFAR10(root=str(tmp_path)).prepare_data()


def test_a_download_that_breaks_off_leaves_nothing(small10, tmp_path, monkeypatch):
    data, _, archive = small10

    def half(url, filename, chunk_size=0):
        with open(filename, "wb") as file:  # noqa: PTH123
            file.write(archive[: len(archive) // 2])
        raise OSError("connection reset")

    monkeypatch.setattr(cifar, "urlopen", lambda *args, **kwargs: io.BytesIO())
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", half)
    with pytest.raises(UserError, match="connection reset"):
        data(root=str(tmp_path / "new")).prepare_data()
    assert not (tmp_path / "new").exists()


def test_a_download_that_succeeds_leaves_the_data_alone(small10, tmp_path, monkeypatch):
    data, _, archive = small10

    def whole(url, filename, chunk_size=0):
        with open(filename, "wb") as file:  # noqa: PTH123
            file.write(archive)

    monkeypatch.setattr(cifar, "urlopen", lambda *args, **kwargs: io.BytesIO())
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", whole)
    made = data(root=str(tmp_path / "new"))
    made.prepare_data()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cifar-10-batches-py"]
    assert len(made.sets()[0]) == 60


def test_an_archive_that_lies_there_needs_no_network(small10, tmp_path, monkeypatch):
    data, _, archive = small10
    monkeypatch.setattr(cifar, "urlopen", no_network)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / data.source.filename).write_bytes(archive)
    data(root=str(tmp_path / "new")).prepare_data()
    assert len(data(root=str(tmp_path / "new")).sets()[1]) == 20


def test_damaged_files_are_named_and_kept(small10):
    data, root, _ = small10
    file = root / "cifar-10-batches-py" / "data_batch_1"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="cifar-10-batches-py: files of CIFAR10 are missing or damaged"):
        data(root=str(root)).prepare_data()
    assert file.exists()


def test_download_can_be_forbidden(tmp_path):
    with pytest.raises(UserError, match="download is off"):
        CIFAR10(root=str(tmp_path), download=False).prepare_data()
