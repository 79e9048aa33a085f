"""Operations and the network: shapes, published sizes, hand-written mathematics in float64."""

import copy

import pytest
import torch
from torch import fx
from torch.nn import functional as F

from robnas.errors import UserError
from robnas.space import published
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.network import Network, drop_paths
from robnas.space.operations import FactorizedReduce, build
from robnas.space.search_space import OPERATIONS


def images(size=16, n=2, channels=3):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def small(name="darts", **options):
    torch.manual_seed(0)
    return Network(published.find(name), num_classes=7, **{"layers": 3, "init_channels": 4, **options})


def published_size(name):
    return sum(p.numel() for p in Network(published.find(name), num_classes=10).parameters())


def test_darts_has_the_parameters_that_its_authors_print():
    assert published_size("darts") == 3_349_342  # "param size = 3.349342MB"


@pytest.mark.parametrize(("name", "millions"), [("pc_darts", 3.63), ("pdarts", 3.43)])
def test_other_published_sizes(name, millions):
    assert published_size(name) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("name", published.names())
def test_every_published_cell_is_a_network_whose_every_weight_learns(name):
    net = small(name, auxiliary=True, drop_path=0.3, dropout=0.1)
    out = net(images())
    assert out.shape == net.auxiliary_logits.shape == (2, 7)
    (out.square().sum() + net.auxiliary_logits.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("size", [16, 17, 30, 32, 64])
def test_images_of_other_sizes(size):
    net = small("amoebanet", auxiliary=True)
    assert net(images(size)).shape == net.auxiliary_logits.shape == (2, 7)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [8, 7])
def test_operations_keep_or_halve_the_resolution(name, stride, size):
    out = build(name, 4, stride)(images(size, channels=4))
    assert out.shape == (2, 4, -(-size // stride), -(-size // stride))


def norm(x):
    """BN in training mode, by its definition."""
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("name", "padding", "dilation", "stages"), [
    ("sep_conv_3x3", 1, 1, 2), ("sep_conv_5x5", 2, 1, 2), ("sep_conv_7x7", 3, 1, 2), ("dil_conv_3x3", 2, 2, 1), ("dil_conv_5x5", 4, 2, 1),
])  # fmt: skip
def test_separable_convolutions_are_what_darts_says(name, padding, dilation, stages, stride):
    x, op = images(8, channels=6).double() - 0.5, build(name, 6, stride).double()
    depthwise = [w for w in op.parameters() if w.ndim == 4 and w.shape[-1] > 1]
    pointwise = [w for w in op.parameters() if w.ndim == 4 and w.shape[-1] == 1]
    assert len(depthwise) == len(pointwise) == stages
    y = x
    for i in range(stages):
        y = F.conv2d(y.clamp(min=0), depthwise[i], None, stride if i == 0 else 1, padding, dilation, groups=6)
        y = norm(torch.einsum("bchw,oc->bohw", y, pointwise[i][:, :, 0, 0]))
    torch.testing.assert_close(op(x), y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_7x1_1x7(stride):
    x, op = images(8, channels=6).double() - 0.5, build("conv_7x1_1x7", 6, stride).double()
    row, column = (w for w in op.parameters() if w.ndim == 4)
    assert (tuple(row.shape), tuple(column.shape)) == ((6, 6, 1, 7), (6, 6, 7, 1))
    y = F.conv2d(F.conv2d(x.clamp(min=0), row, None, (1, stride), (0, 3)), column, None, (stride, 1), (3, 0))
    torch.testing.assert_close(op(x), norm(y), rtol=0, atol=1e-12)


def test_factorized_reduce_reads_even_and_odd_pixels():
    x, op = images(8, channels=4).double() - 0.5, FactorizedReduce(4, 6).double()
    y = torch.cat(
        [
            torch.einsum("bchw,oc->bohw", x[:, :, ::2, ::2].clamp(min=0), op.even.weight[:, :, 0, 0]),
            torch.einsum("bchw,oc->bohw", x[:, :, 1::2, 1::2].clamp(min=0), op.odd.weight[:, :, 0, 0]),
        ],
        dim=1,
    )
    torch.testing.assert_close(op(x), norm(y), rtol=0, atol=1e-12)


def test_the_mean_pool_leaves_the_padding_out():
    assert torch.equal(build("avg_pool_3x3", 2, 1)(torch.ones(1, 2, 4, 4)), torch.ones(1, 2, 4, 4))
    assert build("max_pool_3x3", 2, 1)(torch.full((1, 2, 4, 4), -1.0)).max() == -1


def test_the_modules_of_darts_search_have_no_affine_bn_and_one_behind_pools():
    assert not [p for name in OPERATIONS for p in build(name, 4, 2, affine=False).parameters() if p.ndim == 1]
    out = build("max_pool_3x3", 4, 1, pool_norm=True)(images(8, channels=4))
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-6, rtol=0)


def test_one_cell_by_hand():
    """Node 2 = skip(0) + skip(0) + max(1); node 3 = avg(2); the output is 3, then 2."""
    normal = Cell(((Edge("skip_connect", 0), Edge("skip_connect", 0), Edge("max_pool_3x3", 1)), (Edge("avg_pool_3x3", 2),)), (3, 2))
    net = Network(Genotype(normal, normal), num_classes=3, layers=3, init_channels=4).double().eval()
    assert [len(c.nodes["2"]) for c in net.cells] == [3, 3, 3]
    last_cell = net.cells[0]  # layers // 3 = 1 and 2 · layers // 3 = 2 are the reductions
    s = net.stem(images().double())
    a, b = last_cell.before(s), last_cell.last(s)
    node_2 = 2 * a + F.max_pool2d(b, 3, 1, 1)
    node_3 = F.avg_pool2d(node_2, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(last_cell(s, s), torch.cat([node_3, node_2], 1), rtol=0, atol=1e-12)


def test_reductions_stand_at_a_third_and_two_thirds():
    net = Network(published.find("darts"), num_classes=10, layers=8, init_channels=4)
    widths = [cell.last[1].out_channels for cell in net.cells]
    assert widths == [4, 4, 8, 8, 8, 16, 16, 16]  # 8 // 3 = 2, 16 // 3 = 5
    assert [type(cell.before).__name__ for cell in net.cells].count("FactorizedReduce") == 2


def test_what_reaches_no_output_is_left_out():
    used = Cell(((Edge("sep_conv_3x3", 1),),), (2,))
    unused = Cell((*used.nodes, (Edge("sep_conv_7x7", 0), Edge("sep_conv_7x7", 2))), (2,))
    options = {"num_classes": 3, "layers": 3, "init_channels": 4}
    count = [sum(p.numel() for p in Network(Genotype(c, c), **options).parameters()) for c in (used, unused)]
    assert count[0] == count[1]
    assert Network(Genotype(unused, unused), **options)(images()).shape == (2, 3)


@pytest.mark.parametrize("source", [0, 1])
def test_every_weight_learns_where_cells_read_one_input_alone(source):
    cell = Cell(((Edge("sep_conv_3x3", source), Edge("skip_connect", source)),), (2,))
    for auxiliary in (False, True):
        net = Network(Genotype(cell, cell), num_classes=3, layers=6, init_channels=4, auxiliary=auxiliary)
        out = net(images())
        (out.square().sum() + (net.auxiliary_logits.square().sum() if auxiliary else 0)).backward()
        assert all(p.grad is not None for p in net.parameters())
        assert [type(c).__name__ for c in net.cells].count("Unread") == (
            3 if source == 0 and not auxiliary else 0
        )  # behind cell 4 stands the second head


def test_auxiliary_logits_exist_in_training_only():
    net = small(auxiliary=True)
    net(images())
    assert net.auxiliary_logits is not None
    net.eval()(images())
    assert net.auxiliary_logits is None


def test_a_copy_in_mid_training_works_and_has_the_same_weights():
    net = small(auxiliary=True)
    net(images())
    twin = copy.deepcopy(net)
    assert twin.auxiliary_logits is None
    assert torch.equal(twin.eval()(images()), net.eval()(images()))


@pytest.mark.parametrize("name", ["nasnet", "amoebanet", "darts_iii"])
def test_fx_traces_it_in_evaluation_mode(name):
    net = small(name, auxiliary=True, drop_path=0.2, dropout=0.2).eval()
    assert torch.equal(fx.symbolic_trace(net)(images(n=3)), net(images(n=3)))


def test_drop_path_leaves_out_whole_paths_and_keeps_the_mean():
    torch.manual_seed(0)
    out = drop_paths(torch.ones(4000, 2, 3, 3), 0.25)
    assert {round(v, 4) for v in out.unique().tolist()} == {0.0, round(1 / 0.75, 4)}
    assert (out.flatten(1).amin(1) == out.flatten(1).amax(1)).all()  # an input's path as a whole
    assert out.mean() == pytest.approx(1, abs=0.05)


def test_drop_path_and_dropout_act_in_training_only_and_never_on_plain_skips():
    x = images()
    assert torch.equal(small(drop_path=0.5, dropout=0.5).eval()(x), small().eval()(x))
    assert not torch.equal(small(drop_path=0.5)(x), small()(x))
    skips = Cell(((Edge("skip_connect", 0), Edge("skip_connect", 1)),), (2,))
    pair = []
    for drop in (0.0, 0.5):
        torch.manual_seed(0)
        net = Network(Genotype(skips, skips), num_classes=3, layers=3, init_channels=4, drop_path=drop, dropout=drop)
        pair.append(net.cells[0](net.stem(x), net.stem(x), drop))
    assert torch.equal(*pair)


def test_drop_path_can_be_annealed():
    net = small()
    torch.manual_seed(1)
    plain = net(images())
    net.drop_path = 0.5
    assert not torch.equal(net(images()), plain)


@pytest.mark.parametrize(
    ("option", "value"), [("layers", 0), ("init_channels", 0), ("num_classes", 0), ("drop_path", 1.0), ("dropout", -0.1)]
)
def test_wrong_values(option, value):
    with pytest.raises(UserError, match=option):
        Network(published.find("darts"), **{"num_classes": 3, option: value})


def test_unknown_operation():
    with pytest.raises(UserError, match="'sep_conv_3x3'"):
        build("sep_conv_3", 4, 1)
