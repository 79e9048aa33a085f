"""`robnas fit --config label_flip.yaml`: one command, its clean twin shared by rates and left as it was."""

import pytest
import torch

from command_line import robnas
from robnas import jobs
from robnas.attacks.poisoning import Record
from robnas.results import Rows

SMALL = (
    "--config digits --wandb=off --trainer.max_epochs=1 --trainer.limit_train_batches=2 --trainer.accelerator=cpu --model.network=resnet"
)


@pytest.mark.slow
def test_rates_share_a_clean_twin_that_nothing_touches(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = robnas(f"fit --config label_flip {SMALL} --attacks.label_flip.rate=0.4", capsys)
    assert said.status == 0, said.err
    assert "label_flip: cad " in said.out
    (twin,) = jobs.find("runs")[0:1] if jobs.find("runs")[0].experiment.endswith("-clean") else jobs.find("runs")[1:2]
    before = {path: path.read_bytes() for path in twin.folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert robnas(f"fit --config label_flip {SMALL} --attacks.label_flip.rate=0.2", capsys).status == 0
    found = {
        job.experiment: [other.folder for other in jobs.find("runs") if other.experiment == job.experiment] for job in jobs.find("runs")
    }
    assert {name: len(folders) for name, folders in found.items()} == {"label_flip": 2, "label_flip-clean": 1}
    assert {path: path.read_bytes() for path in before} == before
    clean = torch.load(twin.folder / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
    assert not clean.get("attacked")
    assert not (twin.folder / "poison.npz").exists()
    records = sorted((Record.read(folder) for folder in found["label_flip"]), key=len)
    assert [len(record) for record in records] == [round(rate * 1293) for rate in (0.2, 0.4)]
    assert set(records[0].index) <= set(records[1].index)
    for folder in found["label_flip"]:
        told = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]["attacked"]
        assert told["label_flip"]["class"] == "labelflip"
        rows = {row.metric: row for row in Rows(folder / "results.jsonl").read()}
        assert rows["cad"].params["rate"] == told["label_flip"]["rate"]
        assert (folder / "figures" / "label_flip.svg").is_file()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--attacks.label_flip.rate=1.5", "rate: 1.5 is not in [0, 1]"),
        ("--attacks.label_flip.flips=pairwize", "unknown flips 'pairwize'"),
        ("--attacks.label_flip.flips=pairwise --attacks.label_flip.pairs={3: 3}", "pairs: 3 → 3 flips nothing"),
        ("--attacks.label_flip.flips=pairwise --attacks.label_flip.pairs={3: 12}", "there is no class 12"),
    ],
)
def test_wrong_values_end_in_one_line(flags, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = robnas(f"fit --config label_flip {SMALL} {flags}", capsys)
    assert said.status == 2
    assert says in said.err
    assert said.err.count("\n") == 1
