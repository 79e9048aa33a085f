"""The verb `robnas cell`."""

import io
import json
import subprocess
import sys
import time

import pytest

from robnas.cell import run
from robnas.errors import UserError
from robnas.space import published
from robnas.space.genotype import Genotype


def printed(capsys, *argv):
    run(list(argv))
    return capsys.readouterr().out


def test_json(capsys):
    facts = json.loads(printed(capsys, "darts", "--json"))
    assert {k: facts["normal"][k] for k in ("depth", "width", "skips")} == {"depth": 3, "width": 3, "skips": 2}
    assert facts["reduce"]["skips"] == 3
    assert facts["parameters"] == 3_349_342
    assert facts["percentile"].keys() == {"parameters", "flops"}
    assert Genotype.from_dict(facts["genotype"]) == published.find("darts")


def test_published_cells_are_wide_and_shallow_among_random_ones(capsys):
    """Table 3's point, which the paper makes without a comparison: NASNet's normal cell is as wide and as shallow as can be."""
    rank = json.loads(printed(capsys, "nasnet", "--json"))["normal"]["percentile"]
    assert rank["depth"] < 1
    assert rank["width"] > 99


def test_plain_text(capsys):
    lines = printed(capsys, "darts_iii", "--layers", "5", "--init-channels", "10", "--image-size", "16").splitlines()
    assert lines[1].split() == ["normal", "cell,", "depth", "5", "92.8"]
    assert len(lines) == 14
    assert lines[-1].startswith("network: 5 cells, 10 channels, 16×16 images")
    assert "\x1b" not in "".join(lines)


def test_changes_and_output(capsys, tmp_path):
    out = tmp_path / "new" / "mine.yaml"
    text = printed(
        capsys, "DARTS", "--deepen", "--replace", "skip_connect=sibling", "--out", str(out), "--svg", str(tmp_path / "cells.svg")
    )
    assert published.find(str(out)) == published.find("darts_iii")
    assert (tmp_path / "cells.svg").stat().st_size > 1000
    assert f"wrote {out}" in text
    assert Genotype.from_yaml(printed(capsys, "snas", "--out", "-")) == published.find("snas")


def test_both_cells_change_where_asked(capsys):
    changed = Genotype.from_yaml(printed(capsys, "darts", "--replace", "skip_connect=sep_conv_3x3", "--change", "both", "--out", "-"))
    assert (changed.normal.skips, changed.reduce.skips) == (0, 0)


def test_several_stand_beside_each_other(capsys, tmp_path):
    text = printed(capsys, "darts", "darts_i", "--svg", str(tmp_path / "both.svg"), "--draw", "normal")
    blocks = [block.splitlines() for block in text.split("\n\n")]
    assert [block[0].split()[:2] for block in blocks[:3]] == [["normal", "cell"], ["reduce", "cell"], ["network", "parameters"]]
    assert blocks[0][1].split() == ["darts", "3", "(17.6)", "3", "(95.0)", "2", "(85.8)", "6", "(68.2)", "0.57", "(50.0)"]
    assert blocks[0][2].split()[:4] == ["darts_i", "5", "(92.8)", "1"]
    assert len({len(line) for line in blocks[0]}) == 1
    facts = json.loads(printed(capsys, "darts", "darts_i", "--json"))
    assert [(one["name"], one["normal"]["depth"]) for one in facts] == [("darts", 3), ("darts_i", 5)]


def test_two_files_of_one_name_are_two(capsys, tmp_path):
    for folder, name in (("a", "darts"), ("b", "enas")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text(published.find(name).to_yaml())
    facts = json.loads(printed(capsys, str(tmp_path / "a" / "mine.yaml"), str(tmp_path / "b" / "mine.yaml"), "--json"))
    assert [(one["name"], one["normal"]["width"]) for one in facts] == [("mine", 3), ("mine (2)", 5)]


def search(folder):
    """A search's run folder: it began with NASNet's cells and ended with DARTS-i's."""
    cells = enumerate(published.find(name).to_dict() for name in ("nasnet", "darts", "darts_i"))
    (folder / "genotypes.jsonl").write_text("".join(json.dumps({"epoch": 2 * i, "genotype": g}) + "\n" for i, g in cells))
    return str(folder)


def test_every_genotype_that_a_search_passed_through(capsys, tmp_path):
    facts = json.loads(printed(capsys, search(tmp_path), "--passed", "--json"))
    assert [(one["name"], one["normal"]["depth"]) for one in facts] == [("epoch 0", 2), ("epoch 2", 3), ("epoch 4", 5)]
    assert [one["normal"]["percentile"]["depth"] for one in facts] == [0.0, 17.6, 92.8]
    assert printed(capsys, search(tmp_path), "--passed").splitlines()[3].split()[:4] == ["epoch", "4", "5", "(92.8)"]


def test_standard_input(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(published.find("enas").to_yaml()))
    assert json.loads(printed(capsys, "-", "--json"))["normal"]["width"] == 5


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["nasnett"], "'nasnet'"),
        ([], "required: genotype"),
        (["darts", "--layer", "3"], "unrecognized arguments: --layer"),
        (["darts", "--layers", "many"], "invalid int value: 'many'"),
        (["darts", "--layers", "0"], "layers: 0 is below 1"),
        (["darts", "--replace", "skip_connect"], "is not A=B"),
        (["darts", "--replace", "skip=zero"], "'skip_connect'"),
        (["darts", "--svg", "x.bmp"], "allowed: .svg"),
        (["darts", "--out", "/dev/null/x/y"], "cannot write"),
        (["darts", "enas", "--out", "-"], "a file holds one genotype, and here are 2"),
        (["darts", "--passed"], "darts: no run folder of a search"),
        (["darts", "enas", "--passed"], "one search at a time, and here are 2"),
        (["-", "-"], "standard input is one genotype"),
    ],
)
def test_wrong_use_is_one_line(argv, says):
    with pytest.raises(UserError, match=says) as e:
        run(argv)
    assert "\n" not in str(e.value)


def test_a_list_of_genotypes_that_is_none_is_named(tmp_path):
    (tmp_path / "genotypes.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"genotypes.jsonl: no list of genotypes"):
        run([str(tmp_path), "--passed"])


def test_help_and_no_torch():
    code = "import sys; from robnas.cell import run; run(['darts']); sys.exit('torch' in sys.modules)"
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
    assert time.monotonic() - start < 2
