"""Every shipped config, alone and under the overlay, is parsed to the end: types, keys, classes."""

import pytest
import yaml

from command_line import robnas
from robnas.configuration import files
from robnas.configuration.reading import read_file

SHIPPED = files.shipped()
WITH_MODEL = [name for name, path in SHIPPED.items() if "model" in read_file(path)]
EVALUATING = [name for name, path in SHIPPED.items() if name not in WITH_MODEL and {"attacks", "probes"} & set(read_file(path))]
OVERLAY = "digits.yaml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def resolved(command: str, capsys) -> dict:
    said = robnas(f"{command} --print_config", capsys)
    assert said.status == 0, said.err
    assert said.err == ""
    return yaml.safe_load(said.out)


def command(name: str) -> str:
    if name in EVALUATING:
        verb = "attack" if "attacks" in read_file(SHIPPED[name]) else "probe"
        return f"{verb} --config classify --config {name}"
    if "class_path" not in read_file(SHIPPED[name])["model"]:  # a run is its beginning, and its model that run's
        return f"fit --config classify --config {name}"
    return f"fit --config {name}"


def test_there_is_no_third_kind_and_what_attacks_a_training_is_walked_as_a_training():
    assert not set(WITH_MODEL) & set(EVALUATING)
    assert command("label_flip.yaml") == "fit --config label_flip.yaml"
    assert set(WITH_MODEL) | set(EVALUATING) | {OVERLAY} == set(SHIPPED)


@pytest.mark.parametrize("name", [*WITH_MODEL, *EVALUATING])
def test_every_config_parses_and_keeps_what_it_says(name, capsys):
    config = resolved(command(name), capsys)
    stated = read_file(SHIPPED[name])
    assert config["protocol"] == stated.get("protocol", "sound" if name in EVALUATING else "custom")
    if "trainer" in stated:
        assert config["trainer"] | stated["trainer"] == config["trainer"]
    for key, value in stated.get("model", {}).get("init_args", {}).items():
        if not isinstance(value, dict):
            assert config["model"]["init_args"][key] == value
    for kind in ("attacks", "defences"):
        blocks = stated.get(kind, {})
        assert set(blocks) == set(config.get(kind) or {})
        for one, block in blocks.items():
            numbers = {key: value for key, value in block.get("init_args", {}).items() if isinstance(value, int | float)}
            assert config[kind][one]["init_args"] | numbers == config[kind][one]["init_args"]


@pytest.mark.parametrize("name", [*WITH_MODEL, *EVALUATING])
def test_the_overlay_works_after_every_config(name, capsys):
    config = resolved(f"{command(name)} --config {OVERLAY}", capsys)
    assert config["data"]["class_path"] == "robnas.data.digits.Digits"
    assert config["scale"] == "tiny"
    assert (config["trainer"]["max_epochs"] or 0) <= 25  # what only evaluates has none
    if "trainer" in read_file(SHIPPED[name]):  # what trains
        stated = read_file(SHIPPED[name])["trainer"]["max_epochs"]
        assert config["trainer"]["max_epochs"] < stated


def test_darts_iii_is_both_mitigations_and_the_overlay_leaves_them(capsys):
    one, two, three = (
        resolved(f"fit --config {name} --config digits", capsys)["model"]["init_args"] for name in ("darts_i", "darts_ii", "darts_iii")
    )
    assert (one["n_step"], two["n_step"], three["n_step"]) == (5, 1, 5)
    gammas = [config["searcher"]["init_args"]["gamma"] for config in (one, two, three)]
    assert gammas == [1.0, 0.5, 0.5]


def test_eight_of_255_is_a_number(capsys):
    config = resolved("attack --config classify --config pgd", capsys)
    assert config["attacks"]["pgd"]["init_args"]["eps"] == 8 / 255
    flag = resolved("attack --config classify --config pgd --attacks.pgd.init_args.eps=4/255 --attacks.pgd_most.eps 2/255", capsys)
    assert [flag["attacks"][name]["init_args"]["eps"] for name in ("pgd", "pgd_most", "pgd_least")] == [4 / 255, 2 / 255, 8 / 255]


def test_what_is_printed_is_a_config_that_prints_itself(capsys, tmp_path):
    said = robnas("fit --config darts_iii --config digits --model.layers=4 --wandb=off --print_config", capsys)
    (tmp_path / "printed.yaml").write_text(said.out)
    again = robnas("fit --config printed.yaml --print_config", capsys)
    assert again.out == said.out
    assert yaml.safe_load(said.out)["wandb"] == "off"
    assert yaml.safe_load(said.out)["model"]["init_args"]["layers"] == 4
