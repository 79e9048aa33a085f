"""The controller of NASNet and ENAS: an LSTM that writes down a genotype, one decision after another."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robnas import seeds
from robnas.errors import require
from robnas.space.genotype import Cell, Edge, Genotype
from robnas.space.search_space import CELL_KINDS, Space


class Policy(NamedTuple):
    """Of B genotypes: decisions [B, T] int64, log π [B], and [B] the entropies of the T conditional distributions met, added up (nats).

    The mean of `entropy` over genotypes drawn from π is the entropy of π (chain rule).
    """

    decisions: Tensor
    log_prob: Tensor
    entropy: Tensor


Choose = Callable[[int, Tensor], Tensor]
"""Decision t and its log-probabilities [B, K] → [B] in 0 … K − 1."""


class Controller(nn.Module):
    """π(genotype; θ): for each kind of cell and each node the sources, then as many operations, each given all decisions before it.

    That is the order of Zoph et al. (2018, §3.1) and of Pham et al. (2018, §2.4); a node adds up its edges, so there is no choice of how
    they are combined, and the operations are those of `space` but zero. Sources are chosen by attention over the states in which the LSTM
    finished the earlier nodes, as in ENAS (Zoph et al. do not say how); without `space.repeats`, those taken have probability 0.
    The LSTM goes on from the normal to the reduction cell. It computes in float64 on the CPU, whatever the network does.

    Args:
        space: what may be chosen.
        seed: of θ, uniform on ±0.1 (both papers).
        hidden: units of the LSTM's one layer.
        tanh_constant: logits z become c · tanh(z / temperature) (Bello et al., 2017), so that no choice dies early; None: z / temperature.
        temperature: see there.
    """

    def __init__(self, space: Space, seed: int, hidden: int, tanh_constant: float | None = None, temperature: float = 1.0) -> None:
        super().__init__()
        self.space, self.tanh_constant, self.temperature = space, tanh_constant, temperature
        self.operations = [o for o in space.operations if o != "zero"]
        require(len(self.operations) > 0, "operations: a cell of zeros alone is no cell; allowed: at least one operation but zero")
        self.edges = {node: space.sources if space.repeats else min(space.sources, node) for node in range(2, 2 + space.nodes)}
        self.length = len(CELL_KINDS) * sum(2 * k for k in self.edges.values())
        """T, decisions of a genotype."""
        with torch.device("cpu"), torch.random.fork_rng([]):
            f64 = torch.float64
            self.lstm = nn.LSTMCell(hidden, hidden, dtype=f64)
            self.start = nn.Parameter(torch.empty(hidden, dtype=f64))
            self.embedding = nn.Embedding(len(self.operations), hidden, dtype=f64)
            self.operation = nn.Linear(hidden, len(self.operations), dtype=f64)
            self.key, self.query = (nn.Linear(hidden, hidden, bias=False, dtype=f64) for _ in range(2))
            self.attention = nn.Linear(hidden, 1, bias=False, dtype=f64)
        generator = seeds.generator(seed, "controller")
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)

    def draw(self, u: Tensor) -> Policy:
        """Samples of π by inversion. u: [B, T] uniform on [0, 1)."""

        def choose(t: int, log_p: Tensor) -> Tensor:
            steps = log_p.exp().cumsum(-1)
            return torch.searchsorted(steps, u[:, t : t + 1] * steps[:, -1:], right=True)[:, 0]

        return self._walk(len(u), choose)

    def forward(self, decisions: Tensor) -> Policy:
        """π of given genotypes, differentiable in θ. decisions: [B, T] int64."""
        return self._walk(len(decisions), lambda t, _: decisions[:, t])

    def _walk(self, batch: int, choose: Choose) -> Policy:
        chosen: list[Tensor] = []
        log_probs: list[Tensor] = []
        entropies: list[Tensor] = []

        def decide(logits: Tensor, taken: Tensor | None = None) -> Tensor:
            z = logits / self.temperature
            z = z if self.tanh_constant is None else self.tanh_constant * torch.tanh(z)
            z = z if taken is None else z.masked_fill(taken, -torch.inf)
            log_p = z.log_softmax(-1)
            choice = choose(len(chosen), log_p.detach())
            chosen.append(choice)
            log_probs.append(log_p.gather(1, choice[:, None])[:, 0])
            entropies.append(-(log_p.exp() * log_p.masked_fill(log_p == -torch.inf, 0)).sum(-1))
            return choice

        start, state = self.start.expand(batch, -1), None
        for _ in CELL_KINDS:
            done: list[Tensor] = []  # the LSTM's state after each input and each node
            for _ in range(2):
                state = self.lstm(start, state)
                done.append(state[0])
            for k in self.edges.values():
                x, readable = start, torch.stack(done, 1)  # [B, sources, hidden]
                keys, taken = self.key(readable), torch.zeros(readable.shape[:2], dtype=torch.bool, device="cpu")
                for _ in range(k):
                    state = self.lstm(x, state)
                    logits = self.attention(torch.tanh(keys + self.query(state[0])[:, None]))[..., 0]
                    source = decide(logits, None if self.space.repeats else taken)
                    taken = taken.scatter(1, source[:, None], True)
                    x = readable[torch.arange(batch, device="cpu"), source]
                for _ in range(k):
                    state = self.lstm(x, state)
                    x = self.embedding(decide(self.operation(state[0])))
                state = self.lstm(x, state)
                done.append(state[0])
        return Policy(torch.stack(chosen, 1), torch.stack(log_probs).sum(0), torch.stack(entropies).sum(0))

    def genotypes(self, decisions: Tensor) -> list[Genotype]:
        """decisions: [B, T] → B genotypes, a node's edges in the order in which they were chosen."""
        return [self._genotype(row) for row in decisions.tolist()]

    def decisions(self, genotypes: Sequence[Genotype]) -> Tensor:
        """The reverse of `genotypes`: [B, T] int64."""
        rows = []
        for genotype in genotypes:
            nodes = [edges for cell in genotype.cells.values() for edges in cell.nodes]
            rows.append([d for edges in nodes for d in (*(e.source for e in edges), *(self.operations.index(e.operation) for e in edges))])
        return torch.tensor(rows, dtype=torch.int64, device="cpu")

    def _genotype(self, row: Sequence[int]) -> Genotype:
        left, cells = iter(row), {}
        for kind in CELL_KINDS:
            nodes = []
            for k in self.edges.values():
                sources, operations = ([next(left) for _ in range(k)] for _ in range(2))
                nodes.append(tuple(Edge(self.operations[o], s) for o, s in zip(operations, sources, strict=True)))
            cells[kind] = Cell(tuple(nodes), self.space.outputs_of(nodes))
        return Genotype(**cells)
