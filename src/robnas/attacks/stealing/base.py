"""Functionality stealing: a replica trained on a victim's answers (§3.2, Eq. 8, Fig. 9, Table 2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from robnas import collectives, results, seeds
from robnas.attacks.callback import Number, Outcomes
from robnas.attacks.membership.past import configuration
from robnas.attacks.progress import bar
from robnas.attacks.stealing import compare
from robnas.attacks.stealing.ledger import Ledger, Table
from robnas.attacks.stealing.oracle import ANSWERS, Guard, Oracle, as_rows, as_targets
from robnas.attacks.stealing.pool import POOLS, Pool, Unasked, choose, other, run_of
from robnas.attacks.stealing.targets import SoftLabels
from robnas.attacks.training import FinalTest, TrainingAttack
from robnas.copies import digest, evaluation_copy
from robnas.data.altered import Altered
from robnas.data.base import ImageData
from robnas.errors import UserError, require, unknown

Queries = Generator[Tensor, Tensor, None]
"""Yields the inputs to ask about next, [n] out of `pool.index` and none twice; is sent what was answered, [n, m] rows that sum to 1, NaN
where there was no answer; fewer than n where the budget ends before."""


class Stealing(TrainingAttack):
    """The author writes `queries`; the victim, the count, what is kept, training and measures are done here.

    The replica is the model of the `fit`: its own network, recipe and schedule, trained from scratch on what the victim answered, and on
    nothing else. All queries come before the first step.

    Args:
        victim: run folder of `robnas fit`, checkpoint, export, or network that `robnas.load` reads by its name alone. It is never changed.
        budget: queries; an input is asked about once.
        pool: what may be asked about: "non_members", what the victim was not trained on; "members", its own training set, as in the
            authors' code; "train", both. Never what this `fit` validates on, nor test inputs.
        pool_data: another data set, whose training part is asked about instead; its images are resized where they are of another size.
        answers: "score": probabilities, or "label": the class alone, from which the replica learns as from a label.
    """

    def __init__(
        self,
        victim: str = "",
        budget: int = 1000,
        pool: str = "non_members",
        pool_data: ImageData | None = None,
        answers: str = "score",
    ) -> None:
        super().__init__()
        self.victim, self.budget, self.pool, self.pool_data, self.answers = victim, budget, pool, pool_data, answers
        require(bool(victim), "victim: a run folder is needed whose model is stolen (robnas list runs): --attacks.NAME.victim=RUN")
        require(budget >= 1, f"budget: {budget} is not at least 1")
        for name, allowed in (("pool", POOLS), ("answers", ANSWERS)):
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        self._model: nn.Module | None = None
        self._table: Table | None = None

    # What the author writes

    @abstractmethod
    def queries(self, pool: Pool, replica: nn.Module, classes: int) -> Queries:
        """Which inputs to ask about next; may go on for ever, as it is left when the budget is spent.

        A function of its arguments and of the answers alone, `pool.seed` among them: where a run was killed it is called again, and sent
        what was answered before. Only one rank calls it.

        Args:
            pool: what may be asked about.
            replica: as its training will begin, to be copied.
            classes: m of the victim.
        """

    def columns(self) -> Mapping[str, Tensor]:
        """What `queries` has noted of each query, [Q] each, for `queries.npz`; nothing here."""
        return {}

    # What the author need not know

    def arguments(self) -> dict[str, Any]:
        """The victim by its weights, wherever it lies; another data set by what it is."""
        given = super().arguments()
        if self._model is not None:
            given["victim"] = digest(self._model)
        if self.pool_data is not None:
            given["pool_data"] = " ".join(map(str, [self.pool_data.name, *self.pool_data.content()]))
        return given

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The victim is loaded first: it is part of what is said of the replica."""
        thieves = [c for c in trainer.callbacks if isinstance(c, Stealing)]  # type: ignore[attr-defined]
        require(len(thieves) == 1, f"{self.name}: a replica learns from one theft; here are {', '.join(c.name for c in thieves)}")
        idle = [c.name for c in trainer.callbacks if isinstance(c, TrainingAttack) and not isinstance(c, Stealing | Guard)]  # type: ignore[attr-defined]
        require(not idle, f"{self.name}: a replica learns from answers alone, so there is nothing in its training for {', '.join(idle)}")
        load: Callable[[str], nn.Module] | None = getattr(trainer, "load", None)
        if load is None:
            raise UserError(f"{self.name}: robnas's own Trainer is needed, which loads the victim")
        self._model = evaluation_copy(load(self.victim)).to(trainer.strategy.root_device)
        super().on_fit_start(trainer, pl_module)

    def begin(self, trainer: Trainer, model: LightningModule, data: ImageData) -> None:
        """Ask, or read what was asked, and train on that.

        Raises:
            UserError: the pool is not known or too small, or the victim is one of other classes.
        """
        require(hasattr(model, "soft_labels"), f"{self.name}: {type(model).__name__} learns from no probabilities: a Classifier is needed")
        pool = self._pool(trainer, data)
        whose = self.pool_data.name if self.pool_data else self.pool
        require(self.budget <= len(pool), f"budget: {self.budget:,} queries, but the pool ({whose}) has {len(pool):,} inputs")
        batch = f"budget: {self.budget:,} queries are fewer than data.batch_size: {data.batch_size}"
        require(self.budget >= data.batch_size, batch)  # said before the victim is asked
        replica: nn.Module = getattr(model, "model", None) or model
        table = collectives.from_first(lambda: self._asked(trainer, replica, pool, data.num_classes))
        self._table = table
        rows = as_targets(torch.from_numpy(table.answers))
        known = ~rows.isnan().any(1)
        require(bool(known.any()), f"{self.name}: the victim gave no answer (NaN) to any of {len(rows):,} queries")
        index, rows = torch.from_numpy(table.index)[known], rows[known]
        data.train_on(Altered.of(pool.images).relabelled(index, rows.argmax(1)), index)
        model.soft_labels = SoftLabels(index, rows.to(model.dtype))  # type: ignore[assignment]

    def measure(self, trainer: Trainer, model: LightningModule, tested: FinalTest) -> tuple[Mapping[str, Number], Outcomes | None]:
        """On the test set, whose answers of the victim are no queries: it is the referee who asks."""
        assert self._model is not None
        assert self._table is not None
        data: ImageData = trainer.datamodule  # type: ignore[attr-defined]
        device = trainer.strategy.root_device
        replica = evaluation_copy(model).to(device)
        victim = self._model.to(device)
        found = compare.over(data.sets()[1], victim, replica, device, torch.float32)
        lost = int(np.isnan(self._table.answers).any(1).sum())
        flags = (f"{lost} queries without an answer",) if lost else ()
        asked = Number(float(self._table.asked), len(self._table.index), flags=flags)
        measured = {name: number._replace(flags=(*number.flags, *self._doubts(trainer))) for name, number in compare.numbers(found).items()}
        return measured | {"queries": asked}, found

    def ask(self, oracle: Oracle, pool: Pool, replica: nn.Module, classes: int, ledger: Ledger) -> Table:
        """Everything up to the budget; what the ledger knows already is not asked again.

        Raises:
            UserError: the ledger is of other queries, as where the author's code has changed.
            ValueError: the author's queries are not what `Queries` says; the victim has not heard of these, and no table is written.
        """
        queries, left = self.queries(pool, replica, classes), self.budget
        unasked = Unasked(pool, f"{type(self).__name__}.queries")
        answers: Tensor | None = None
        past = iter(ledger.past)
        with bar(self.name, self.budget) as asked:
            while left:
                try:
                    index = (queries.send(answers) if answers is not None else next(queries))[:left]
                except StopIteration:
                    raise ValueError(f"{type(self).__name__}.queries: ended {left:,} before the budget of {self.budget:,}") from None
                unasked.take(index)
                if (known := next(past, None)) is not None:
                    if not np.array_equal(known[0], index.numpy()):
                        raise UserError(f"{ledger.part} is of other queries than would be asked: --overwrite begins anew")
                    rows = torch.from_numpy(known[1])
                else:
                    ledger.will_ask(index.numpy())
                    rows = as_rows(oracle.ask(pool.x(index)), classes)
                    ledger.was_answered(rows.numpy())
                answers, left = as_targets(rows), left - len(index)
                asked(len(index))
            if answers is not None and not left:
                self._tell_the_last(queries, answers)
        queries.close()
        return ledger.finish(**{name: column.numpy() for name, column in self.columns().items()})

    @staticmethod
    def _tell_the_last(queries: Queries, answers: Tensor) -> None:
        """The author hears of the last answers too, though nothing more is asked."""
        try:
            queries.send(answers)
        except StopIteration:
            return

    def _doubts(self, trainer: Trainer) -> tuple[str, ...]:
        """With the victim's own seed a replica of its architecture begins with the weights that the victim began with."""
        folder, mine = run_of(self.victim), getattr(trainer, "config", None) or {}
        if folder is None or not (folder / "config.yaml").is_file():
            return ()
        return ("the victim's own seed",) if configuration(folder).get("seed_everything") == mine.get("seed_everything") else ()

    def _pool(self, trainer: Trainer, data: ImageData) -> Pool:
        if self.pool_data is not None:
            return other(self.pool_data, data, seeds.of_run())
        return choose(self.pool, data, self.victim, trainer, seeds.of_run())

    def _asked(self, trainer: Trainer, replica: nn.Module, pool: Pool, classes: int) -> Table:
        guards = [c for c in trainer.callbacks if isinstance(c, Guard)]  # type: ignore[attr-defined]
        said = [results.plain(self.arguments()), [results.plain(g.arguments()) for g in guards], pool.seed, len(pool), classes]  # type: ignore[attr-defined]
        mark = blake2b(repr([type(self).__name__, *said, pool.index.numpy().tobytes()]).encode(), digest_size=16).hexdigest()
        ledger = Ledger(Path(trainer.default_root_dir), mark)
        if (table := ledger.table()) is not None:
            return table
        assert self._model is not None
        return self.ask(Oracle(self._model, self.answers, guards, classes), pool, replica, classes, ledger)
