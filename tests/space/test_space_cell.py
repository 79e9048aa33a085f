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
    assert len(lines) == 10
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
    ],
)
def test_wrong_use_is_one_line(argv, says):
    with pytest.raises(UserError, match=says) as e:
        run(argv)
    assert "\n" not in str(e.value)


def test_help_and_no_torch():
    code = "import sys; from robnas.cell import run; run(['darts']); sys.exit('torch' in sys.modules)"
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
    assert time.monotonic() - start < 2
