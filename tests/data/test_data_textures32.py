"""Textures: any number of them, the same each time, and not for a linear classifier."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from robnas.data import Textures32
from robnas.errors import UserError


def test_any_number_of_classes_and_images_and_labelled_synthetic():
    data = Textures32(num_classes=7, n_train=21, n_test=9)
    train, test = data.sets()
    assert train.x.shape == (21, 3, 32, 32)
    assert torch.bincount(train.y).tolist() == [3] * 7
    assert len(test) == 9
    assert data.synthetic
    assert "synthetic" in data.name
    assert data.describe()["synthetic"] is True
    with pytest.raises(UserError, match="5 images cannot show 10 classes"):
        Textures32(n_train=5)


def test_an_image_depends_on_its_number_and_the_texture_seed_alone():
    small, large = Textures32(n_train=20, n_test=10).sets(), Textures32(n_train=1_020, n_test=30, seed=8).sets()
    assert torch.equal(small[0].x, large[0].x[:20])
    assert torch.equal(small[1].x, large[1].x[:10])
    assert not torch.equal(small[0].x[:10], small[1].x)
    other = Textures32(n_train=20, n_test=10, texture_seed=1)
    assert not torch.equal(small[0].x, other.sets()[0].x)
    assert other.fingerprint() != Textures32(n_train=20, n_test=10).fingerprint()


def accuracy(model: nn.Module, data: Textures32, epochs: int) -> float:
    torch.manual_seed(0)
    train, test = data.sets()
    for layer in model.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(epochs):
        for index in torch.randperm(len(train), generator=torch.Generator().manual_seed(epoch)).split(32):
            optimizer.zero_grad()
            cross_entropy(model(4 * (train.x[index] / 255 - 0.5)), train.y[index]).backward()
            optimizer.step()
    model.eval()
    return float((model(4 * (test.x / 255 - 0.5)).argmax(1) == test.y).double().mean())


def test_a_small_convolutional_network_learns_what_a_linear_classifier_cannot():
    data = Textures32(num_classes=4, n_train=800, n_test=200)
    linear = accuracy(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)), data, epochs=5)
    features = nn.Sequential(nn.Conv2d(3, 16, 7, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    convolutional = accuracy(nn.Sequential(features, nn.Linear(16, 4)), data, epochs=5)
    assert linear < 0.6
    assert convolutional > 0.85
