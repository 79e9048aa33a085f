"""An attack inside Lightning's test loop: any strategy, any number of ranks, inference mode or not."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor, nn

from robnas import collectives, provenance
from robnas.attacks import masking_rows, summary
from robnas.attacks.collected import Collected
from robnas.attacks.noticed import doubts, together
from robnas.attacks.progress import Lines
from robnas.attacks.unfinished import Unfinished
from robnas.attacks.victim import Victim
from robnas.errors import UserError
from robnas.results import Number as Number  # every attack needs it beside this
from robnas.results import Row
from robnas.statistics import wilson

Outcomes = dict[str, NDArray[Any]]


class Result(Protocol):
    """Of some inputs: what is kept of each, `index`, `eligible`, `errored` and `queries` among it."""

    seconds: float

    def outcomes(self) -> dict[str, Tensor]:
        """Each [N]."""


class Part(NamedTuple):
    """One of the measurements that an attack makes at once.

    Args:
        name: in tables and of its file of outcomes.
        attack: what its rows are about.
        more: what their `params` say beyond that attack's own arguments.
        its: of the victim's flags those that are about it; all.
    """

    name: str
    attack: Attack
    more: dict[str, Any]
    its: Callable[[list[str]], list[str]] = list


class Attack(Callback):
    """What all attacks on a trained model share: every rank attacks its own inputs, rank 0 writes what all of them found.

    Attributes:
        name: of this block of a config ("pgd_most"); the class's own in small letters unless set.
        rows: what the last test loop found, on every rank.
    """

    access: ClassVar[str]
    norm: str | None = "linf"
    max_inputs: int | None = None
    errs: ClassVar[str] = "the model gave no numbers (NaN)"
    """Why an input may be `errored`: "… on 3 inputs"."""
    name: str
    rows: tuple[Row, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__name__.lower()

    @abstractmethod
    def __call__(self, model: nn.Module | Victim, x: Tensor, y: Tensor | None = None, index: Tensor | None = None, seed: int = 0) -> Result:
        """Attack some inputs; pure, needs no Trainer."""

    @abstractmethod
    def proportions(self, outcomes: Outcomes) -> dict[str, tuple[int, int]]:
        """Outcomes of all inputs → by metric, how many of how many. The first is the one that the attack is about."""

    def numbers(self, outcomes: Outcomes) -> dict[str, Number]:
        """Likewise metrics that are no shares; none here."""
        return {}

    def prepare(self, model: nn.Module | Victim) -> Victim:
        """The copy that answers and counts; a prepared one passes."""
        return Victim.prepare(model)

    # What an attack that is made of several writes: both with the same keys

    def parts(self) -> dict[str, Part]:
        """What is measured, by its name for loggers: the attack itself."""
        return {self.name: Part(self.name, self, {})}

    def results(self, victim: Victim, x: Tensor, y: Tensor, index: Tensor, seed: int) -> Mapping[str, Result]:
        """Of some inputs."""
        return {self.name: self(victim, x, y, index=index, seed=seed)}

    def arguments(self) -> dict[str, Any]:
        """What the attack was built with, as its rows say it."""
        return provenance.init_arguments(self, Attack)

    # Lightning's hooks

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the victim once."""
        self._victim, self._seen = self.prepare(pl_module), 0
        self._unfinished = Unfinished.of(trainer, self.name, self.arguments(), self._victim.digest)
        self._found: dict[str, Collected] = {}
        self._noticed: list[Outcomes] = []
        self._seconds: dict[str, float] = {}
        self._lines = Lines(trainer)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Attack the inputs of this batch that are among the first `max_inputs` of the data set."""
        x, y, index = self._unpack(batch, trainer)
        if self.max_inputs is not None:
            rows = index < self.max_inputs
            x, y, index = x[rows], y[rows], index[rows]
        if len(x):
            self._attack(trainer, x, y, index)
        self._lines(f"{self.name}: {batch_idx + 1} of {trainer.num_test_batches[dataloader_idx]} batches")

    def _attack(self, trainer: Trainer, x: Tensor, y: Tensor, index: Tensor) -> None:
        """Some inputs of this rank, unless a killed command was through with them. What was found is kept until the epoch ends."""
        seed = provenance.of_trainer(trainer)[1].get("attack_seed") or 0
        file = self._unfinished.file(x, y, index)
        if (kept := self._unfinished.load(file)) is not None:
            found, noticed = kept
        else:
            new = self.results(self._victim, x, y, index, seed)
            found = {k: ({a: v.detach().cpu().numpy() for a, v in r.outcomes().items()}, r.seconds) for k, r in new.items()}
            noticed = self._victim.noticed.arrays()
            self._unfinished.save(file, found, noticed)
        self._noticed = [together([*self._noticed, noticed])]
        for name, (outcomes, seconds) in found.items():
            self._found.setdefault(name, Collected()).add(outcomes)
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put together what all ranks found: rows, outcomes per input, loggers."""
        self._noticed.append({"flags": np.array(sorted(self._victim.flags), dtype=np.str_)})
        mine = {name: found.arrays() for name, found in self._found.items()}
        gathered = collectives.gather((mine, self._seconds, self._noticed))
        self._noticed = [some for *_, noticed in gathered for some in noticed]
        self.rows = ()
        for name, part in self.parts().items():
            found = [theirs[name] for theirs, *_ in gathered if name in theirs]
            self.rows += self._enter(trainer, name, part, found, max(seconds.get(name, 0.0) for _, seconds, _ in gathered))
        if trainer.is_global_zero:
            self._unfinished.forget()
        attacks = _attacks(trainer)
        if self is attacks[-1]:
            _hold_against_each_other(trainer, attacks)

    def _enter(self, trainer: Trainer, name: str, part: Part, found: list[Outcomes], seconds: float) -> tuple[Row, ...]:
        if not found:
            warnings.warn(f"{name}: the test set has no input with an index below {self.max_inputs}; nothing was attacked", stacklevel=2)
            return ()
        outcomes = {k: np.concatenate([some[k] for some in found]) for k in found[0]}
        _, first = np.unique(outcomes["index"], return_index=True)  # in the order of the data set; a padding sampler repeats some
        outcomes = {k: v[first] for k, v in outcomes.items()}
        rows = self._rows(trainer, part, outcomes, seconds)
        if trainer.is_global_zero and (n := int(outcomes["errored"].sum())):
            which = ", ".join(map(str, outcomes["index"][outcomes["errored"]][:8])) + (", …" if n > 8 else "")
            warnings.warn(f"{name}: {part.attack.errs} on {n} inputs; counted apart: {which}", stacklevel=2)
        summary.log(trainer.loggers, name, rows)
        return rows

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last attack prints the table of all, unless the trainer has a verb that does."""
        attacks = _attacks(trainer)
        if trainer.is_global_zero and self is attacks[-1] and not hasattr(trainer, "rows"):
            summary.show(row for attack in attacks for row in attack.rows)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the copies go."""
        vars(self).pop("_victim", None)

    def _rows(self, trainer: Trainer, part: Part, outcomes: Outcomes, seconds: float) -> tuple[Row, ...]:
        store, origin = provenance.of_trainer(trainer)
        attack = part.attack
        params = attack.arguments() | part.more
        if getattr(trainer, "limit_test_batches", 1.0) != 1.0:  # another measurement than that of the whole test set
            params["inputs"] = len(outcomes["index"])
        common: dict[str, Any] = {"attack_seed": 0, "victim": self._victim.digest} | origin
        where = provenance.outcomes_name(part.name, params, *(common.get(k) for k in ("job", "victim", "attack_seed", "dataset")))
        common |= {
            "kind": "attack",
            "plugin": type(attack).__name__.lower(),
            "params": params,
            "access": attack.access,
            "norm": attack.norm,
            "flags": part.its(doubts(self._noticed, outcomes, getattr(attack, "goal", None), white=attack.access == "white")),
        }
        common |= {k: int(outcomes[k].sum()) for k in ("queries", "eligible", "errored")} | {"seconds": round(seconds, 3)}
        if trainer.is_global_zero:
            common["outcomes"] = store.write_outcomes(where, outcomes)
        rows = tuple(
            Row(metric=metric, value=hits / n if n else None, n=n, ci=wilson(hits, n), ci_method="wilson", **common)
            for metric, (hits, n) in attack.proportions(outcomes).items()
        )
        for metric, number in attack.numbers(outcomes).items():
            own = number._asdict() | {"flags": sorted({*common["flags"], *number.flags})}
            rows += (Row(metric=metric, **common | own),)
        if trainer.is_global_zero:
            store.write(rows)
        return rows

    def _unpack(self, batch: Any, trainer: Trainer) -> tuple[Tensor, Tensor, Tensor]:
        """(x, y, index), or (x, y) of a loader of the user's own, counted in its order."""
        if not isinstance(batch, list | tuple) or len(batch) not in (2, 3):
            raise UserError(f"{self.name}: batches are {type(batch).__name__}; (x, y, index) or (x, y) is needed")
        if len(batch) == 3:
            return batch[0], batch[1], batch[2]
        if collectives.world_size() > 1:
            raise UserError(
                f"{self.name}: on several devices batches must be (x, y, index), index being the data set's own number of an input"
            )
        x, y = batch
        index = y.new_tensor(range(self._seen, self._seen + len(y)), dtype=y.dtype)
        self._seen += len(y)
        return x, y, index


def _attacks(trainer: Trainer) -> list[Attack]:
    return [c for c in trainer.callbacks if isinstance(c, Attack)]  # type: ignore[attr-defined]


def _hold_against_each_other(trainer: Trainer, attacks: list[Attack]) -> None:
    """Masking checks, once all attacks are through: of every evasion of these victims that the store knows, older ones too."""
    store, _ = provenance.of_trainer(trainer)
    victims = {masking_rows.origin(row) for attack in attacks for row in attack.rows if masking_rows.applicable(row)}
    if victims:
        said = collectives.from_first(lambda: masking_rows.bring_up_to_date(store, victims))
        for attack in attacks:
            attack.rows = tuple(replace(row, **said.get(row.key, {})) for row in attack.rows)
