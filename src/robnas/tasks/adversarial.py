"""Adversarial training: PGD (Madry et al., 2018; Table 6), TRADES (Zhang et al., 2019), free and fast (Shafahi; Wong et al., 2019–20)."""

from collections.abc import Callable
from math import ceil, inf
from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from robnas import collectives, provenance, seeds
from robnas.attacks.base import Attack, Evasion
from robnas.attacks.goal import Goal
from robnas.attacks.pgd import PGD
from robnas.attacks.victim import Victim
from robnas.errors import UserError, require, unknown
from robnas.metrics import RobustAccuracy
from robnas.tasks.classifier import DATA, Classifier
from robnas.tasks.free import Perturbation
from robnas.tasks.inner import frozen, maximise
from robnas.tasks.trades import Disagreement, divergence

ATTACKS: dict[str, Callable[[], Evasion]] = {
    "pgd": lambda: PGD(eps=8 / 255, step_size=2 / 255, steps=7, n_restarts=1),
    "trades": lambda: PGD(eps=8 / 255, step_size=2 / 255, steps=7, n_restarts=1),
    "free": lambda: PGD(eps=8 / 255, step_size=8 / 255, steps=1, n_restarts=1, random_start=False),
    "fast": lambda: PGD(eps=8 / 255, step_size=10 / 255, steps=1, n_restarts=1),
}
"""By method: the attack inside where none is given. Table 6 for the first two; a step of ε, and one of 1.25 ε, as their papers have it."""

ROBUST = "valid/robust_accuracy"


class AdversarialClassifier(Classifier):
    """A `Classifier` trained on images that an attack has moved, each step on the weights of that step.

    "pgd" and "fast" minimise the loss on the attacked images; "trades" that on the clean ones and β times the divergence between
    the two; "free" replays each minibatch, and one backward pass moves the weights and the perturbation, so that `trainer.max_epochs`
    epochs become ⌈max_epochs / replays⌉: as many steps of the weights as any other method makes. `warmup_epochs` are counted in those.

    Departures. While the perturbation is made the network is in evaluation mode, as in TRADES's code (in those of Madry and of Wong it is
    in training mode): running statistics are those of trained images alone, and an input's attack depends on no other input. No input
    stops early. TRADES starts where its attack does (PGD: anywhere in the ball), its authors within 0.001 of the image. The perturbation
    of "free" is cut to what keeps the image in [0, 1] before it is carried over, and follows the gradient of all that is minimised,
    label smoothing and auxiliary loss included; theirs too has no other gradient to follow. An auxiliary head sees the attacked images,
    in TRADES the clean ones. With `ema`, "free" averages once a minibatch, after its last replay, and not after every step.

    Args:
        method: "pgd", "trades", "free" or "fast".
        attack: any `Evasion` that sees gradients, untargeted, ε finite. If not given: the method's own steps within 8/255 (`ATTACKS`).
        beta: β of TRADES, 1/λ of its Eq. 5; the other methods have none.
        replays: m of "free"; the other methods have none.
        valid_attack: by which robust accuracy on validation is measured, untargeted, ε finite; PGD, 10 steps of ε/4 within the ball of
            `attack` if not given.
        valid_inputs: of the validation images the first so many are attacked.
        valid_every: epochs from one measurement to the next; it takes the first validation of a run, the first that is as far from the
            last measurement, and the last one. 0: never. Early stopping on it needs 1.
        recipe: arguments of `Classifier`.
    """

    scales: ClassVar[dict[str, dict[str, Any]]] = {"tiny": {"size": "tiny", "trainer": {"max_epochs": 20}}}

    def __init__(
        self,
        method: str = "pgd",
        attack: Evasion | None = None,
        beta: float = 6.0,
        replays: int = 8,
        valid_attack: Evasion | None = None,
        valid_inputs: int = 512,
        valid_every: int = 1,
        **recipe: Any,
    ) -> None:
        for name in (*DATA, "description", "adversarial"):  # of a checkpoint, which `load_from_checkpoint` hands over as a whole
            recipe.pop(name, None)
        super().__init__(**recipe)
        if method not in ATTACKS:
            raise unknown("method", str(method), ATTACKS)
        require(beta >= 0, f"beta: {beta} is negative")
        require(replays >= 1, f"replays: {replays} is not at least 1")
        require(valid_inputs >= 1, f"valid_inputs: {valid_inputs} is not at least 1")
        require(valid_every >= 0, f"valid_every: {valid_every} is negative")
        attack = attack or ATTACKS[method]()
        suits(attack, method)
        if valid_attack is not None:
            measures(valid_attack)
        self.method, self.attack, self.beta, self.replays = method, attack, beta, replays
        self.valid_attack = valid_attack or PGD(eps=attack.eps, step_size=attack.eps / 4, steps=10, n_restarts=1, norm=attack.norm)
        self.valid_inputs, self.valid_every = valid_inputs, valid_every
        self.perturbation = Perturbation()
        self._epochs: int | None = None
        self._measured: float | None = None
        self._measured_in: int | None = None  # epoch
        self._victim: Victim | None = None

    def _build(self, data: dict[str, Any]) -> None:
        super()._build(data)
        self.robust_accuracy = RobustAccuracy()

    def setup(self, stage: str) -> None:
        """Free training's epochs are fewer, as each replays its minibatches.

        Raises UserError for a training that has no end, ends before it has warmed up, or is to stop early by what is not measured.
        """
        super().setup(stage)
        if stage != "fit":
            return
        self._measured = self._measured_in = None  # of an earlier training
        if any(isinstance(c, EarlyStopping) and c.monitor == ROBUST for c in self.trainer.callbacks):  # type: ignore[attr-defined]
            self._require_measurements()
        if self.method == "free":
            self._fewer_epochs()

    def _require_measurements(self) -> None:
        """Early stopping needs one whenever it asks: in an epoch without, it would count the old value as no improvement."""
        never = f"EarlyStopping: {ROBUST} is never measured"
        require(self.valid_every > 0, f"{never} with valid_every: 0")
        require(self.trainer.enable_validation, f"{never}, as nothing is validated (data.validation, trainer.limit_val_batches)")
        way = f"valid_every: 1 with trainer.check_val_every_n_epoch: {self.valid_every} counts measurements alone"
        require(self.valid_every == 1, f"valid_every: {self.valid_every}; EarlyStopping would count epochs without {ROBUST}; {way}")

    def _fewer_epochs(self) -> None:
        """Of free training, on which the learning rate's schedule is built after this."""
        accumulated = self.trainer.accumulate_grad_batches
        require(accumulated == 1, f"trainer.accumulate_grad_batches: {accumulated}; free training steps at every minibatch")
        epochs = self.trainer.max_epochs
        if epochs == self._epochs:  # those that were set here
            return
        fewer = ceil((epochs or 1) / self.replays)
        said = f"the {fewer} that free training makes of trainer.max_epochs: {epochs} with replays: {self.replays}"
        require(self.warmup_epochs < fewer, f"warmup_epochs: {self.warmup_epochs} leaves nothing of {said}")
        self._epochs = self.trainer.fit_loop.max_epochs = fewer
        if fewer != epochs and self.trainer.is_global_zero:
            print(f"free training: {epochs} epochs are {fewer} of {self.replays} replays", flush=True)

    # Training

    def objective(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """What is minimised, the loss that is shown, and logits: of attacked images, in TRADES of the clean ones."""
        x, y = batch[:2]
        index, seed = self._names(batch)
        if self.method == "trades":
            return self._trades(batch, index, seed)
        if self.method == "free":
            adversarial = self.perturbation.apply(self.attack, x, y, index, seed)
        else:
            adversarial = self._maximise(x, Goal(y), index, seed)
        total, loss, self._logits = super().objective((adversarial, *batch[1:]))
        return total, loss, self._logits

    def _trades(self, batch: Any, index: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 5: the loss on clean images + β · KL(p(clean) ‖ p(adversarial))."""
        x, y = batch[:2]
        with torch.no_grad(), frozen(self.built):
            around = Disagreement(y, clean=self(x))
        adversarial = self._maximise(x, around, index, seed)
        total, loss, logits = super().objective(batch)
        apart = self.beta * divergence(logits, self(adversarial)).mean()
        return total + apart, loss + apart, logits

    def _maximise(self, x: Tensor, goal: Goal, index: Tensor, seed: int) -> Tensor:
        """The attack on the weights of this step; compiled, where the network is, as it is most of the work."""
        if not self.compile_network:
            return maximise(self.attack, self.built, x, goal, index, seed)
        from torch._dynamo.exc import BackendCompilerFailed

        try:
            return maximise(self.attack, self.built, x, goal, index, seed)
        except BackendCompilerFailed as error:
            raise UserError(f"compile_network: {str(error).partition(chr(10))[0]}") from error

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Algorithm 1 of free training: every replay is a forward and a backward pass, a step of the weights and one of δ."""
        for _ in range(self.replays if self.method == "free" else 1):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            if self.method == "free":
                self.perturbation.move(self.attack, self._logits.detach())

    def _names(self, batch: Any) -> tuple[Tensor, int]:
        """What an input's random numbers depend on: its index in the data set (else its place in the epoch), and seed and epoch."""
        seed = seeds.derive(seeds.of_run(), "adversarial", self.current_epoch)
        if len(batch) > 2:
            return batch[2], seed
        n, step = len(batch[0]), self.trainer.fit_loop.batch_idx
        return torch.arange(n, device=self.device) + n * (step * self.trainer.world_size + self.trainer.global_rank), seed

    # Robust accuracy on validation

    def on_validation_epoch_start(self) -> None:
        """The model as it is now is attacked."""
        self._victim = Victim.prepare(self) if self._due() and not self.trainer.sanity_checking else None
        self._seen = 0

    def _due(self) -> bool:
        """Whether this validation measures; validations may be epochs apart, so that not every epoch has its chance."""
        if self.valid_every <= 1 or self.trainer.state.fn != "fit" or self._measured_in is None:
            return self.valid_every > 0
        apart = self.trainer.check_val_every_n_epoch or 1
        last = self.current_epoch + apart >= (self.trainer.max_epochs or 0)
        return last or self.current_epoch - self._measured_in >= self.valid_every

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Loss and accuracy on data held out, and robust accuracy on the first `valid_inputs` of them."""
        super().validation_step(batch, batch_idx)
        if self._victim is None:
            return
        sizes = collectives.gather(len(batch[0]))
        places = torch.arange(sizes[collectives.rank()]) + self._seen + sum(sizes[: collectives.rank()])
        self._seen += sum(sizes)
        rows = places.to(self.device) < self.valid_inputs
        x, y = (part[rows] for part in batch[:2])
        index = batch[2][rows] if len(batch) > 2 else places.to(self.device)[rows]
        robust = errored = rows[:0]
        if len(x):
            found = self.valid_attack(self._victim, x, y, index, seeds.derive(seeds.of_run(), "valid"))
            robust, errored = found.robust, found.errored
        self.robust_accuracy.update(robust, errored)
        self.log(ROBUST, self.robust_accuracy, prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        """The copy goes."""
        if self._victim is not None and self.trainer.state.fn == "fit":
            self._measured, self._measured_in = float(self.robust_accuracy.compute()), self.current_epoch
        self._victim = None

    def on_train_start(self) -> None:
        """A run that goes on knows what was measured last: callbacks may ask in epochs without a measurement too."""
        if self._measured is not None:
            self.trainer.callback_metrics[ROBUST] = torch.tensor(self._measured)

    @property
    def best_by(self) -> str:
        """The metric that chooses best.ckpt."""
        return ROBUST if self.valid_every else "valid/accuracy"

    # What is kept

    @property
    def row_params(self) -> dict[str, Any]:
        """How it was trained, in plain values: for rows and checkpoints."""
        attack = provenance.init_arguments(self.attack, Attack)
        own = {"beta": self.beta} if self.method == "trades" else {"replays": self.replays} if self.method == "free" else {}
        return {"method": self.method, "attack": type(self.attack).__name__.lower()} | attack | own

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A `Classifier`'s, with how it was trained and the perturbation that free training carries over."""
        super().on_save_checkpoint(checkpoint)
        own = {name: getattr(self, name) for name in ("method", "beta", "replays", "valid_inputs", "valid_every")}
        checkpoint["hyper_parameters"] |= own | {"adversarial": self.row_params}
        measured = {"measured": self._measured, "measured_in": self._measured_in}
        checkpoint["adversarial"] = {"perturbation": self.perturbation.state()} | measured

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also a `Classifier`'s, to be trained further."""
        super().on_load_checkpoint(checkpoint)
        own = checkpoint.get("adversarial", {})
        self.perturbation.load(own.get("perturbation"))
        self._measured, self._measured_in = own.get("measured"), own.get("measured_in")

    @property
    def built(self) -> Any:
        """Normalisation and network."""
        assert self.model is not None
        return self.model


def measures(attack: Evasion) -> None:
    """Raises UserError where what an attack leaves right is not robust accuracy within a ball."""
    name = f"valid_attack: {type(attack).__name__.lower()}"
    require(attack.goal == "untargeted", f"{name} has the goal {attack.goal}; robust accuracy is measured by untargeted attacks")
    require(attack.eps < inf, f"{name} has eps {attack.eps}; robust accuracy is that within a ball of finite radius")


def suits(attack: Evasion, method: str) -> None:
    """Raises UserError where an attack is not what a method raises its loss with."""
    name = f"attack: {type(attack).__name__.lower()}"
    require(attack.goal == "untargeted", f"{name} has the goal {attack.goal}; adversarial training raises the label's loss: untargeted")
    require(attack.eps < inf, f"{name} has eps {attack.eps}; adversarial training needs a ball of finite radius")
    white = f"{name} asks for {attack.access}s alone; adversarial training by {method} needs an attack with gradients"
    require(attack.access == "white", white)
    if method in ("free", "fast"):
        need = "; it is replays that count" if method == "free" else ""
        require(attack.steps == 1, f"{name} takes {attack.steps} steps; {method} takes one{need} (see adversarial/{method}.yaml)")
        require(attack.n_restarts == 1, f"{name} has {attack.n_restarts} restarts; {method} has one run (attack.n_restarts: 1)")
    stuck = f"{name} starts at the image, where the divergence of trades is zero and so is its gradient; attack.random_start must be true"
    require(method != "trades" or getattr(attack, "random_start", True), stuck)
