"""LiRA, the likelihood ratio attack (Carlini et al., "Membership Inference Attacks From First Principles", S&P 2022, Algorithm 1)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from robnas import collectives
from robnas.attacks.membership import inputs
from robnas.attacks.membership.base import Membership
from robnas.attacks.membership.inputs import Chosen
from robnas.attacks.membership.lira_scores import LEAST, VARIANCES, confidence, fit, offline, online
from robnas.attacks.membership.lira_scores import Normal as Fitted
from robnas.attacks.membership.result import MembershipResult
from robnas.attacks.membership.shadows import Shadow, found, read, train, weights
from robnas.attacks.state import State
from robnas.attacks.unfinished import Unfinished
from robnas.attacks.victim import Victim
from robnas.errors import UserError, require, unknown

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""(x, y) a few at a time, from the beginning at every call."""


class LiRA(Membership):
    """Membership by likelihood ratio: is φ = log(p_y / (1 − p_y)) that of models trained with this input, or without it?

    Shadows say what either looks like, input by input; the victim is asked once, without the authors' augmented copies. Online, as in
    Algorithm 1, takes shadows that have seen members and non-members alike, so a victim that was trained on a share of its training set
    (`--data.members=0.5`). Offline takes only models without the input: the way for a victim trained on all of it, whose non-members are
    test inputs that no shadow can have seen. An input with fewer than 2 shadows on a side that is needed has no score and is counted apart.

    Args:
        online: or offline.
        variance: "input", "global" (one σ with the input, one without, for all inputs), or "auto": global below 64 shadows.
        shadows: a folder of trainings with other members (`runs/<experiment>`), or several run folders; the victim is never one of them.
        n_shadows: how many are trained where none are given, as the victim was but on members of their own; each is a job.
        share: of the training set, that each of them is trained on; that of the victim if not given, or half.
        workers: trained at a time; None: one for each CUDA device, or for each core. No result depends on it.
        kwargs: see `Membership`.
    """

    access: ClassVar[str] = "score"
    errs: ClassVar[str] = f"the model gave no numbers (NaN), or fewer than {LEAST} shadows were trained with, or without, the input,"
    kept: ClassVar[tuple[str, ...]] = ("phi", "n_in", "n_out")
    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"n_shadows": 16, "max_inputs": 300}}

    def __init__(
        self,
        online: bool = True,
        variance: str = "auto",
        shadows: str | list[str] | None = None,
        n_shadows: int = 64,
        share: float | None = None,
        workers: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.online, self.variance, self.shadows, self.n_shadows = online, variance, shadows, n_shadows
        self.share, self.workers = share, workers
        self._used: dict[str, Any] = {}
        super().__init__(**kwargs)
        if variance not in VARIANCES:
            raise unknown("variance", variance, VARIANCES)
        least = 2 * LEAST if online else LEAST
        require(isinstance(n_shadows, int) and n_shadows >= least, f"n_shadows: {n_shadows} is less than {least}")
        require(share is None or 0 < share < 1, f"share: {share} is not in (0, 1)")
        require(workers is None or workers >= 1, f"workers: {workers} is less than 1")

    def arguments(self) -> dict[str, Any]:
        """Shadows by number and digest of their weights, wherever they lie."""
        given = super().arguments()
        return {name: value for name, value in given.items() if name != "workers"} | self._used

    def score(self, victim: Any, s: State) -> Tensor:
        """log Λ, or offline how many σ above the models without the input."""
        phi = confidence(victim.logits(s.x), s.y)
        s.phi = phi.where(phi.isfinite(), torch.nan)
        outside = Fitted(s.mean_out, s.std_out, s.n_out)
        return online(s.phi, Fitted(s.mean_in, s.std_in, s.n_in), outside) if self.online else offline(s.phi, outside)

    def ask(self, victim: Victim, s: State, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Scores tell φ, but softmax in single precision would round it where the model is sure: it is taken from the logits."""
        score = self.score(victim.white_box(s), s)
        run = s.end()
        return score, run.queries - 1, run.answered

    def __call__(
        self,
        model: nn.Module | Victim,
        x: Tensor,
        y: Tensor | None = None,
        index: Tensor | None = None,
        seed: int = 0,
        batch_size: int = 256,
        member: Tensor | None = None,
        shadows: Iterable[nn.Module] | None = None,
        shadow_members: Tensor | None = None,
        **more: Tensor,
    ) -> MembershipResult:
        """See `Membership`. A global variance is that over these very inputs.

        Args:
            shadows: S models, asked one after another; one with the victim's weights is left out.
            shadow_members: [S, N] bool, what each was trained on.
        """
        if "mean_out" not in more:
            if shadows is None or shadow_members is None:
                raise UserError("shadows, shadow_members: LiRA needs models, and [S, N] of what each was trained on")
            model = self.prepare(model)
            if y is None:
                y = torch.cat([model.judge(model.take(some)).argmax(1) for some in torch.split(x, batch_size)]).to(x.device)
            more |= self._of_models(model, x, y, shadows, shadow_members, batch_size)
        return super().__call__(model, x, y, index, seed, batch_size, member, **more)

    def _of_models(
        self, victim: Victim, x: Tensor, y: Tensor, shadows: Iterable[nn.Module], members: Tensor, batch_size: int
    ) -> dict[str, Tensor]:
        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            return zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)

        phi: list[Tensor | None] = []
        for shadow in shadows:
            asked = Victim.prepare(shadow, fast=False)
            phi.append(None if asked.digest == victim.digest else confidences(asked, batches).to(x.device))
        fits = members.shape == (len(phi), len(x))
        require(fits, f"shadow_members: {list(members.shape)} for {len(phi)} shadows and {len(x)} inputs; [S, N] is needed")
        used = [k for k, of in enumerate(phi) if of is not None]
        require(len(used) > 0, "shadows: there are none beside the victim")
        return self.fitted(torch.stack([of for of in phi if of is not None]), members.to(x.device, torch.bool)[used])

    def fitted(self, phi: Tensor, member: Tensor) -> dict[str, Tensor]:
        """phi: [S, N], member: [S, N] bool → what `score` needs of each input, [N] each."""
        sides = {"in": fit(phi, member, self.variance), "out": fit(phi, ~member, self.variance)}
        return {f"{name}_{side}": value for side, normal in sides.items() for name, value in normal._asdict().items()}

    # In Lightning's test loop

    def ready(self, trainer: Trainer, chosen: Chosen) -> None:
        """Have the shadows trained, or find them, and ask them all about all inputs: S · N numbers are kept, and one model at a time."""
        pool = collectives.from_first(lambda: self._pool(trainer, chosen.n_train))
        seen = torch.zeros(len(pool), len(chosen.index), dtype=torch.bool)
        trained_on = chosen.index < chosen.n_train
        for row, shadow in zip(seen, pool, strict=True):
            row[trained_on] = torch.from_numpy(shadow.member)[chosen.index[trained_on]]
        phi, names = self._phi(trainer, pool, chosen)
        used = sorted(names)
        self._fits = self.fitted(torch.stack([phi[k] for k in used]), seen[used]) if used else {}
        self._require_enough(chosen, len(used))
        self._index = chosen.index
        digest = blake2b("".join(sorted(names.values())).encode(), digest_size=6).hexdigest()
        self._used = {"n_shadows": len(used), "shadows": digest}
        self._unfinished = Unfinished.of(trainer, self.name, self.arguments(), self._victim.digest)

    def more(self, index: Tensor) -> dict[str, Tensor]:
        """What the shadows say of these inputs."""
        at = torch.searchsorted(self._index, index.cpu())
        return {name: value[at] for name, value in self._fits.items()}

    def _pool(self, trainer: Trainer, n_train: int) -> list[Shadow]:
        victim = Path(trainer.default_root_dir)
        if self.shadows is not None:
            folders: Sequence[Path | None] = found(self.shadows, victim)
        else:
            print(f"{self.name}: {self.n_shadows} shadows, trained as the victim was or found again", file=sys.stderr, flush=True)
            folders = train(trainer, victim, self.n_shadows, self.share, self.workers)
        lost = sum(folder is None for folder in folders)
        require(not folders or lost < len(folders), f"{self.name}: none of {lost} shadows could be trained: {victim / 'children'} says why")
        if lost:
            self._victim.flags.add(f"{lost} shadows failed")
            warnings.warn(
                f"{self.name}: {lost} of {len(folders)} shadows could not be trained: {victim / 'children'} says why", stacklevel=2
            )
        return read([folder for folder in folders if folder is not None], getattr(trainer, "config", None) or {}, n_train)

    def _phi(self, trainer: Trainer, pool: list[Shadow], chosen: Chosen) -> tuple[dict[int, Tensor], dict[int, str]]:
        """φ [N] and digest of each shadow that is neither the victim nor another one again. Each rank asks some of them."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        module: Any = trainer.lightning_module
        dtype: torch.dtype = module.dtype
        victim = weights(getattr(module, "model", module))

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            return (inputs.images(data, index, dtype)[:2] for index in torch.split(chosen.index, data.batch_size))

        mine: dict[int, tuple[str, Tensor]] = {}
        for k in range(collectives.rank(), len(pool), collectives.world_size()):
            model = trainer.load(pool[k].folder)  # type: ignore[attr-defined]
            name = weights(model)
            if name != victim:
                model = model.to(module.device, dtype)
                mine[k] = name, confidences(Victim.prepare(model, fast=False), batches).cpu()
        every = {k: one for some in collectives.gather(mine) for k, one in some.items()}
        first = {every[k][0]: k for k in sorted(every, reverse=True)}
        return {k: every[k][1] for k in first.values()}, {k: name for name, k in first.items()}

    def _require_enough(self, chosen: Chosen, n: int) -> None:
        """Raises UserError where all members, or all non-members, would be without a score."""
        least = 2 * LEAST if self.online else LEAST
        require(n >= least, f"shadows: there are {n} beside the victim; {least} are the least")
        sides = ["n_in", "n_out"] if self.online else ["n_out"]
        for who, group in (("member", chosen.member), ("non-member", ~chosen.member)):
            for side in sides:
                if not bool((self._fits[side][group] >= LEAST).any()):
                    with_or = "with" if side == "n_in" else "without"
                    test = self.online and bool((chosen.index[group] >= chosen.n_train).all())
                    hint = "test inputs are in none: a victim trained with --data.members=0.5, or online: false" if test else "more shadows"
                    require(False, f"{self.name}: no {who} has {LEAST} of {n} shadows that were trained {with_or} it; needed: {hint}")


def confidences(shadow: Victim, batches: Batches) -> Tensor:
    """φ of all inputs [N], float64; not counted as queries, which are the victim's."""
    return torch.cat([confidence(shadow.judge(x := shadow.take(some)), y.to(x.device)) for some, y in batches()])
