"""From a study to its jobs: search → train → attack and probe. Each command is one that a user could type."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from robnas._version import __version__
from robnas.errors import UserError, require
from robnas.study import cells, same
from robnas.study.blocks import Block, Model, Study
from robnas.study.flag_words import MARK, filled, text, written
from robnas.study.layers import data_flags, dataset_of, overlaid, says
from robnas.study.place import Place, Trained, variations
from robnas.study.plan import Plan, PlannedJob
from robnas.study.size import AT_THE_PAPERS_SIZE, is_smaller


def plan(study: Study, file: str, folder: Path, created: str, wandb: str = "off") -> Plan:
    """Every job, each after what it needs; all that a seed needs before the next seed, so that half a study is one of fewer seeds.

    folder: of the study; commands name it. Cells that the study changes lie in it once `cells.write` was called.

    Raises:
        UserError: there are no jobs, or two that differ would have one id.
    """
    try:
        jobs = _Graph(study, folder, wandb).jobs()
        require(bool(jobs), f"there are no jobs: nothing has a config for {' and '.join(study.protocols)}")
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    return Plan(study.name, file, __version__, created, jobs)


class _Graph:
    def __init__(self, study: Study, folder: Path, wandb: str) -> None:
        self.study, self.folder, self.wandb = study, folder, wandb
        self.shared = [f"--runs={folder}", f"--wandb={wandb}"]
        self.found: dict[str, PlannedJob] = {}
        self.by_command: dict[str, PlannedJob] = {}
        self.same_as: dict[str, str] = {}  # id → that of the job which is the same command
        self.trained: dict[tuple[str, str, str, int], list[Trained]] = {}  # by training, protocol, data set, seed

    def jobs(self) -> list[PlannedJob]:
        for block, protocol, data in self._each("search"):
            for seed, varied in product(block.seeds[protocol], variations(block)):
                self._add(self._search(Place(block, protocol, data, seed, varied)))
        ranks = max((len(seeds) for block in self.study.of_kind("train") for seeds in block.seeds.values()), default=0)
        for rank in range(ranks):  # the first seed of everything, then the second
            for block, protocol, data in self._each("train"):
                self._trainings(block, protocol, data, rank)
            for kind in ("attack", "probe"):
                for block, protocol, data in self._each(kind):
                    self._evaluations(block, protocol, data, rank)
        return list(self.found.values())

    def _trainings(self, block: Block, protocol: str, data: str, rank: int) -> None:
        for seed in block.seeds[protocol][rank : rank + 1]:
            for model, varied in product(block.models, variations(block)):
                for network, label in self._networks(self.study.models[model], protocol, data):
                    at = Place(block, protocol, data, seed, varied)
                    job = self._add(self._training(at, self.study.models[model], network, label))
                    self.trained.setdefault((block.name, protocol, data, seed), []).append(Trained(job, at, model, label, network))

    def _evaluations(self, block: Block, protocol: str, data: str, rank: int) -> None:
        for training in (self.study.block("train", name) for name in block.of):
            if data not in (training.data or ("",)):
                continue
            for seed in training.seeds.get(protocol, ())[rank : rank + 1]:
                there = self.trained.get((training.name, protocol, data, seed), []) if seed in block.seeds[protocol] else []
                of = [run for run in there if run.model in block.models]
                groups = [of] if block.together and of else [[run] for run in of]
                for group, varied in product(groups, variations(block)):
                    place = Place(block, protocol, data, seed, varied)
                    self._add(self._about(place, group, training.name if len(block.of) > 1 else ""))

    def _each(self, kind: str) -> Iterator[tuple[Block, str, str]]:
        for block in self.study.of_kind(kind):
            yield from ((block, protocol, data) for protocol in block.configs for data in block.data or ("",))

    def _add(self, job: PlannedJob) -> PlannedJob:
        """The job, or the one that is there already and is the same command; that one is then for the exhibits of both."""
        there = self.by_command.setdefault(same.key(job.argv), job)
        if there is not job:
            there.exhibits += [exhibit for exhibit in job.exhibits if exhibit not in there.exhibits]
            if job.id not in (there.id, *there.also):
                there.also.append(job.id)
                self.same_as[job.id] = there.id
        else:
            _differ(self.found.get(job.id), job)
            self.found[job.id] = job
        return there

    def _id(self, at: Place, *parts: str) -> str:
        several = [at.data] * (len(self.study.data) > 1) + [at.protocol] * (len(self.study.protocols) > 1)
        return "/".join([part for part in (*parts, *several, *at.changed) if part]).replace(" ", "").replace("{", "").replace("}", "")

    # A job of each kind

    def _search(self, at: Place) -> PlannedJob:
        flags = {**at.block.flags, **at.varied}
        id = self._id(at, "search", at.block.name, str(at.seed))
        return self._job(at, id, [*self._fit(at), *written(flags)], at.block.name, "nas", flags)

    def _networks(self, model: Model, protocol: str, data: str) -> Iterator[tuple[str, str]]:
        """(what `--model.network` is, the model's name in ids)."""
        if model.search is None:
            yield str(cells.place(self.folder, model)) if model.cell is not None else model.network, model.name
            return
        search = self.study.block("search", model.search)
        of_study = " and ".join(self.study.protocols)
        require(bool(search.configs), f"models.{model.name}: its search {search.name} has no config for {of_study}")
        theirs = protocol if protocol in search.configs else next(iter(search.configs))
        place = data if data in search.data or not search.data else search.data[0]
        several = len(search.seeds[theirs]) * len(variations(search)) > 1
        for seed, varied in product(search.seeds[theirs], variations(search)):
            id = self._id(Place(search, theirs, place, seed, varied), "search", search.name, str(seed))
            mark = "-".join([str(seed), *(text(value) for value in varied.values())])
            yield f"{{{id}}}", f"{model.name}-{mark}" if several else model.name

    def _training(self, at: Place, model: Model, network: str, label: str) -> PlannedJob:
        flags = {"model.network": network, **self.study.flags, **at.block.flags, **model.flags, **at.varied}
        id = self._id(at, "train", label, str(at.seed), at.block.name)
        return self._job(at, id, [*self._fit(at), *written(flags)], model.name, model.family, flags)

    def _about(self, at: Place, of: Sequence[Trained], training: str) -> PlannedJob:
        """of: the trainings that it is about; training: the name of their block, where there may be several."""
        block, configs, first = at.block, at.block.configs[at.protocol], of[0]
        label = "all" if block.together else first.label
        id = self._id(at, block.kind, label, str(at.seed), block.name, training, *first.at.changed)
        model, family = ("", "custom") if block.together else (first.model, self.study.models[first.model].family)
        runs, network = [f"{{{id}}}" for id in dict.fromkeys(run.job.id for run in of)], first.network
        if block.trains:
            own = {"model.network": network} if says(configs, "model", "init_args", "network") else {}
            flags = {**own, **self.study.flags, **block.flags, **self.study.models[first.model].flags, **at.varied}
            argv = [*self._fit(at, has_data=bool(says(configs, "data"))), *written(flags)]
        else:
            flags = {**block.flags, **at.varied}
            argv = [block.kind, *runs, *(part for config in configs for part in ("--config", config))]
            argv += [f"--protocol={at.protocol}", f"--wandb={self.wandb}", *written({**overlaid(block.overlays), **flags})]
        return self._job(at, id, filled(argv, {"{run}": runs[0], "{model}": network}), model, family, flags, first.job.dataset)

    # Their words

    def _fit(self, at: Place, has_data: bool = True) -> list[str]:
        """has_data: False of an attack whose data are those of the run that it is about: no overlay changes them."""
        configs = at.block.layers(at.protocol) if has_data else at.block.configs[at.protocol]
        words = ["fit", *(part for config in configs for part in ("--config", config))]
        words += [f"--seed_everything={at.seed + at.block.shift_seed}", f"--protocol={at.protocol}", *self.shared]
        of_data = {**data_flags(at.data, configs), **self.study.data.get(at.data, {})}
        return [*words, *written(of_data if has_data else overlaid(at.block.overlays))]

    def _job(self, at: Place, id: str, argv: list[str], model: str, family: str, flags: Mapping[str, Any], dataset: str = "") -> PlannedJob:
        """dataset: of the run that it is about."""
        block, configs = at.block, at.block.layers(at.protocol)
        argv = [MARK.sub(lambda mark: f"{{{self.same_as.get(mark[1], mark[1])}}}", word) for word in argv]
        dataset = at.data or dataset or dataset_of(configs)
        needs = [id for id in dict.fromkeys(MARK.findall(" ".join(argv))) if id in self.found]
        reduced = dataset not in AT_THE_PAPERS_SIZE or bool(block.overlays) or is_smaller(flags, configs)
        reduced = reduced or (argv[0] == "fit" and is_smaller(self.study.data.get(at.data, {}), configs))
        return PlannedJob(
            id,
            block.kind,
            argv,
            needs,
            what=block.name if block.kind in ("attack", "probe") else None,
            exhibits=list(block.exhibits),
            model=model,
            family=family,
            dataset=dataset,
            seed=at.seed,
            protocol=at.protocol,
            reduced=reduced or any(self.found[need].reduced for need in needs),
            block=block.name,
        )


def _differ(there: PlannedJob | None, job: PlannedJob) -> None:
    """Raises UserError where there is a job of that id, which does something else."""
    if there is not None:
        ours, theirs = (next((w for w in a.argv if w not in b.argv), "") for a, b in ((job, there), (there, job)))
        both = f"one with {theirs or 'less'}, one with {ours or 'less'}"
        raise UserError(f"two jobs are called {job.id}, {both}: rename a model or a block")
