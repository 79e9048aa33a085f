"""Where the parts of a drawn cell go: a layered layout (Sugiyama et al., 1981) in which the operations are vertices too.

Nodes stand in even layers by their distance from the inputs, operations as labels in the odd layer before the node they enter, and an edge
that spans more layers passes each of them through a vertex of its own. So nothing that is in one layer can overlap, two operations between
the same nodes have labels and lines of their own, and a line crosses another only between two layers. Torch-free; no matplotlib either.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from random import Random

from robnas.space.genotype import Cell, Edge

HEIGHTS = {"node": 0.34, "label": 0.24, "line": 0.0}
"""Inches, by kind of vertex."""

GAP = 0.13
"""Inches between two vertices of a layer."""

OUTPUT = -1
"""The cell's output among its inputs (0, 1) and nodes (2, …)."""


@dataclass(eq=False)
class Vertex:
    """kind: "node", "label" or "line" (an edge passes); layer from 0; node: itself, or where the edge ends; y: of its middle, inches."""

    kind: str
    layer: int
    node: int
    height: float = 0.0
    y: float = 0.0
    before: list[Vertex] = field(default_factory=list, repr=False)
    after: list[Vertex] = field(default_factory=list, repr=False)


@dataclass(frozen=True)
class Route:
    """What leads from a node to another: every vertex on the way, both ends included. edge: None where a node goes to the output."""

    edge: Edge | None
    vertices: tuple[Vertex, ...]


@dataclass(frozen=True)
class Layout:
    """layers: their vertices from top to bottom; routes: in the order of the cell's edges, then to the output."""

    layers: list[list[Vertex]]
    routes: list[Route]

    @property
    def height(self) -> float:
        """Inches from the lowest edge of a vertex to the highest; the lowest is at 0."""
        return max(v.y + v.height / 2 for layer in self.layers for v in layer)


def layout(cell: Cell) -> Layout:
    """Layers, the order within each (few crossings), and heights (straight lines); made once of each cell, and not to be changed."""
    return _layout(cell.nodes, cell.concat)


@cache
def _layout(nodes: tuple[tuple[Edge, ...], ...], concat: tuple[int, ...]) -> Layout:
    layers, routes = _vertices(Cell(nodes, concat))
    _order(layers)
    _place(layers)
    for _ in range(3):  # each straight line makes room for others
        _straighten(layers, routes)
    return Layout(layers, routes)


def _vertices(cell: Cell) -> tuple[list[list[Vertex]], list[Route]]:
    rank = {0: 0, 1: 0}
    for node, edges in cell.numbered():
        rank[node] = 1 + max(rank[e.source] for e in edges)
    rank[OUTPUT] = 1 + max(rank.values())
    layers: list[list[Vertex]] = [[] for _ in range(2 * rank[OUTPUT] + 1)]
    nodes = {node: Vertex("node", 2 * r, node, HEIGHTS["node"]) for node, r in rank.items()}
    routes = []
    for v in nodes.values():
        layers[v.layer].append(v)
    ways: list[tuple[int, int, Edge | None]] = [(e.source, node, e) for node, edges in cell.numbered() for e in edges]
    for source, target, edge in [*ways, *((node, OUTPUT, None) for node in cell.concat)]:
        first, last = nodes[source], nodes[target]
        way = [first]
        for layer in range(first.layer + 1, last.layer):
            kind = "label" if edge is not None and layer == last.layer - 1 else "line"
            way.append(Vertex(kind, layer, target, HEIGHTS[kind]))
            layers[layer].append(way[-1])
        way.append(last)
        for v, w in pairwise(way):
            v.after.append(w)
            w.before.append(v)
        routes.append(Route(edge, tuple(way)))
    for v in nodes.values():  # room for the ends of its lines
        v.height = max(v.height, 0.08 * (max(len(v.before), len(v.after)) + 1))
    return layers, routes


def crossings(upper: Sequence[Vertex], lower: Sequence[Vertex]) -> int:
    """Pairs of lines that cross between two neighbouring layers, in their present order."""
    at = {id(v): i for i, v in enumerate(lower)}
    ends = [sorted(at[id(w)] for w in v.after) for v in upper]
    n = 0
    before: list[int] = []
    for group in ends:
        n += sum(len(before) - bisect_right(before, e) for e in group)
        for e in group:
            insort(before, e)
    return n


def _order(layers: list[list[Vertex]], restarts: int = 24) -> None:
    """The order with the fewest crossings that barycentres and exchanges of neighbours find; the inputs stay, 0 above 1."""
    best, best_cost = [list(layer) for layer in layers], (10**9, 0.0)
    random = Random(0)
    for restart in range(restarts):
        for layer in layers[1:] if restart else ():
            random.shuffle(layer)
        for _ in range(6):
            for i in range(1, len(layers)):
                _sort(layers[i], layers[i - 1], "before")
            for i in range(len(layers) - 2, 0, -1):
                _sort(layers[i], layers[i + 1], "after")
        _exchange(layers)
        if (cost := _cost(layers)) < best_cost:
            best, best_cost = [list(layer) for layer in layers], cost
    layers[:] = best


def _cost(layers: list[list[Vertex]]) -> tuple[int, float]:
    """Crossings; then the lengths of lines, as layers in the middle of the drawing."""
    at = {id(v): i - (len(layer) - 1) / 2 for layer in layers for i, v in enumerate(layer)}
    return (
        sum(crossings(u, w) for u, w in pairwise(layers)),
        sum(abs(at[id(v)] - at[id(w)]) for layer in layers for v in layer for w in v.after),
    )


def _sort(layer: list[Vertex], fixed: list[Vertex], side: str) -> None:
    at = {id(v): i for i, v in enumerate(fixed)}
    own = {id(v): i for i, v in enumerate(layer)}

    def barycentre(v: Vertex) -> float:
        neighbours = getattr(v, side)
        return sum(at[id(w)] for w in neighbours) / len(neighbours) if neighbours else own[id(v)]

    layer.sort(key=barycentre)


def _exchange(layers: list[list[Vertex]]) -> None:
    """Exchanges neighbours as long as that saves a crossing."""
    improved = True
    while improved:
        improved = False
        for i in range(1, len(layers)):
            around = [(layers[j], layers[j + 1]) for j in (i - 1, i) if j + 1 < len(layers)]
            now = sum(crossings(*pair) for pair in around)
            for k in range(len(layers[i]) - 1):
                layers[i][k : k + 2] = layers[i][k + 1], layers[i][k]
                then = sum(crossings(*pair) for pair in around)
                if then < now:
                    now, improved = then, True
                else:
                    layers[i][k : k + 2] = layers[i][k + 1], layers[i][k]


def _place(layers: list[list[Vertex]], sweeps: int = 60) -> None:
    """Heights that pull every vertex to its neighbours, least squares within each layer, in turn until they rest."""
    for layer in layers:
        _separate(layer, [-float(i) for i in range(len(layer))], [1.0] * len(layer))
    for sweep in range(sweeps):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wish, weight = [], []
            for v in layer:
                pulls = [(w.y, _stiffness(v, w)) for w in (*v.before, *v.after)]
                weight.append(sum(s for _, s in pulls) or 1e-3)
                wish.append(sum(y * s for y, s in pulls) / weight[-1] if pulls else v.y)
            _separate(layer, wish, weight)


def _stiffness(v: Vertex, w: Vertex) -> float:
    """Long lines should be straight (Gansner et al., 1993); those to the output may go where there is room."""
    return (0.1 if w.node == OUTPUT or v.node == OUTPUT else 1.0) * (1.0, 2.0, 8.0)[(v.kind == "line") + (w.kind == "line")]


def _straighten(layers: list[list[Vertex]], routes: list[Route]) -> None:
    """Levels the lines of each route where its neighbours leave room for that; then the lowest vertex comes to 0."""
    for route in routes:
        line = [v for v in route.vertices if v.kind == "line"]
        room = [_room(v, layers[v.layer]) for v in line]
        low, high = max((r[0] for r in room), default=0.0), min((r[1] for r in room), default=0.0)
        if line and low <= high:
            level = min(max(sum(v.y for v in line) / len(line), low), high)
            for v in line:
                v.y = level
    lowest = min(v.y - v.height / 2 for layer in layers for v in layer)
    for layer in layers:
        for v in layer:
            v.y -= lowest


def _room(v: Vertex, layer: list[Vertex]) -> tuple[float, float]:
    """Lowest and highest y that v may have between its neighbours."""
    i = layer.index(v)
    gap = v.height / 2 + GAP
    low = layer[i + 1].y + layer[i + 1].height / 2 + gap if i + 1 < len(layer) else -float("inf")
    return low, layer[i - 1].y - layer[i - 1].height / 2 - gap if i else float("inf")


def _separate(layer: list[Vertex], wish: list[float], weight: list[float]) -> None:
    """min Σ weight · (y − wish)² with the gap between neighbours, top to bottom: isotonic regression by pooling adjacent violators."""
    offset, offsets = 0.0, []
    for i, v in enumerate(layer):
        offset += (layer[i - 1].height + v.height) / 2 + GAP if i else 0.0
        offsets.append(offset)
    blocks: list[list[float]] = []  # value, weight, members; values must not rise
    for w, o, s in zip(wish, offsets, weight, strict=True):
        blocks.append([w + o, s, 1])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            value, s_2, n = blocks.pop()
            top = blocks[-1]
            blocks[-1] = [(top[0] * top[1] + value * s_2) / (top[1] + s_2), top[1] + s_2, top[2] + n]
    values = [value for value, _, n in blocks for _ in range(int(n))]
    for v, value, o in zip(layer, values, offsets, strict=True):
        v.y = value - o
