"""The spaces of sampled searches are set in configs and by flags, and their settings are those that they name."""

import pytest
from test_configs_shipped import SHIPPED, resolved

from command_line import robnas
from robnas import plugins
from robnas.configuration.reading import read_file
from robnas.space.search_space import OPERATIONS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["enas", "nasnet", "amoebanet"])
def test_five_nodes_with_loose_ends_of_all_ten_operations(name, capsys):
    space = resolved(f"fit --config {name} --config digits", capsys)["model"]["init_args"]["space"]
    assert space == {"operations": list(OPERATIONS), "nodes": 5, "sources": 2, "concat": [], "loose_ends": True, "repeats": True}


def test_a_flag_changes_one_thing_of_a_space(capsys):
    space = resolved("fit --config nasnet --model.space.nodes=3", capsys)["model"]["init_args"]["space"]
    assert (space["nodes"], space["loose_ends"], space["repeats"]) == (3, True, True)
    listed = "--model.space.operations=[skip_connect,sep_conv_3x3]"
    assert resolved(f"fit --config random {listed}", capsys)["model"]["init_args"]["space"]["operations"] == [
        "skip_connect",
        "sep_conv_3x3",
    ]


@pytest.mark.parametrize(("flag", "says"), [("nodez=3", "nodez"), ("concat=[5]", "concat: [5], but with loose_ends")])
def test_a_wrong_space_is_one_line(flag, says, capsys):
    said = robnas(f"fit --config nasnet --model.space.{flag}", capsys)
    assert said.status == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_twenty_thousand_children_as_in_the_papers():
    for name in ("nasnet.yaml", "amoebanet.yaml"):
        config = read_file(SHIPPED[name])
        assert config["model"]["init_args"]["proposals"] * config["trainer"]["max_epochs"] == 20_000


@pytest.mark.parametrize("overlay", ["", " --config digits"])
def test_enas_derives_among_children_of_one_policy(overlay, capsys):
    arguments = resolved(f"fit --config enas{overlay}", capsys)["model"]["init_args"]
    assert arguments["searcher"]["init_args"]["finalists"] <= arguments["proposals"]


@pytest.mark.parametrize("name", ["enas", "nasnet", "amoebanet"])
def test_a_config_says_the_defaults_of_its_searcher(name):
    """So that a call in a notebook does the same, but for `finalists`, which a task's rounds decide."""
    stated = read_file(SHIPPED[f"{name}.yaml"])["model"]["init_args"]["searcher"]["init_args"]
    defaults = plugins.load("robnas.searchers", name)().to_config()["init_args"]
    stated.pop("finalists", None)
    assert defaults | stated == defaults
