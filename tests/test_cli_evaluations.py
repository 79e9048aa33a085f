"""What `robnas attack` leaves in the folder of a model from elsewhere, and what `robnas list runs` says of it."""

import json

import pytest
from safetensors.torch import save_file

import own_network
from command_line import refused, robnas

QUIET = "--wandb=off --trainer.accelerator=cpu"
ATTACK = f"attack --config own_model --config digits --attacks.one=pgd --attacks.one.max_inputs=20 --attacks.one.steps=1 {QUIET}"
OWN = f"{ATTACK} --model.source=net.py:Net"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(own_network.CODE)
    save_file(own_network.trained().state_dict(), tmp_path / "net.safetensors")
    return tmp_path


def test_an_attack_on_an_own_model_is_listed_as_finished_with_its_name_and_command(place, capsys):
    said = robnas(f"{OWN} --model.weights=net.safetensors", capsys)
    assert said.status == 0, said.err
    (entry,) = json.loads(robnas("list runs --json", capsys).out)
    assert (entry["state"], entry["model"]) == ("finished", "net.py:Net")
    assert entry["found"].startswith("clean accuracy ")
    assert "ASR of pgd" in entry["found"]
    facts = json.loads((place / entry["name"] / "job.json").read_text())
    assert facts["command"][0] == "robnas"
    refused(f"{OWN} --model.weights=net.safetensors --model.check_inputs=1", capsys)  # too few to be above chance: another job
    (entry,) = json.loads(robnas("list runs --json", capsys).out)
    assert entry["state"] == "finished"


@pytest.mark.parametrize(
    ("flags", "says"), [("", "at chance"), ("--model.weights=net.safetensors --model.image_shape=[3,32,32]", "32")], ids=["chance", "shape"]
)
def test_a_refused_evaluation_leaves_no_folder(flags, says, place, capsys):
    assert says in refused(f"{OWN} {flags}", capsys)
    assert not (place / "runs").exists() or not list((place / "runs").rglob("*"))


def test_a_refused_evaluation_leaves_a_folder_that_was_there_as_it_was(place, capsys):
    """The same model; what is wrong is the attack, which is no part of the model's job."""
    assert robnas(f"{OWN} --model.weights=net.safetensors", capsys).status == 0
    (folder,) = {p.resolve() for p in (place / "runs" / "attack").glob("*/")}
    before = {name: (folder / name).read_text() for name in ("job.json", "results.jsonl")}
    (place / "picky_attack.py").write_text(
        "from robnas.attacks import PGD\nfrom robnas.errors import UserError\n"
        "class Picky(PGD):\n    def __call__(self, *args, **kwargs):\n        raise UserError('not these')\n"
    )
    weights = "--model.weights=net.safetensors"
    picky = f"attack --config own_model --config digits --model.source=net.py:Net {weights} --attacks.two=picky_attack.Picky {QUIET}"
    assert "not these" in refused(picky, capsys)
    assert {name: (folder / name).read_text() for name in before} == before
