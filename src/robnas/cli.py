"""`robnas fit|validate|test|predict|attack|probe`: Lightning's command line on one merged configuration.

Configs and flags are merged by `robnas.configuration`; what comes here is one mapping, whose keys are checked and whose classes are
import paths. Lightning's part is to check types, to build the objects and to run the trainer's verb.
"""

import sys
from collections.abc import Mapping
from typing import Any, Literal

import torch
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import seed_everything
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from robnas import class_help, one_config
from robnas.attacks.base import Attack
from robnas.attacks.training import Defence
from robnas.configuration import compose, flags
from robnas.configuration.complaints import one_line
from robnas.errors import UserError
from robnas.models.export import is_export
from robnas.one_config import BLOCKS, EVALUATIONS, OWN_KEYS
from robnas.probes.base import Probe
from robnas.results import Row, Rows
from robnas.runtime import conclusion, evaluated_config, run_folder
from robnas.runtime.evaluated_run import evaluated_run
from robnas.runtime.final_test import final_test
from robnas.runtime.run_folder import Run
from robnas.runtime.trainer import Trainer

_DESCRIPTIONS = {
    "fit": "robnas fit --config F [--config G …] [--key=value …]: train what the config's model says.",
    "attack": "robnas attack RUN… --config pgd.yaml: attack run folders, or the model that a config gives; writes rows, prints one table.",
    "probe": "robnas probe RUN… --config F: measure run folders, or the model that a config gives.",
}


def run(verb: str, arguments: flags.Arguments) -> None:
    """Run a verb for every RUN among the arguments, or once for the model that a config gives. Raises UserError."""
    if arguments.help_for:
        place, name = arguments.help_for
        class_help.show(place, name, None if name else compose.compose(arguments.configs, arguments.edits))
        return
    if verb == "fit" and arguments.runs:
        raise UserError(f"{arguments.runs[0]!r} is no flag of fit: configs are given as --config {arguments.runs[0]}")
    _, wanted = next((e for e in reversed(arguments.edits) if e[0] == "ckpt_path"), ("", None))
    runs = {folder for folder in arguments.runs if not is_export(folder)}
    victims = [run_folder.existing(folder, str(wanted or "last")) if folder in runs else None for folder in arguments.runs]
    rows: list[tuple[Rows, Row]] = []
    measured: list[tuple[str, Row]] = []
    for victim, given in zip(victims or [None], arguments.runs or ["RUN"], strict=True):
        cli = CLI(verb, arguments, victim, given)
        assert isinstance(cli.trainer, Trainer)
        rows += [(cli.trainer.rows, row) for callback in cli.evaluations for row in getattr(callback, "rows", ())]
        measured += [(probe.name, row) for probe in cli.evaluations if isinstance(probe, Probe) for row in probe.rows]
    if verb in EVALUATIONS and run_folder.is_first_rank():
        conclusion.of_evaluations(rows, measured)


class Parser(LightningArgumentParser):
    """Complaints become a UserError, to be shortened where the configuration is known."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raises UserError, with all lines."""
        raise UserError(message) from ex


class CLI(LightningCLI):
    """One verb on one configuration.

    Args:
        verb: a method of the Trainer.
        arguments: what stands behind it on the command line.
        victim: the run that is evaluated; None: the model of the configuration.
        given: its folder as the command names it.
    """

    def __init__(self, verb: str, arguments: flags.Arguments, victim: Run | None = None, given: str = "RUN") -> None:
        self.arguments, self.victim, self.given = arguments, victim, given
        self.evaluations: list[Any] = []
        self.run: Run | None = None
        own = {verb: self.subcommands()[verb]}  # each verb's parser takes as long to build as a small network's epoch
        self.subcommands = lambda: own  # type: ignore[method-assign]
        super().__init__(
            trainer_class=Trainer,
            parser_class=Parser,
            save_config_callback=None,  # the run folder keeps it
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # a checkpoint says itself what it is
            args={"subcommand": verb},
            parser_kwargs={"prog": "robnas", **{v: {"description": text} for v, text in _DESCRIPTIONS.items() if v in own}},
        )

    # What may be said

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's four, and ours."""
        return {**LightningCLI.subcommands(), "attack": {"model", "datamodule"}, "probe": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The keys at the top that are robnas's own."""
        group = parser.add_argument_group("robnas")
        group.add_argument(
            "--experiment", type=str | None, default=None, help="name of the folder below `runs`; the first config's if not given"
        )
        group.add_argument("--scale", type=str | None, default=None, help="'tiny': what every class says is enough for a try on two cores")
        group.add_argument(
            "--protocol", type=Literal["paper", "artifact", "sound", "custom"], default="custom", help="what a row says of its settings"
        )
        group.add_argument("--wandb", type=Literal["off", "offline", "online"], default="offline", help="Weights & Biases")
        group.add_argument("--runs", type=str, default="runs", help="folder of all run folders")
        if self.subcommands().keys() == {"fit"}:
            group.add_argument(
                "--init_from", type=str | None, default=None, help="run whose model, data and weights a training starts from (backdoors)"
            )
        group.add_argument("--overwrite", type=bool, default=False, help="start anew where the same command was run before")
        group.add_argument(
            "--attacks", type=dict[str, Attack], default={}, help="named attacks: {pgd_most: {class_path: pgd, init_args: {…}}}"
        )
        group.add_argument("--defences", type=dict[str, Defence], default={}, help="named defences of a training")
        group.add_argument("--probes", type=dict[str, Probe], default={}, help="named probes")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Merge, check, and let the parser fill in the defaults."""
        verb = args["subcommand"]
        if self.arguments.help:
            parser.parse_args([verb, "--help"])  # prints and exits
        merged = one_config.of(verb, self.arguments, self.victim, self.given, self._subcommand_method_arguments[verb])
        try:
            self.config = parser.parse_object({"subcommand": verb, verb: merged})
        except UserError as error:
            raise UserError(one_line(str(error), merged)) from error
        dumped = yaml.safe_load(parser.dump(self.config, skip_link_targets=False, skip_unset=False, format="yaml"))[verb]
        self.resolved: dict[str, Any] = {key: value for key, value in dumped.items() if key not in ("config", "init_from")}
        if self.arguments.print_config:
            print(yaml.safe_dump(self.resolved, sort_keys=False, allow_unicode=True, width=140), end="")
            raise SystemExit(0)

    def _parse_ckpt_path(self) -> None:
        """Lightning would let a checkpoint's hyper-parameters win over configs and flags."""

    def _set_seed(self) -> None:
        """As Lightning, without a word."""
        seed = self._get(self.config, "seed_everything")
        if seed is not False:
            seed = seed_everything(None if seed is True else seed, workers=True, verbose=False)
            self.config[self.subcommand]["seed_everything"] = self.resolved["seed_everything"] = seed

    # What is built

    def instantiate_classes(self) -> None:
        """As Lightning; a wrong value that a class found, or a bug in it, comes out as it was raised."""
        try:
            self.config_init = self.parser.instantiate(self.config)
        except ValueError as error:
            raise _origin(error) from error
        self.datamodule, self.model = self._get(self.config_init, "data"), self._get(self.config_init, "model")
        if self.victim and (own := evaluated_config.own_cell(self.victim)) and run_folder.network_of(self.resolved) == own:
            self.model.description = {**self.model.description, "name": self.victim.job.facts["network"]}  # as in its training
        if self.subcommand == "attack" and getattr(self.model, "searches", False):
            from robnas.tasks.chronicle import next_command  # a search has imported it

            advice = next_command(self.given, getattr(self.datamodule, "name", ""))
            raise UserError(f"{self.given if self.victim else 'this model'} is a search: train its cell first: {advice}")
        if self.subcommand == "fit" and getattr(self.model, "trained", False):
            raise UserError(f"fit: {type(self.model).__name__} is evaluated, not trained: attack, probe, validate, test or predict it")
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, and then its run folder: a device or precision that there is not leaves no folder behind."""
        for blocks in BLOCKS:
            for name, callback in (self._get(self.config_init, blocks) or {}).items():
                callback.name = name
                self.evaluations.append(callback)
        given = {**self._get(self.config_init, "trainer"), "logger": False}
        given["callbacks"] = [*_as_list(given.get("callbacks")), *self.evaluations]
        if str(given["precision"]) in ("16", "16-mixed") and (given["accelerator"] == "cpu" or not torch.accelerator.is_available()):
            raise UserError(f"trainer.precision: {given['precision']} does not run on the CPU; allowed: 32-true, 64-true, bf16-mixed")
        try:
            trainer = Trainer(**given)
        except (MisconfigurationException, ValueError, TypeError) as error:  # a device, strategy or combination that there is not
            raise UserError(f"trainer: {error}") from error
        self.run = self.prepare()
        self.run.job.enter()
        logger = self._get(self.config_init, "trainer").get("logger")
        silent = self.subcommand == "fit" and (self.run.finished or self.run.passing)
        if logger is not False and not silent:
            trainer.loggers = [*self.run.loggers(), *([] if logger is True else _as_list(logger))]
        trainer._default_root_dir = str(self.run.folder)  # type: ignore[attr-defined]  # behind `default_root_dir`, which has no setter
        trainer.provenance, trainer.config, trainer.runs = self.run.provenance, self.run.config, tuple(self.arguments.runs)
        return trainer

    def prepare(self) -> Run:
        """The folder of this run, and what its rows say of where they come from."""
        assert self.subcommand is not None
        if self.subcommand == "fit":
            run = run_folder.prepare(self.resolved, data=self.datamodule, model=self.model)
            if run_folder.is_first_rank() and not run.finished:
                network = (getattr(self.model, "description", None) or {}).get("name")
                where = "no run folder stays: fast_dev_run" if run.passing else f"run folder: {run.folder}"
                print(f"{where}{f'  network: {network}' if network else ''}", flush=True)
        else:
            run = self.victim or evaluated_run(
                self.subcommand, {key: self.resolved.get(key) for key in (*OWN_KEYS, "ckpt_path")}, self.model, self.datamodule
            )
            run.config = {**run.config, "wandb": self.resolved["wandb"]}
            run.provenance |= {"attack_seed": self.resolved["seed_everything"], "protocol": self.resolved["protocol"]}
            run.provenance |= {"dataset": getattr(self.datamodule, "name", run.provenance["dataset"])}
        run.provenance |= getattr(self.model, "origin", {})  # seeds of a training elsewhere
        if isinstance(description := getattr(self.model, "description", None), Mapping):
            run.provenance |= {"model": description.get("name"), "family": description.get("family", "custom")}
        return run

    # What is run

    def _run_subcommand(self, subcommand: str) -> None:
        run = self.run
        assert run is not None
        if run.finished and subcommand == "fit":
            return
        try:
            super()._run_subcommand(subcommand)
        except (UserError, MisconfigurationException) as error:
            if subcommand == "fit" or run.evaluation:
                run.give_up()
            if isinstance(error, UserError):
                raise
            raise UserError(str(error)) from error
        except (SystemExit, KeyboardInterrupt):
            if subcommand == "fit" and self.trainer.interrupted:  # Lightning has made a SystemExit(1) of it
                if run_folder.is_first_rank():
                    print("interrupted: the same command with --ckpt_path last goes on", file=sys.stderr, flush=True)
                raise SystemExit(130) from None
            raise
        except RuntimeError as error:
            if run.ckpt_path and "loading state_dict" in str(error):
                if run.evaluation:
                    run.give_up()
                raise UserError(f"the checkpoint {run.ckpt_path} is of another architecture: {_first_difference(str(error))}") from error
            raise
        else:
            if subcommand == "fit" and not self.trainer.interrupted:
                assert isinstance(self.trainer, Trainer)
                tested = final_test(self.trainer, self.model, self.datamodule)
                if run_folder.is_first_rank():
                    conclusion.of_fit(self.trainer, tested, self.evaluations)
                if not run.passing:
                    run.finish()
            elif run.evaluation:
                run.finish()
        finally:
            if subcommand == "fit" and run.passing:
                run.give_up()
            run.release()

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        assert self.run is not None
        return {**super()._prepare_subcommand_kwargs(subcommand), "ckpt_path": self.run.ckpt_path}


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _origin(error: BaseException) -> BaseException:
    """jsonargparse wraps whatever is raised in building one of several allowed types, bugs included."""
    while "Union subtypes" in str(error).partition("\n")[0] and error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_difference(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(lines[1:2])[:200]
