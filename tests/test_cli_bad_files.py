"""Files and data that are not what a command needs: one line, status 2."""

import socket

import pytest

from command_line import SMALL, refused

CELL = """\
normal: {{nodes: [[[{operation}, 0], [skip_connect, {source}]]], concat: [2]}}
reduce: {{nodes: [[[skip_connect, 0], [skip_connect, 1]]], concat: [2]}}
"""
BAD = {
    "operation.yaml": (CELL.format(operation="sep_conv_3x4", source=1), "Did you mean 'sep_conv_3x3'?"),
    "cyclic.yaml": (CELL.format(operation="sep_conv_3x3", source=2), "node 2"),
    "malformed.yaml": ("normal: [1, 2\n", "malformed.yaml"),
}


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (text, _) in BAD.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()


@pytest.mark.parametrize("name", BAD)
def test_a_genotype_file_that_is_none(name, capsys):
    assert BAD[name][1] in refused(f"cell {name}", capsys)
    assert BAD[name][1] in refused(f"fit --config classify --config digits {SMALL} --model.network={name}", capsys)


def test_a_data_folder_without_images(capsys, tmp_path):
    said = refused(f"fit --config classify {SMALL} --scale=tiny --data=image_folder --data.root=empty", capsys)
    assert "empty" in said
    assert not (tmp_path / "runs").exists()


def test_a_runs_folder_that_is_a_file(capsys, tmp_path):
    (tmp_path / "afile").write_text("")
    assert "cannot be written: Not a directory" in refused(f"fit --config darts_iii --config digits {SMALL} --runs=afile", capsys)


def test_cifar10_that_cannot_be_fetched(capsys, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert "--config digits.yaml" in refused(f"fit --config darts_iii.yaml {SMALL}", capsys)
