"""The example of a probe in a package of its own: found by its name, run in `fit` and by `robnas probe`."""

import sys
import tomllib
from pathlib import Path

import pytest

from command_line import robnas
from robnas import plugins
from robnas.results import Rows

FOLDER = Path(__file__).parents[1] / "plugins" / "robnas-ntk"
SMALL = "--wandb=off --trainer.accelerator=cpu --trainer.max_epochs=1 --trainer.limit_train_batches=1"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As an editable install: the folder on the path, the entry points in a dist-info."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"robnas_ntk-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["robnas.probes"]
    (info / "entry_points.txt").write_text("[robnas.probes]\n" + "\n".join(f"{name} = {value}" for name, value in points.items()))
    before = list(sys.path)
    sys.path[:0] = [str(info.parent), str(FOLDER)]
    monkeypatch.chdir(tmp_path)
    plugins.refresh()
    yield
    sys.path[:] = before
    plugins.refresh()


def test_it_is_found_by_its_short_name(installed):
    ntk = plugins.find("robnas.probes", "ntk")
    assert (ntk.distribution, ntk.fault()) == ("robnas-ntk", "")


@pytest.mark.slow
def test_in_fit_and_by_robnas_probe_it_has_one_value(installed, capsys):
    """Of the trained weights: at the end of `fit`, and in the folder afterwards."""
    config, flags = FOLDER / "ntk.yaml", "--probes.ntk.init_args.n_samples=8 --probes.ntk.init_args.batch=4"
    done = robnas(f"fit --config classify.yaml --config digits.yaml --config {config} {flags} {SMALL}", capsys)
    assert done.status == 0, done.err
    again = robnas(f"probe runs/classify/latest --config {config} {flags} --wandb=off --trainer.accelerator=cpu", capsys)
    assert again.status == 0, again.err
    rows = [row for row in Rows(Path("runs/classify/latest/results.jsonl")).read() if row.plugin == "ntk"]
    at = {row.params["at"]: row.value for row in rows if row.metric == "ntk_condition_number"}
    assert set(at) == {"fit_start", "fit_end", "test"}
    assert at["fit_end"] == pytest.approx(at["test"], rel=1e-3)
    assert at["fit_start"] != pytest.approx(at["fit_end"], rel=1e-3)
    assert all(value > 1 for value in at.values())
