"""Every network of a shipped study can be built as every config of the study wants it."""

import pytest

from robnas.configuration import flags
from robnas.errors import UserError
from robnas.models.build import check, describe
from robnas.space import published
from robnas.study import file
from robnas.study.layers import merged
from robnas.tasks.classifier import Classifier

MANUAL = ("bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")


def trainings(study):
    """(config files, scale) of everything that trains a network of the study's, each once; what goes on from a run has that run's."""
    found = {}
    for block in study.blocks:
        if block.trains and block.kind != "search" and not any("init_from" in flag for flag in block.flags):
            for protocol in block.configs:
                found[block.layers(protocol)] = None
    return list(found)


CASES = [(name, layers) for name in ("quickstart", "mitigation", "paper") for layers in trainings(file.read(file.find(name)))]


@pytest.mark.parametrize(("study", "layers"), CASES)
def test_every_family_takes_what_a_config_says_of_networks(study, layers):
    """The cells are one family: DARTS stands for them."""
    words = [word for name in layers for word in ("--config", name)]
    given = merged(flags.parse(words))["model"]["init_args"]
    for network in ("darts", *MANUAL):
        description = describe(network)
        of_cells = given.get("cell_options", {}) if "genotype" in description else {}
        check(description, "tiny", {**of_cells, **given.get("options", {})})


def test_options_of_cells_are_none_of_other_networks():
    assert Classifier("darts", "tiny", cell_options={"dropout": 0.2}).options == {"dropout": 0.2}
    assert Classifier("darts", "tiny", {"dropout": 0.1}, {"dropout": 0.2, "layers": 3}).options == {"dropout": 0.1, "layers": 3}
    assert Classifier("resnet", "tiny", {"width": 4}, {"dropout": 0.2}).options == {"width": 4}
    with pytest.raises(UserError, match="dropout"):
        Classifier("resnet", "tiny", {"dropout": 0.2})


def test_a_study_names_published_cells_and_families_alone():
    models = file.read(file.find("paper")).models.values()
    assert {m.network for m in models if m.network} <= {*published.names(), *MANUAL}
