"""Published genotypes by name, and any other by file, folder or text."""

import subprocess
import sys

import pytest

from robnas.errors import UserError
from robnas.space import published


def test_all_ten_methods_and_the_mitigations_are_there():
    methods = {"amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "sgas", "snas", "random"}
    assert methods | {"darts_i", "darts_ii", "darts_iii"} <= set(published.names())
    assert all(published.entry(name).about for name in published.names())


def test_pc_darts_as_its_authors_publish_it():
    text = """PC_DARTS_cifar = Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1),
    ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[
    ('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('sep_conv_3x3', 3),
    ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"""
    assert published.find(text) == published.find("pc_darts")


@pytest.mark.parametrize(("said", "meant"), [("DARTS", "darts"), ("PC-DARTS", "pc_darts"), ("p-darts", "pdarts"), ("DARTS_V2", "darts")])
def test_names_as_papers_write_them(said, meant):
    assert published.find(said) is published.find(meant)


def test_files_and_run_folders(tmp_path):
    g = published.find("nasnet")
    (tmp_path / "genotype.yaml").write_text(g.to_yaml())
    (tmp_path / "log.txt").write_text("genotype = Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2], "
                                      "reduce=[('skip_connect', 0), ('skip_connect', 1)], reduce_concat=[2])")  # fmt: skip
    assert published.find(str(tmp_path)) == published.find(str(tmp_path / "genotype.yaml")) == published.find(g.to_yaml()) == g
    assert published.find(str(tmp_path / "log.txt")).normal.skips == 2


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("dart", "unknown genotype 'dart'. Did you mean 'darts'"),
        ("nowhere.yaml", "nowhere.yaml: no published genotype, no such file"),
        ("runs/search/latest", "no folder with a genotype.yaml"),
        ("x" * 5000, "unknown genotype"),
    ],
)
def test_what_is_not_there(source, says):
    with pytest.raises(UserError, match=says):
        published.find(source)


def test_a_bad_file_is_named(tmp_path):
    (tmp_path / "bad.yaml").write_text("normal: 1")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    for name in ("bad.yaml", "picture.png"):
        with pytest.raises(UserError, match=name):
            published.find(str(tmp_path / name))


def test_names_load_without_torch():
    names = "genotype, published, percentile, size, rewire, text, layout, drawing, search_space, stack"
    code = f"import sys; from robnas.space import {names}; import robnas.cell; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_too_long_for_a_genotype_is_not_read_to_its_end(tmp_path):
    (tmp_path / "log.txt").write_text("x" * 200_000)
    with pytest.raises(UserError, match=r"log.txt: genotype text is longer than 65,536 characters"):
        published.find(str(tmp_path / "log.txt"))
