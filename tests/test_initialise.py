"""Kaiming's initialisation: the same law for every family, drawn by name and seed alone."""

import pytest
import torch
from torch import nn

from robnas.errors import UserError
from robnas.initialise import kaiming_
from robnas.models.build import build, describe
from robnas.runtime.trainer import Trainer
from small_classifier import classifier, digits, trainer

NAMES = ("darts", "bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")


def made(name, seed=0):
    network = build(describe(name), num_classes=10, image_shape=(3, 16, 16), size="tiny")
    kaiming_(network, seed)
    return network


@pytest.mark.parametrize("name", NAMES)
def test_variances_are_two_by_fan_in_biases_zero_and_norms_one(name):
    network = made(name)
    squares = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            squares.append((module.weight.detach() * (module.weight[0].numel() / 2) ** 0.5).flatten())
            assert module.bias is None or not module.bias.any()
        elif module._parameters:
            assert (module.weight == 1).all()
            assert not module.bias.any()
    z = torch.cat(squares)  # standard normal
    assert abs(float(z.mean())) < 4 / len(z) ** 0.5
    assert abs(float(z.square().mean()) - 1) < 4 * (2 / len(z)) ** 0.5
    assert abs(float((z.abs() < 0.6745).double().mean()) - 0.5) < 4 * 0.5 / len(z) ** 0.5


def test_draws_follow_the_seed_and_the_name_and_nothing_else():
    torch.manual_seed(1)
    first = made("resnet").state_dict()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    network = build(describe("resnet"), num_classes=10, image_shape=(3, 16, 16), size="tiny")
    del network.layer1  # whatever else there is
    kaiming_(network, 0)
    assert not torch.equal(torch.random.get_rng_state(), state)  # `build` has drawn
    state = torch.random.get_rng_state()
    kaiming_(network, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, first[name]) for name, value in network.state_dict().items())
    other = made("resnet", seed=1)
    assert not torch.equal(other.conv1.weight, first["conv1.weight"])


def test_a_layer_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"kaiming knows no weights of a PReLU \(1\)"):
        kaiming_(nn.Sequential(nn.Linear(2, 2), nn.PReLU()))


def test_a_classifier_starts_from_it(tmp_path):
    own, kaiming = classifier(), classifier(initialisation="kaiming")
    for task in (own, kaiming):
        t: Trainer = trainer(tmp_path)
        t.validate(task, digits(), verbose=False)
    expected = made_like(kaiming)
    assert all(torch.equal(value, expected[name]) for name, value in kaiming.network.state_dict().items())
    assert not all(torch.equal(value, expected[name]) for name, value in own.network.state_dict().items())


def made_like(task):
    network = build(task.description, num_classes=10, image_shape=(3, 16, 16), size=task.size, options=task.options)
    kaiming_(network, 0)
    return network.state_dict()
