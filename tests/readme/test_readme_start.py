"""The README's first chain as it is printed, whole: a cell is found, and trained it reads digits."""

import pytest

from command_line import robnas
from robnas.results import Rows
from robnas.space import published


@pytest.mark.slow
def test_the_cell_that_is_found_reads_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert robnas("fit --config darts_iii.yaml --config digits.yaml --trainer.accelerator=cpu", capsys).status == 0
    search = tmp_path / "runs" / "darts_iii" / "latest"
    published.read(search / "genotype.yaml")
    for name in ("cells", "alpha"):
        assert (search / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (search / "figures" / f"{name}.svg").read_text()[:1000]
    fit = "fit --config classify.yaml --config digits.yaml --model.network=runs/darts_iii/latest --trainer.accelerator=cpu"
    said = robnas(fit, capsys)
    assert said.status == 0
    (row,) = [row for row in Rows(tmp_path / "runs/classify/latest/results.jsonl").read() if row.metric == "accuracy"]
    assert row.value >= 0.95
    assert row.n == 360
    assert f"test accuracy {100 * row.value:.1f}%" in said.out
