"""Every shipped config of a probe by `robnas probe` on a run, and as callbacks of the `fit` that made it: one value."""

import pytest

from command_line import CLASSIFY, robnas
from robnas.configuration import files
from robnas.configuration.reading import read_file
from robnas.probes.contours import Contours
from robnas.probes.gradient_variance import GradientVariance
from robnas.probes.smoothness import Smoothness
from robnas.results import Rows
from small_classifier import classifier, digits, trainer

CONFIGS = {name: blocks for name, path in files.shipped().items() if (blocks := read_file(path).get("probes"))}
FEW = {
    "gradient_variance": {"n_samples": 6},
    "contours": {"n_samples": 6, "points": 3, "resamples": 5},
    "input_contours": {"n_samples": 3, "points": 3, "n_drawn": 2},
    "smoothness": {"n_samples": 4, "steps": 3, "theorem_inputs": 1, "secant_steps": 2},
    "zero_cost": {"n_samples": 8, "batch": 4},
}


def flags(name: str) -> str:
    """Fewer inputs and points than it says, but one image where it says one."""
    few = {block: FEW.get(own["class_path"], {}) for block, own in CONFIGS[name].items()}
    own = {block: CONFIGS[name][block].get("init_args", {}) for block in few}
    values = {b: {k: min(v, own[b].get(k, v)) if k == "n_samples" else v for k, v in some.items()} for b, some in few.items()}
    return " ".join(f"--probes.{b}.init_args.{k}={v}" for b, some in values.items() for k, v in some.items())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plain = [name for name in CONFIGS if "/" not in name]
        hooks = " ".join(f"--probes.{block}.init_args.hooks=[fit_end]" for name in plain for block in CONFIGS[name])
        few = " ".join(flags(name) for name in plain)
        configs = " ".join(f"--config {name}" for name in plain)
        robnas_quietly(f"fit {CLASSIFY.replace('--config digits', f'{configs} --config digits')} {few} {hooks}")
        yield folder / "runs" / "classify" / "latest"


def robnas_quietly(text: str) -> None:
    from command_line import words
    from robnas.__main__ import main

    try:
        main(words(text))
    except SystemExit as end:
        assert not end.code  # noqa: PT017 — the exit is the answer


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_every_shipped_config_measures_a_run_as_its_fit_did(name, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = robnas(f"probe {run} --config {name} --config digits {flags(name)} --wandb=off --trainer.accelerator=cpu", capsys)
    assert said.status == 0, said.err
    rows = [row for row in Rows(run / "results.jsonl").read() if row.kind == "probe"]
    protocol = read_file(files.shipped()[name])["protocol"]  # other configs of this probe were there before
    now = [
        row
        for row in rows
        if row.params["at"] == "test" and row.protocol == protocol and row.plugin in {p.replace("_", "") for p in classes(name)}
    ]
    assert now
    if "/" in name:  # only the plain ones were measured in `fit`
        return
    then = {(row.plugin, row.metric, row.params.get("initialisation")): row.value for row in rows if row.params["at"] == "fit_end"}
    compared = [row for row in now if (row.plugin, row.metric, row.params.get("initialisation")) in then]
    assert compared
    for row in compared:
        value = then[row.plugin, row.metric, row.params.get("initialisation")]
        assert row.value == (None if value is None else pytest.approx(value, rel=1e-4, abs=1e-7)), row.metric


def classes(name: str) -> set[str]:
    return {block["class_path"] for block in CONFIGS[name].values()}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_a_run_of_sixteen_bits_is_measured_in_single_precision(precision, tmp_path):
    few = {"n_samples": 6, "hooks": ("fit_start",)}
    probes = [GradientVariance(**few), Contours(points=3, resamples=0, **few), Smoothness(steps=3, theorem_inputs=1, secant_steps=2, **few)]
    task = classifier()
    trainer(tmp_path, callbacks=probes, precision=precision).fit(task, digits(augment=False))
    assert all(p.dtype.itemsize == 2 for p in task.parameters())
    values = {row.metric: row.value for probe in probes for row in probe.rows}
    assert values["gradient_variance"] > 0
    assert values["lipschitz_input"] > 0
    assert "bound" in values  # in 16 bits no first layer is linear
