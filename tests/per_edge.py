"""The supernet of DARTS (Liu et al., 2019) as its authors formulate it: a module per edge and operation. Slow, plain, an oracle."""

import torch
from torch import Tensor, nn

SIZES = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "sep_conv_7x7": 7, "dil_conv_3x3": 3, "dil_conv_5x5": 5}


class FactorizedReduce(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        shifted = x[:, :, 1:, 1:] if x.shape[2] % 2 == 0 else nn.functional.pad(x, (-1, 1, -1, 1))  # odd: a last row of zeros
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], 1))


class Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


def stage(c: int, k: int, stride: int, dilation: int) -> list[nn.Module]:
    return [
        nn.ReLU(),
        nn.Conv2d(c, c, k, stride, k // 2 * dilation, dilation, groups=c, bias=False),
        nn.Conv2d(c, c, 1, bias=False),
        nn.BatchNorm2d(c, affine=False),
    ]


def operation(name: str, c: int, stride: int) -> nn.Module:
    if name == "zero":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(c, c)
    if name == "max_pool_3x3":
        return nn.Sequential(nn.MaxPool2d(3, stride, 1), nn.BatchNorm2d(c, affine=False))
    if name == "avg_pool_3x3":
        return nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), nn.BatchNorm2d(c, affine=False))
    if name == "conv_7x1_1x7":
        wide = nn.Conv2d(c, c, (1, 7), (1, stride), (0, 3), bias=False)
        return nn.Sequential(nn.ReLU(), wide, nn.Conv2d(c, c, (7, 1), (stride, 1), (3, 0), bias=False), nn.BatchNorm2d(c, affine=False))
    if name.startswith("sep"):
        return nn.Sequential(*stage(c, SIZES[name], stride, 1), *stage(c, SIZES[name], 1, 1))
    return nn.Sequential(*stage(c, SIZES[name], stride, 2))


class MixedOperation(nn.Module):
    def __init__(self, operations: tuple[str, ...], c: int, stride: int) -> None:
        super().__init__()
        self.ops = nn.ModuleList(operation(name, c, stride) for name in operations)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return sum(w * op(x) for w, op in zip(weights, self.ops, strict=True))


class PartialOperation(nn.Module):
    """PC-DARTS's edge (Xu et al., 2020, §3.1, and their code): the first 1/K of the channels mixed, the others pooled, all shuffled."""

    def __init__(self, operations: tuple[str, ...], c: int, stride: int, k: int) -> None:
        super().__init__()
        self.mixed, self.k, self.stride = MixedOperation(operations, c // k, stride), k, stride
        self.ops = self.mixed.ops

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        n, c, *_ = x.shape
        mixed, rest = self.mixed(x[:, : c // self.k], weights), x[:, c // self.k :]
        if self.stride == 2:
            rest = nn.functional.max_pool2d(rest, 2, 2, ceil_mode=True)  # the mode matters for odd sizes alone
        out = torch.cat([mixed, rest], 1)
        return out.view(n, self.k, c // self.k, *out.shape[2:]).transpose(1, 2).contiguous().view_as(out)


class Cell(nn.Module):
    def __init__(self, operations, nodes, outputs, c_before, c_last, c, reduction, after_reduction, partial) -> None:
        super().__init__()
        self.nodes, self.outputs = nodes, outputs
        relu_conv_norm = lambda c_in: nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c, 1, bias=False), nn.BatchNorm2d(c, affine=False))  # noqa: E731
        self.before = FactorizedReduce(c_before, c) if after_reduction else relu_conv_norm(c_before)
        self.last = relu_conv_norm(c_last)
        sources = [j for i in range(nodes) for j in range(2 + i)]
        edge = MixedOperation if partial == 1 else lambda *a: PartialOperation(*a, partial)
        self.edges = nn.ModuleList(edge(operations, c, 2 if reduction and j < 2 else 1) for j in sources)

    def forward(self, before: Tensor, last: Tensor, weights: Tensor, factors: Tensor | None) -> Tensor:
        states, offset = [self.before(before), self.last(last)], 0
        for _ in range(self.nodes):
            terms = [self.edges[offset + j](h, weights[offset + j]) for j, h in enumerate(states)]
            states.append(sum(terms if factors is None else (factors[offset + j] * t for j, t in enumerate(terms))))
            offset += len(states) - 1
        return torch.cat([states[node] for node in self.outputs], 1)


class PerEdge(nn.Module):
    """forward(x, {"normal": [E, O], "reduce": [E, O]}, factors of edges: {"normal": [E], "reduce": [E]} or None) → logits."""

    def __init__(
        self, operations, nodes=4, *, layers=8, c=16, num_classes=10, in_channels=3, stem_multiplier=3, concat=None, partial=1
    ) -> None:
        super().__init__()
        concat = concat or dict.fromkeys(("normal", "reduce"), tuple(range(2, 2 + nodes)))
        c_before = c_last = stem_multiplier * c
        self.stem = nn.Sequential(nn.Conv2d(in_channels, c_last, 3, padding=1, bias=False), nn.BatchNorm2d(c_last))
        self.cells, self.kinds, after = nn.ModuleList(), [], False
        for i in range(layers):
            reduction = i in (layers // 3, 2 * layers // 3)
            kind, c = ("reduce", 2 * c) if reduction else ("normal", c)
            self.cells.append(Cell(operations, nodes, concat[kind], c_before, c_last, c, reduction, after, partial))
            self.kinds.append(kind)
            c_before, c_last, after = c_last, c * len(concat[kind]), reduction
        self.classifier = nn.Linear(c_last, num_classes)

    def forward(self, x: Tensor, weights: dict[str, Tensor], factors: dict[str, Tensor] | None = None) -> Tensor:
        before = last = self.stem(x)
        for kind, cell in zip(self.kinds, self.cells, strict=True):
            before, last = last, cell(before, last, weights[kind], factors[kind] if factors else None)
        return self.classifier(last.mean((2, 3)))


def pairs(supernet, oracle: PerEdge):
    """(its tensor, place in it, the oracle's tensor) for every weight and running statistic; `place` cuts the edge out of the stack."""
    whole = slice(None)
    stem = [(supernet.stem[0].weight, oracle.stem[0].weight), *_norm(supernet.stem[1], oracle.stem[1], affine=True)]
    head = [(supernet.classifier.weight, oracle.classifier.weight), (supernet.classifier.bias, oracle.classifier.bias)]
    yield from ((a, whole, b) for a, b in stem + head)
    space = supernet.space
    for layer, cell in zip(supernet.layers, oracle.cells, strict=True):
        for ours, theirs in ((layer.before, cell.before), (layer.last, cell.last)):
            convs = [theirs.conv_1, theirs.conv_2] if isinstance(theirs, FactorizedReduce) else [theirs[1]]
            norm = theirs.bn if isinstance(theirs, FactorizedReduce) else theirs[2]
            yield from ((a.weight, whole, b.weight) for a, b in zip(ours.convs, convs, strict=True))
            yield from ((a, whole, b) for a, b in _norm(ours.norm, norm))
        for (node, source), mixed in zip(space.edges, cell.edges, strict=True):
            for name, op in zip(space.operations, mixed.ops, strict=True):
                yield from _operation(layer.cell, name, op, source, node)


def _operation(cell, name, op, source, node):
    targets = range(max(2, source + 1), 2 + cell.space.nodes)
    if isinstance(op, FactorizedReduce):
        named = {"even": op.conv_1, "odd": op.conv_2}
    else:
        convs = [m for m in op.modules() if isinstance(m, nn.Conv2d)]
        names = ("wide", "tall") if name == "conv_7x1_1x7" else ("depthwise_1", "pointwise_1", "depthwise_2", "pointwise_2")
        named = dict(zip(names, convs, strict=False))
    for key, conv in named.items():
        stacked = cell.sources[source][name][key]
        size = len(stacked) // len(targets)
        first = targets.index(node) * size
        yield stacked, slice(first, first + size), conv.weight
    norms = [m for m in op.modules() if isinstance(m, nn.BatchNorm2d)]
    stages = (0, 1) if len(norms) == 2 else (1,)
    for stage_, norm in zip(stages, norms, strict=False):
        place = cell.places[source, stage_, name, node]
        yield cell.mean, place, norm.running_mean
        yield cell.var, place, norm.running_var


def _norm(ours, theirs, affine=False):
    yield from ((ours.running_mean, theirs.running_mean), (ours.running_var, theirs.running_var))
    if affine:
        yield from ((ours.weight, theirs.weight), (ours.bias, theirs.bias))


def copy_to(supernet, oracle: PerEdge) -> None:
    """The oracle takes the supernet's weights and running statistics."""
    with torch.no_grad():
        for ours, place, theirs in pairs(supernet, oracle):
            theirs.copy_(ours[place].view_as(theirs))
