"""Depth and width for a budget: against hand-made counts, all neighbours, and what `build` makes of the options."""

import pytest
import torch

from robnas import plugins
from robnas.errors import UserError
from robnas.models.build import build, describe
from robnas.models.count import count, size_of
from robnas.models.matched import CELLS, MANUAL, closest, matched
from robnas.models.sizes import sizes
from robnas.space import published
from robnas.space.size import size


def resnet_18(w):
    """Parameters by hand: stem, stages of w, 2w, 4w, 8w channels with four 3×3 convolutions, three projections, norms, 10 classes."""
    stem, classifier = 27 * w + 2 * w, 8 * w * 10 + 10
    stages = sum(4 * (9 * c * c + 2 * c) for c in (w, 2 * w, 4 * w, 8 * w))
    halving = sum(2 * c * c + 2 * 2 * c - 18 * c * c for c in (w, 2 * w, 4 * w))  # c → 2c: a projection; its first 3×3 was 2c → 2c above
    return stem + stages + halving + classifier


def test_resnet_18_by_hand():
    assert resnet_18(64) == 11_173_962
    assert min(range(1, 99), key=lambda w: abs(resnet_18(w) - 3_000_000)) == 33
    found = matched("resnet", parameters=3_000_000)
    assert (found.options, found.size.parameters) == ({"depth": 18, "width": 33}, resnet_18(33))
    assert found.off == resnet_18(33) / 3_000_000 - 1


@pytest.mark.parametrize("cost", [lambda w: w * w, lambda w: w**3, lambda w: 5000 + 40 * w, lambda w: 1 + (w // 5) ** 4])
@pytest.mark.parametrize("start", [1, 7, 64, 1000])
@pytest.mark.parametrize("step", [1, 2, 8])
@pytest.mark.parametrize("least", [1, 16])
def test_the_closest_width_is_that_of_all(cost, start, step, least):
    """Also where the cost grows otherwise than the first guess supposes, and where it stands still."""
    for budget in (1, 35, 37, 63, 64, 65, 1000, 5041, 6220, 12_345, 123_456):
        widths = range(max(step, least), 4000, step)
        width = closest(cost, budget, start, step, least)
        assert width in widths
        assert abs(cost(width) - budget) == min(abs(cost(w) - budget) for w in widths)


@pytest.mark.parametrize("name", sizes())
def test_the_paper_s_own_size_gives_the_paper_s_own_options(name):
    axes = MANUAL.get(name, CELLS)
    found = matched(name, parameters=sizes()[name].parameters)
    assert found.options == {axes.depth: axes.preferred[axes.depth], axes.width: axes.preferred[axes.width]}
    assert (found.off, found.size) == (0, sizes()[name])


@pytest.mark.parametrize("name", [*MANUAL, "darts", "random"])
def test_all_meet_three_million_parameters_within_the_tolerance(name):
    found = matched(name, parameters=3_000_000)
    assert abs(found.off) <= 0.05
    with torch.device("meta"):
        network = build(describe(name), num_classes=10, image_shape=(3, 32, 32), options=found.options)
    assert sum(p.numel() for p in network.parameters()) == found.size.parameters


def test_multiply_adds_of_a_cell_for_other_images():
    found = matched("darts", flops=50_000_000, image_shape=(1, 16, 16), num_classes=7)
    shape = {"image_size": 16, "in_channels": 1, "num_classes": 7, "layers": 20}
    costs = {c: size(published.find("darts"), init_channels=c, **shape).flops for c in range(4, 60)}
    assert found.options == {"layers": 20, "init_channels": min(costs, key=lambda c: abs(costs[c] - 50_000_000))}
    assert size_of("vgg", options=matched("vgg", flops=100_000_000).options).flops == pytest.approx(100e6, rel=0.05)


def test_images_that_are_not_square_are_counted_on_the_network():
    found = matched("darts", flops=4_000_000, fixed={"layers": 3}, image_shape=(3, 16, 8), tolerance=0.2)
    with torch.device("meta"):
        network = build(describe("darts"), num_classes=10, image_shape=(3, 16, 8), options=found.options)
    assert count(network, (3, 16, 8)) == found.size


def test_another_depth_only_where_no_width_is_near_enough():
    """The order is the distance from the paper's 20 cells, the smaller first."""
    genotype, budget = published.find("darts"), 300_000

    def best(layers):
        counts = [size(genotype, layers=layers, init_channels=c).parameters for c in range(1, 60)]
        return min(abs(n / budget - 1) for n in counts)

    assert matched("darts", parameters=budget, tolerance=best(20)).options["layers"] == 20
    order = sorted(range(3, 61), key=lambda layers: (abs(layers - 20), layers))
    better = next(layers for layers in order if best(layers) < best(20))
    assert matched("darts", parameters=budget, tolerance=best(20) - 1e-9).options["layers"] == better


def test_what_is_fixed_stays():
    assert matched("resnet", parameters=3_000_000, fixed={"depth": 34}).options == {"depth": 34, "width": 24}
    wrn = matched("wide_resnet", parameters=36_479_194, fixed={"depth": 28, "factor": 10})
    assert (wrn.options, wrn.off) == ({"depth": 28, "width": 16, "factor": 10}, 0)  # WRN-28-10 is 16 channels wide
    found = matched("darts", parameters=3_000_000, fixed={"init_channels": 30, "auxiliary": True, "drop_path": 0.2})
    assert found.options["init_channels"] == 30
    assert found.options["drop_path"] == 0.2
    assert found.size == size(published.find("darts"), layers=found.options["layers"], init_channels=30)  # without auxiliary head


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnext", {"parameters": 1000}, "network 'resnext': nothing is within 5% of 1.00 k parameters; the nearest has 846 k"),
        ("darts", {"parameters": 3_000_000, "flops": 1}, "a budget is needed: either parameters or flops"),
        ("darts", {}, "a budget is needed: either parameters or flops"),
        ("darts", {"parameters": 0}, "parameters: 0 is not in"),
        ("darts", {"flops": 1e30}, "flops: 1e+30 is not in"),
        ("darts", {"parameters": 3_000_000, "tolerance": 0}, "tolerance: 0 is not in"),
        ("darts", {"parameters": 3_000_000, "fixed": {"layer": 3}}, "unknown option of network darts 'layer'"),
        ("resnet", {"parameters": 3_000_000, "fixed": {"depth": 17}}, "depth: 17 is no depth of resnet"),
        ("resnet", {"parameters": 3_000_000, "fixed": {"width": "64"}}, "width: '64' is not a whole number"),
        ("vggg", {"parameters": 3_000_000}, "Did you mean 'vgg'?"),
    ],
)
def test_what_cannot_be_met_is_one_line(name, arguments, message):
    with pytest.raises(UserError) as error:
        matched(name, **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_network_from_elsewhere_grows_nobody_knows_how(monkeypatch):
    monkeypatch.setattr(plugins, "names", lambda group: ["mine"])
    monkeypatch.setattr(plugins, "load", lambda group, name: object())
    with pytest.raises(UserError, match="network 'mine': how it grows is not known"):
        matched("mine", parameters=1000)
