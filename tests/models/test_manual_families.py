"""The seven manual families: sizes against torchvision's, timm's and published ones, images of any size, bad options."""

from itertools import pairwise

import pytest
import timm
import torch
import torchvision
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from robnas import batch_norm, plugins
from robnas.errors import UserError
from robnas.models.build import build, describe

NAMES = ("bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")


def model(name, shape=(3, 32, 32), num_classes=10, size="paper", **options):
    return build(describe(name), num_classes=num_classes, image_shape=shape, size=size, options=options)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def on_meta(make):
    with torch.device("meta"):
        return make()


def multiply_adds(network, side=32):
    """torch's own counter counts a multiply-add twice."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(torch.randn(1, 3, side, side))
    return counter.get_total_flops() // 2


def classifier(c_in, old=1000, new=10):
    """By how much a linear layer shrinks."""
    return (old - new) * (c_in + 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_is_a_plug_in_of_the_manual_kind(name):
    assert name in plugins.names("robnas.models")
    assert describe(name) == {"name": name, "family": "manual", "plugin": name}


LIBRARIES = [  # channels of the stem, and of what the classifier sees
    ("resnet", {}, torchvision.models.resnet18, 64, 512),
    ("resnet", {"depth": 34}, torchvision.models.resnet34, 64, 512),
    ("resnet", {"depth": 50}, torchvision.models.resnet50, 64, 2048),
    ("resnext", {}, torchvision.models.resnext50_32x4d, 64, 2048),
    ("wide_resnet", {}, torchvision.models.wide_resnet50_2, 64, 2048),
    ("wide_resnet", {"depth": 101}, torchvision.models.wide_resnet101_2, 64, 2048),
    ("densenet", {}, torchvision.models.densenet121, 64, 1024),
    ("densenet", {"depth": 161, "growth": 48}, torchvision.models.densenet161, 96, 2208),
    ("bit", {}, lambda: timm.create_model("resnetv2_50x1_bit"), 64, 2048),
    ("dla", {}, lambda: timm.create_model("dla34"), 16, 512),
]


@pytest.mark.parametrize(("name", "options", "theirs", "stem", "c_out"), LIBRARIES)
def test_parameters_are_the_libraries_own_but_for_stem_and_classes(name, options, theirs, stem, c_out):
    ours = on_meta(lambda: model(name, **options))
    assert parameters(ours) == parameters(on_meta(theirs)) - 40 * 3 * stem - classifier(c_out)  # 3×3 instead of 7×7


@pytest.mark.parametrize(("name", "options", "theirs", "stem", "c_out"), [row for row in LIBRARIES if not row[1]])
def test_multiply_adds_are_the_libraries_own_but_for_stem_and_classes(name, options, theirs, stem, c_out):
    """Behind a stem and a pool that halve, an image of 128×128 pixels is as large as 32×32 ones are here."""
    before = 147 * stem * 64**2
    after = 27 * stem * 32**2
    if name == "dla":  # its stem keeps the resolution, and levels 0 and 1, of 16 and 32 channels, stand before the halvings
        before = (147 * 16 + 9 * 16 * 16) * 128**2 + 9 * 16 * 32 * 64**2
        after = (27 * 16 + 9 * 16 * 16 + 9 * 16 * 32) * 32**2
    expected = multiply_adds(on_meta(theirs), 128) - before + after - 990 * c_out
    assert multiply_adds(on_meta(lambda: model(name, **options))) == expected


def test_published_sizes():
    """WRN-28-10: 36.5 M (Zagoruyko and Komodakis, 2016, Table 4); VGG-13 with batch norm by hand."""
    assert parameters(on_meta(lambda: model("wide_resnet", depth=28, factor=10))) == 36_479_194
    plan = [3, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    by_hand = sum(9 * a * b + 3 * b for a, b in pairwise(plan)) + 512 * 10 + 10  # bias, and batch norm's two
    assert parameters(on_meta(lambda: model("vgg"))) == by_hand


def test_published_multiply_adds():
    """WRN-28-10: 5.2 G (Zagoruyko and Komodakis, 2016, as others count it); VGG-13 by hand, two layers at each resolution."""
    assert multiply_adds(on_meta(lambda: model("wide_resnet", depth=28, factor=10))) == pytest.approx(5.2e9, rel=0.01)
    plan = [3, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    by_hand = sum(9 * a * b * (32 >> i // 2) ** 2 for i, (a, b) in enumerate(pairwise(plan))) + 5120
    assert multiply_adds(on_meta(lambda: model("vgg"))) == by_hand


def test_multiply_adds_of_resnet_18_by_hand():
    """Stem, four stages of four 3×3 convolutions (the first of which halves), three projections, classifier."""
    stem = 27 * 64 * 32**2
    first = 4 * 9 * 64 * 64 * 32**2
    others = 3 * (9 * 64 * 128 + 3 * 9 * 128 * 128 + 64 * 128) * 16**2  # each stage: 4 times the weights, a quarter of the pixels
    assert multiply_adds(on_meta(lambda: model("resnet"))) == stem + first + others + 5120


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 16, 16), (3, 8, 12)])
def test_tiny_ones_take_every_size_of_image(name, shape):
    network = model(name, shape, 7, "tiny")
    logits = network(torch.rand(2, *shape))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_no_first_pool_and_a_small_stem(name):
    network = on_meta(lambda: model(name))
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert (first.kernel_size, first.stride) == ((3, 3), (1, 1))


@pytest.mark.parametrize("name", NAMES)
def test_paper_sizes_train_for_a_step(name):
    torch.manual_seed(0)
    network = model(name)
    logits = network(torch.rand(2, 3, 32, 32))
    logits.square().mean().backward()
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_attacks_can_trace_them(name):
    torch.fx.symbolic_trace(model(name, size="tiny").eval())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {"depth": 17}, "depth: 17 is no depth of resnet; allowed: 10, 18, 26, 34, 50, 101, 152"),
        ("resnext", {"depth": 18}, "depth: 18 is no depth of resnext; allowed: 26, 50, 101, 152"),
        ("wide_resnet", {"depth": 18}, "depth: 18 is no depth of wide_resnet"),
        ("wide_resnet", {"depth": 4}, "depth: 4 is no depth of wide_resnet"),
        ("wide_resnet", {"width": 0}, "width: 0 is not a whole number ≥ 1"),
        ("bit", {"width": 13}, "width: 13 is odd"),
        ("resnext", {"width": 9}, "width: 9 leaves a group of 4 per 64 channels without any"),
        ("vgg", {"width": 0}, "width: 0 is not a whole number ≥ 1"),
        ("vgg", {"width": "64"}, "width: '64' is not a whole number ≥ 1"),
        ("densenet", {"width": 3}, "unknown option of network densenet 'width'"),
    ],
)
def test_bad_options_are_one_line(name, options, message):
    with pytest.raises(UserError) as error:
        model(name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_batch_norm_can_be_taken_across_ranks(name):
    """Else two ranks would quietly train another model than one process."""
    network = batch_norm.convert(model(name, size="tiny"))
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(type(m) is batch_norm.BatchNorm2d for m in norms)
    assert bool(norms) == (name != "bit")


def test_a_foreign_batch_norm_is_refused_by_name():
    with pytest.raises(UserError, match="BatchNormAct2d cannot be taken across ranks"):
        batch_norm.convert(nn.Sequential(BatchNormAct2d(4)))


@pytest.mark.parametrize("width", [2, 4, 6, 8, 12, 16, 22, 24, 40, 60, 72])
def test_bit_of_narrow_and_odd_widths(width):
    assert on_meta(lambda: model("bit", width=width))(torch.rand(2, 3, 32, 32, device="meta")).shape == (2, 10)


@pytest.mark.parametrize("width", [1, 33, 64])
def test_the_stem_is_as_wide_as_the_first_stage(width):
    """Not timm's next even number, with a projection that no other width has."""
    basic, bottleneck = (on_meta(lambda d=depth: model("resnet", depth=d, width=width)) for depth in (18, 50))
    assert (basic.conv1.out_channels, basic.bn1.num_features, basic.layer1[0].conv1.in_channels) == (width, width, width)
    assert basic.layer1[0].downsample is None
    assert (bottleneck.layer1[0].conv1.in_channels, bottleneck.layer1[0].downsample[0].in_channels) == (width, width)


@pytest.mark.parametrize("name", ["resnet", "vgg", "wide_resnet", "dla"])
@pytest.mark.parametrize("width", [1, 3, 7])
def test_odd_widths(name, width):
    assert on_meta(lambda: model(name, width=width))(torch.rand(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_what_a_constructor_refuses_is_one_line(monkeypatch):
    def impossible(num_classes, image_shape, size, groups):
        return nn.Conv2d(3, 4, 3, groups=groups)

    monkeypatch.setattr(plugins, "load", lambda *_: impossible)
    with pytest.raises(UserError, match=r"network mine cannot be built with \{'groups': 3\}: 'out_channels must be divisible") as error:
        build({"name": "mine", "family": "custom", "plugin": "mine"}, num_classes=2, image_shape=(3, 8, 8), options={"groups": 3}).eval()
    assert "\n" not in str(error.value)
