"""Membership inference: a score per input, higher where it is more likely that the model was trained on it (§3.2, Fig. 10)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from robnas import collectives, roc
from robnas.attacks.callback import Attack, Number, Outcomes
from robnas.attacks.goal import Goal, margin
from robnas.attacks.membership import inputs, past
from robnas.attacks.membership.inputs import Chosen
from robnas.attacks.membership.result import MembershipResult
from robnas.attacks.state import State
from robnas.attacks.victim import Victim, answered
from robnas.errors import UserError, require, unknown

FPRS = (0.1, 0.01, 0.001)
"""False positive rates at which true ones are told, where there are enough non-members to know them."""


class Membership(Attack):
    """The author writes `score`; whom it is asked about, ranks, intervals and rows are done here.

    Every argument of an attack's `__init__` is kept as an attribute of the same name: it goes into the results that way.

    Args:
        max_inputs: members that are asked about, and as many non-members; fewer where there are no more. None: all.
        members: "run", what the run folder says that it was trained on; "data", the training part of the data set, for a model that
            was trained elsewhere on the same part.
        non_members: "auto", the rest of the training set where the run was trained on a share of it, else the test set; or "train",
            "test", "validation" (what was held out to choose between models, and is neither unless asked for).
        inputs_seed: of which ones are drawn: for all models with the same members the same, whatever the attack's own seed is.
        confidence: [low, high] that the model's confidence in its own answer must be in for a non-member to be looked at, as in the
            authors' code; members are not filtered. It makes the two groups different in more than membership: not sound.
        fold: also report max(AUC, 1 − AUC) as `folded_auc`, as in the authors' code; it is ½ or more whatever the score is worth.
    """

    access: ClassVar[str] = "score"
    """"white" (logits and gradients), "score" (probabilities) or "label": what `score` is given to ask."""
    norm: str | None = None
    kept: ClassVar[tuple[str, ...]] = ()
    """Names of tensors [B] that `score` leaves on its state and that are kept of each input beside the score."""

    def __init__(
        self,
        max_inputs: int | None = 1000,
        members: str = "run",
        non_members: str = "auto",
        inputs_seed: int = 0,
        confidence: list[float] | None = None,
        fold: bool = False,
    ) -> None:
        super().__init__()
        self.max_inputs, self.members, self.non_members = max_inputs, members, non_members
        self.inputs_seed, self.confidence, self.fold = inputs_seed, confidence, fold
        require(max_inputs is None or (isinstance(max_inputs, int) and max_inputs >= 1), f"max_inputs: {max_inputs} is not ≥ 1")
        for name, allowed in (("members", inputs.MEMBERS), ("non_members", inputs.NON_MEMBERS)):
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        band = confidence is None or (len(confidence) == 2 and 0 <= confidence[0] < confidence[1] <= 1)
        require(band, f"confidence: {confidence} is not [low, high] with 0 ≤ low < high ≤ 1")

    # What the author writes

    def score(self, victim: Any, s: State) -> Tensor:
        """[B] higher: more likely a member; ±∞ is allowed, NaN says that there is no score. Pure; each input's of itself alone.

        victim: `WhiteBox` or `BlackBox`, as `access` says; it counts queries per input.
        s: `s.x` [B, C, H, W] in [0, 1], `s.y` [B] labels, `s.index` [B]; what `more` gave, by its names; random numbers of each input's
        own, `s.normal()`. No input leaves.
        """
        raise NotImplementedError(f"{type(self).__name__} needs `score`")

    def more(self, index: Tensor) -> dict[str, Tensor]:
        """In the test loop: further tensors [B, …] about the inputs with index: [B] (see `Chosen`). `score` finds them on `s`."""
        return {}

    def ready(self, trainer: Trainer, chosen: Chosen) -> None:
        """In the test loop, on every rank, before the first input: whatever an attack needs beside the victim. chosen: all inputs."""

    # What the author need not know

    def __call__(
        self,
        model: nn.Module | Victim,
        x: Tensor,
        y: Tensor | None = None,
        index: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
        member: Tensor | None = None,
        **more: Tensor,
    ) -> MembershipResult:
        """Score some inputs.

        Args:
            model: pixels in [0, 1] → logits; it is copied and left as it was. A prepared `Victim` saves the copying.
            x: [N, C, H, W] in [0, 1].
            y: [N] labels; the model's own predictions where absent.
            index: [N] the data set's own numbers, which name the random streams; 0 … N − 1 where absent.
            seed: of the attack.
            batch_size: inputs that are asked at once; results do not depend on it.
            member: [N] bool, the truth, for the result's AUC; the attack does not see it.
            more: [N, …] each, further tensors that `score` finds on its state by these names.

        Raises:
            UserError: pixels outside [0, 1], tensors that do not fit together, or a model that does not answer with logits.
        """
        require(x.ndim >= 2, f"x: shape {list(x.shape)}; [N, C, H, W] is needed")
        index = torch.arange(len(x)) if index is None else index
        for name, tensor in {"y": y, "index": index, "member": member, **more}.items():
            require(tensor is None or len(tensor) == len(x), f"{name}: {0 if tensor is None else len(tensor)} of them for {len(x)} inputs")
        with torch.inference_mode(False), torch.no_grad():
            victim = self.prepare(model)
            parts = []
            for i in range(0, max(1, len(x)), batch_size):
                rows, begin = slice(i, i + batch_size), time.perf_counter()
                some = {name: tensor[rows] for name, tensor in more.items()}
                part = self._of(victim, x[rows], None if y is None else y[rows], index[rows], seed, some).to(x.device)
                part.member = None if member is None else member[rows].to(x.device, torch.bool)
                if part.member is not None:
                    part.eligible |= part.member
                part.seconds = time.perf_counter() - begin
                parts.append(part)
            return MembershipResult.cat(parts)

    def _of(self, victim: Victim, x: Tensor, y: Tensor | None, index: Tensor, seed: int, more: dict[str, Tensor]) -> MembershipResult:
        x = victim.take(x)
        clean = victim.judge(x)
        y = clean.argmax(1) if y is None else y.detach().to(clean.device, torch.int64, copy=True)
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < clean.shape[1]:
            raise UserError(f"labels from {int(y.min())} to {int(y.max())}; the model has {clean.shape[1]} classes, numbered from 0")
        s = State(x, Goal(y), index.detach().to(x.device, copy=True), seed)
        s.y = y
        for name, tensor in more.items():
            setattr(s, name, tensor.to(x.device))
        score, queries, fine = self.ask(victim, s, seed)
        if score.shape != y.shape:
            raise ValueError(f"{type(self).__name__}.score: shape {list(score.shape)}; one number for each of {len(y)} inputs is needed")
        errored = ~(answered(clean) & fine) | score.isnan()
        eligible = torch.ones_like(errored)
        if self.confidence is not None:
            eligible = within(clean, self.confidence) | errored
        return MembershipResult(
            score=score.masked_fill(errored, torch.nan),
            queries=queries,
            errored=errored,
            eligible=eligible,
            correct=answered(clean) & (margin(clean, y) > 0),
            loss=-clean.double().log_softmax(1).gather(1, y[:, None]).squeeze(1),
            label=y,
            index=s.index,
            kept={name: getattr(s, name) for name in self.kept},
        )

    def ask(self, victim: Victim, s: State, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """→ score, queries, and whether the model always gave numbers, [B] each: `score` through what `access` allows."""
        score = self.score(victim.white_box(s) if self.access == "white" else victim.black_box(s, self.access), s)
        run = s.end()
        return score, run.queries - 1, run.answered  # `end` adds a query for an image to be judged, which there is not

    # In Lightning's test loop

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the victim, and draw whom it is asked about: what is wrong shows before the test loop."""
        super().on_test_start(trainer, pl_module)
        self._data, members, others = inputs.pools(trainer, self.members, self.non_members)
        members, others = (inputs.order(pool, self.inputs_seed) for pool in (members, others))
        if self.members == "run":
            self._victim.flags.update(past.doubts(Path(trainer.default_root_dir), pl_module))
        if self.confidence is not None:
            self._victim.flags.add("non-members filtered")
            others = self._confident(others, pl_module)
        self._chosen = inputs.choose(members[: self.max_inputs], others[: self.max_inputs], len(self._data.sets()[0].y))
        self.ready(trainer, self._chosen)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the inputs are not those of the test loop."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score this rank's share of the inputs, put all together."""
        rank, ranks = collectives.rank(), collectives.world_size()
        for index in torch.split(self._chosen.index[rank::ranks], max(1, self._data.batch_size // ranks)):
            if len(index):  # more ranks than inputs
                self._attack(trainer, *inputs.images(self._data, index, pl_module.dtype))
        super().on_test_epoch_end(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the copies and the data go."""
        super().teardown(trainer, pl_module, stage)
        vars(self).pop("_data", None)

    def _confident(self, pool: Tensor, pl_module: LightningModule) -> Tensor:
        """The first `max_inputs` of a pool that the model is as sure of as `confidence` says. Not counted: it is no part of the attack."""
        assert self.confidence is not None
        rank, ranks, found = collectives.rank(), collectives.world_size(), pool[:0]
        for some in torch.split(pool, ranks * self._data.batch_size):
            mine = some[rank::ranks]
            sure = mine
            if len(mine):
                x, _, index = inputs.images(self._data, mine, pl_module.dtype)
                with torch.inference_mode(False):
                    sure = index[within(self._victim.judge(self._victim.take(x)), self.confidence).cpu()]
            found = torch.cat([found, some[torch.isin(some, torch.cat(collectives.gather(sure)))]])
            if self.max_inputs is not None and len(found) >= self.max_inputs:
                break
        self._victim.noticed.arrays()  # of other inputs than the attack's
        low, high = self.confidence
        require(len(found) > 0, f"confidence: no non-member of {len(pool):,} is given an answer with confidence {low:g} to {high:g}")
        return found

    def results(self, victim: Victim, x: Tensor, y: Tensor, index: Tensor, seed: int) -> dict[str, MembershipResult]:
        """Of some inputs of the test loop."""
        more: dict[str, Any] = self.more(index)
        return {self.name: self(victim, x, y, index=index, seed=seed, member=self._chosen.member_of(index), **more)}

    def proportions(self, outcomes: Outcomes) -> dict[str, tuple[int, int]]:
        """Accuracy on the very members and the very non-members."""
        counted = outcomes["eligible"] & ~outcomes["errored"]
        groups = {"member": counted & outcomes["member"], "non_member": counted & ~outcomes["member"]}
        return {f"{k}_accuracy": (int(outcomes["correct"][group].sum()), int(group.sum())) for k, group in groups.items()}

    def numbers(self, outcomes: Outcomes) -> dict[str, Number]:
        """AUC, balanced accuracy, TPR at low FPR, and beside them the overfitting gap, each with its interval."""
        counted = outcomes["eligible"] & ~outcomes["errored"]
        x, y = (outcomes["score"][counted & group] for group in (outcomes["member"], ~outcomes["member"]))
        (hits, m), (others, n) = self.proportions(outcomes).values()
        found = {"auc": roc.auc(x, y)}
        if self.fold:
            found["folded_auc"] = roc.folded(found["auc"])
        found["balanced_accuracy"] = roc.balanced_accuracy(x, y)
        found |= {f"tpr_at_fpr_{fpr:g}": roc.tpr_at(x, y, fpr) for fpr in FPRS}
        found["overfitting_gap"] = roc.difference(hits, m, others, n)
        return {name: Number(e.value, 0 if e.value is None else m + n, e.ci, e.ci_method, e.flags) for name, e in found.items()}


def within(logits: Tensor, band: list[float]) -> Tensor:
    """[B] bool: the largest probability of [B, m] logits is in [low, high]."""
    sure = logits.softmax(1).amax(1)
    return (sure >= band[0]) & (sure <= band[1])
