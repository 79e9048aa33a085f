"""From a study to its jobs: search → train → attack and probe. Each command is one that a user could type."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from robnas._version import __version__
from robnas.errors import UserError
from robnas.study import cells
from robnas.study.blocks import Block, Model, Study
from robnas.study.layers import data_flags, dataset_of, filled, overlaid, says, text, written
from robnas.study.plan import Plan, PlannedJob

AT_THE_PAPERS_SIZE = ("cifar10", "cifar100", "imagenet32")
SMALLER = ("scale", "trainer.max_epochs", "trainer.max_steps", "trainer.limit_train_batches")
"""Flags that make a job another one than the paper's."""


def plan(study: Study, file: str, folder: Path, created: str, wandb: str = "off") -> Plan:
    """Every job, each after what it needs; all that a seed needs before the next seed, so that half a study is one of fewer seeds.

    folder: of the study; commands name it. Cells that the study changes lie in it once `cells.write` was called.
    """
    jobs = _Graph(study, folder, wandb).jobs()
    return Plan(study.name, file, __version__, created, jobs)


MARK = re.compile(r"\{([^{} ]+)\}")
"""In a command: the run folder of the job of that id."""


class _Graph:
    def __init__(self, study: Study, folder: Path, wandb: str) -> None:
        self.study, self.folder, self.wandb = study, folder, wandb
        self.shared = [f"--runs={folder}", f"--wandb={wandb}"]
        self.found: dict[str, PlannedJob] = {}
        self.trained: dict[tuple[str, str, str, int], list[PlannedJob]] = {}  # by training, protocol, data set, seed

    def jobs(self) -> list[PlannedJob]:
        for block, protocol, data in self._each("search"):
            for seed, varied in product(block.seeds[protocol], variations(block)):
                self._add(self._search(block, protocol, data, seed, varied))
        ranks = max((len(seeds) for block in self.study.of_kind("train") for seeds in block.seeds.values()), default=0)
        for rank in range(ranks):  # the first seed of everything, then the second
            for kind in ("train", "attack", "probe"):
                for block, protocol, data in self._each(kind):
                    self._of_rank(block, protocol, data, rank)
        return list(self.found.values())

    def _of_rank(self, block: Block, protocol: str, data: str, rank: int) -> None:
        if block.kind == "train":
            for seed in block.seeds[protocol][rank : rank + 1]:
                for model, varied in product(block.models, variations(block)):
                    for network, label in self._networks(self.study.models[model], protocol, data):
                        job = self._training(block, protocol, data, seed, self.study.models[model], network, label, varied)
                        self.trained.setdefault((block.name, protocol, data, seed), []).append(job)
                        self._add(job)
            return
        for training in (self.study.block("train", name) for name in block.of):
            for seed in training.seeds.get(protocol, ())[rank : rank + 1]:
                if seed in block.seeds[protocol] and data in training.data + (("",) if not training.data else ()):
                    there = self.trained.get((training.name, protocol, data, seed), [])
                    of = [job for job in there if job.model in block.models]
                    groups = [of] if block.together else [[job] for job in of]
                    for group, varied in product([g for g in groups if g], variations(block)):
                        self._add(self._about(block, protocol, data, seed, group, training.name if len(block.of) > 1 else "", varied))

    def _each(self, kind: str) -> Iterator[tuple[Block, str, str]]:
        for block in self.study.of_kind(kind):
            yield from ((block, protocol, data) for protocol in block.configs for data in block.data or ("",))

    def _add(self, job: PlannedJob) -> None:
        if job.id in self.found:
            raise UserError(f"two jobs are called {job.id}")
        self.found[job.id] = job

    def _id(self, *parts: str, protocol: str, data: str, varied: Mapping[str, Any]) -> str:
        several = [data] * (len(self.study.data) > 1) + [protocol] * (len(self.study.protocols) > 1)
        changed = [f"{name.rpartition('.')[2]}={text(value)}" for name, value in varied.items()]
        return "/".join([part for part in (*parts, *several, *changed) if part]).replace(" ", "").replace("{", "").replace("}", "")

    # A job of each kind

    def _search(self, block: Block, protocol: str, data: str, seed: int, varied: Mapping[str, Any]) -> PlannedJob:
        id = self._id("search", block.name, str(seed), protocol=protocol, data=data, varied=varied)
        flags = {**block.flags, **varied}
        argv = [*self._fit(block, protocol, data, seed), *written(flags)]
        return self._job(block, id, argv, block.name, "nas", protocol, data, seed, flags)

    def _networks(self, model: Model, protocol: str, data: str) -> Iterator[tuple[str, str]]:
        """(what `--model.network` is, the model's name in ids)."""
        if model.search is None:
            yield str(cells.place(self.folder, model)) if model.cell is not None else model.network, model.name
            return
        search = self.study.block("search", model.search)
        theirs = protocol if protocol in search.configs else next(iter(search.configs))
        place = data if data in search.data or not search.data else search.data[0]
        several = len(search.seeds[theirs]) * len(variations(search)) > 1
        for seed, varied in product(search.seeds[theirs], variations(search)):
            id = self._id("search", search.name, str(seed), protocol=theirs, data=place, varied=varied)
            mark = "-".join([str(seed), *(text(value) for value in varied.values())])
            yield f"{{{id}}}", f"{model.name}-{mark}" if several else model.name

    def _training(
        self,
        block: Block,
        protocol: str,
        data: str,
        seed: int,
        model: Model,
        network: str,
        label: str,
        varied: Mapping[str, Any],
    ) -> PlannedJob:
        id = self._id("train", label, str(seed), block.name, protocol=protocol, data=data, varied=varied)
        flags = {"model.network": network, **self.study.flags, **block.flags, **model.flags, **varied}
        argv = [*self._fit(block, protocol, data, seed), *written(flags)]
        return self._job(block, id, argv, model.name, model.family, protocol, data, seed, flags)

    def _about(
        self, block: Block, protocol: str, data: str, seed: int, of: list[PlannedJob], training: str, varied: Mapping[str, Any]
    ) -> PlannedJob:
        first, runs = of[0], [f"{{{job.id}}}" for job in of]
        label = "all" if block.together else first.id.split("/")[1]
        rest = [part for part in first.id.split("/")[3:] if "=" in part]  # of a training that is varied itself
        id = self._id(block.kind, label, str(seed), block.name, training, *rest, protocol=protocol, data=data, varied=varied)
        model, family = ("", "custom") if block.together else (first.model, first.family)
        network = next(word for word in first.argv if word.startswith("--model.network=")).partition("=")[2]
        fills = {"{run}": runs[0], "{model}": network}
        if not block.trains:
            flags = {**block.flags, **varied}
            configs = [part for config in block.configs[protocol] for part in ("--config", config)]
            over = overlaid(block.overlays)
            argv = [block.kind, *runs, *configs, f"--protocol={protocol}", f"--wandb={self.wandb}", *written({**over, **flags})]
            return self._job(block, id, filled(argv, fills), model, family, protocol, data, seed, flags)
        own = {"model.network": network} if says(block.configs[protocol], "model", "init_args", "network") else {}
        has_data = bool(says(block.layers(protocol)[: len(block.configs[protocol])], "data"))
        flags = {**own, **self.study.flags, **block.flags, **self.study.models[first.model].flags, **varied}
        argv = [*self._fit(block, protocol, data, seed + block.shift_seed, has_data), *written(flags)]
        return self._job(block, id, filled(argv, fills), model, family, protocol, data, seed, flags)

    # Their words

    def _fit(self, block: Block, protocol: str, data: str, seed: int, has_data: bool = True) -> list[str]:
        """has_data: False of an attack whose data are those of the run that it is about: no overlay changes them."""
        configs = block.layers(protocol) if has_data else block.configs[protocol]
        words = ["fit", *(part for config in configs for part in ("--config", config))]
        words += [f"--seed_everything={seed}", f"--protocol={protocol}", *self.shared]
        words += written({**data_flags(data, configs), **self.study.data.get(data, {})} if has_data else overlaid(block.overlays))
        return words

    def _job(
        self,
        block: Block,
        id: str,
        argv: list[str],
        model: str,
        family: str,
        protocol: str,
        data: str,
        seed: int,
        flags: Mapping[str, Any],
    ) -> PlannedJob:
        dataset = data or dataset_of(self.study.block("train", block.of[0]).layers(protocol) if block.of else block.layers(protocol))
        reduced = dataset not in AT_THE_PAPERS_SIZE or bool(block.overlays) or any(flag in SMALLER for flag in flags)
        needs = [id for id in dict.fromkeys(MARK.findall(" ".join(argv))) if id in self.found]
        what = block.name if block.kind in ("attack", "probe") else None
        return PlannedJob(
            *(
                id,
                block.kind,
                argv,
                needs,
                what,
                list(block.exhibits),
                model,
                family,
                dataset,
                seed,
                protocol,
                reduced or self._reduced(needs),
            )
        )

    def _reduced(self, needs: Iterable[str]) -> bool:
        return any(self.found[need].reduced for need in needs)


def variations(block: Block) -> list[dict[str, Any]]:
    """Each combination of the values that a block varies; one, of none, where it varies nothing."""
    return [dict(zip(block.vary, values, strict=True)) for values in product(*block.vary.values())]
