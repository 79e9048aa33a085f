"""Layers by name and by rule, and the choice of neurons, on layers that are constructed."""

import pytest
import torch
from torch import nn

from robnas.attacks.backdoor.neurons import Activations, Layer, largest_weight, locate, lowest_mean, strength
from robnas.attacks.backdoor.trigger import Trigger
from robnas.attacks.backdoor.trojannn import excite
from robnas.errors import UserError
from robnas.models.build import of_architecture
from robnas.models.normalize import Normalized


class Pixels(nn.Module):
    """Four pixels → four features, which are the pixels times 1, 2, 3 and −1 → three classes."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(4, 3)  # first in the list of modules, last to run
        self.scale = nn.Conv2d(1, 1, 1, bias=False)
        self.flat = nn.Flatten()
        with torch.no_grad():
            self.scale.weight.fill_(1.0)
            self.classifier.weight.copy_(torch.tensor([[0.1, -0.9, 0.5, 0.2], [0.0, 0.0, 1.0, 0.0], [3.0, 3.0, 3.0, 3.0]]))

    def forward(self, x):
        return self.classifier(self.flat(self.scale(x)) * torch.tensor([1.0, 2.0, 3.0, -1.0], dtype=x.dtype))


def model():
    return Normalized(Pixels(), [0.0], [1.0]).eval().requires_grad_(False)


X = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]], [[[0.5, 0.0], [0.1, 0.6]]]])


def test_the_pooled_features_go_into_what_runs_last():
    layer = locate(model(), "pooled", X)
    assert layer == Layer("network.classifier", inputs=True)
    torch.testing.assert_close(Activations(model(), layer)(X), torch.tensor([[0.1, 0.4, 0.9, -0.4], [0.5, 0.0, 0.3, -0.6]]))
    assert locate(model(), "last_convolution", X) == Layer("network.scale", inputs=False)
    assert locate(model(), "flat", X) == locate(model(), "network.flat", X) == Layer("network.flat", inputs=False)
    assert Activations(model(), Layer("network.scale", inputs=False)).of(X, 1)[:, 0].tolist() == pytest.approx([0.25, 0.3])


def test_both_rules_by_hand():
    it, layer = model(), locate(model(), "pooled", X)
    found = Activations(it, layer).of(X)  # means 0.3, 0.2, 0.6, −0.5
    assert lowest_mean(found, 2).tolist() == [3, 1]
    assert lowest_mean(found, 4).tolist() == [3, 1, 0, 2]
    assert strength(it, layer, 0).tolist() == pytest.approx([0.1, 0.9, 0.5, 0.2])
    assert largest_weight(strength(it, layer, 0), 2).tolist() == [1, 2]
    assert largest_weight(strength(it, layer, 2), 3).tolist() == [0, 1, 2]  # equal ones: the first
    assert strength(it, Layer("network.classifier", inputs=False), 0).tolist() == pytest.approx([1.7, 1.0, 12.0])  # what comes in
    with pytest.raises(UserError, match=r"network.flat \(Flatten\) has no weights of its own"):
        strength(it, Layer("network.flat", inputs=False), 0)


@pytest.mark.parametrize("wrong", ["classifer", "network.classifer"])
def test_a_layer_that_there_is_not(wrong):
    with pytest.raises(UserError, match=r"unknown layer '.*classifer'. Did you mean '.*classifier'\? Known: pooled, last_convolution"):
        locate(model(), wrong, X)


def test_a_network_without_a_head():
    with pytest.raises(UserError, match="ends in no linear layer of 4 classes"):
        locate(nn.Flatten(), "pooled", X)


@pytest.mark.parametrize("family", ["bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet", "darts"])
def test_every_family_has_pooled_features(family):
    from robnas.models.build import describe

    data = {"num_classes": 7, "image_shape": [3, 16, 16], "class_names": list("abcdefg"), "mean": [0.5] * 3, "std": [0.5] * 3}
    it = of_architecture({"description": describe(family), "size": "tiny", "options": {}} | data).eval().requires_grad_(False)
    x = torch.rand(2, 3, 16, 16)
    layer = locate(it, "pooled", x)
    features = Activations(it, layer)(x)
    assert features.ndim == 2
    head = it.get_submodule(layer.name)
    again = features @ head.weight.flatten(1).T + head.bias
    torch.testing.assert_close(again, it(x), rtol=1e-4, atol=1e-5)  # nothing stands behind it
    assert strength(it, layer, 3).shape == (features.shape[1],)


def test_the_trigger_excites_its_neurons_step_by_step():
    """f = 2·x₁: below the wanted 10 its gradient is positive, so the pixel rises by 0.015 a step and the others stay."""
    layer = locate(model(), "pooled", X)
    start = Trigger(torch.ones(1, 2, 2), torch.full((1, 2, 2), 0.5), (0, 0), 0.7)
    made = excite(Activations(model(), layer), torch.tensor([1]), start, X, 10.0, 20, 0.015)
    assert made.pattern.flatten().tolist() == pytest.approx([0.5, 0.8, 0.5, 0.5])
    assert excite(Activations(model(), layer), torch.tensor([1]), start, X, 10.0, 50, 0.015).pattern[0, 0, 1] == 1  # no pixel beyond
    down = excite(Activations(model(), layer), torch.tensor([1, 3]), start, X, -10.0, 1, 0.015)
    assert down.pattern.flatten().tolist() == pytest.approx([0.5, 0.485, 0.5, 0.515])
