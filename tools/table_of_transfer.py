"""What transfers between models, and which inputs they break on together: three NAS and three manual models, trained on digits.

    python tools/table_of_transfer.py [--models darts enas nasnet resnet densenet vgg] [--seeds 0] [--workers 2]

Every training, and the attacks on each model, is a job: whatever ends this command, the same command goes on where it was and does nothing
twice. Writes tables into --out between two markers, transfer.svg and common.svg beside it, and every number into --numbers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cpu_seconds
import numpy as np
import side_by_side
from side_by_side import REPOSITORY, rule
from table_of_models import TITLES
from table_of_models import command as training_command

from robnas.attacks.pgd import PGD
from robnas.common import Common, align, histogram, phi
from robnas.errors import require
from robnas.models.build import describe
from robnas.results import Row, Rows
from robnas.study import Pool

MODELS = ["darts", "enas", "nasnet", "resnet", "densenet", "vgg"]
KINDS = {"nas": "NAS", "manual": "manual", "custom": "custom"}
TRANSFER = {
    "transfer": {
        "goal": "untargeted",
        "eps": 16 / 255,
        "step_size": 2 / 255,
        "steps": 20,
        "n_restarts": 1,
        "exact": True,
        "loss": "log_odds",
    },
    "transfer_least": {
        "goal": "least_likely",
        "eps": 16 / 255,
        "step_size": 2 / 255,
        "steps": 20,
        "n_restarts": 1,
        "exact": True,
        "loss": "log_odds",
    },
    "transfer_stopped": {"goal": "untargeted", "eps": 16 / 255, "step_size": 2 / 255, "steps": 20, "n_restarts": 1},
}
COMMON = {
    "common": {"goal": "untargeted", "eps": 4 / 255, "step_size": 1 / 255, "steps": 20, "n_restarts": 1},
    "common_least": {"goal": "least_likely", "eps": 4 / 255, "step_size": 1 / 255, "steps": 20, "n_restarts": 1},
    "common_least_16": {"goal": "least_likely", "eps": 16 / 255, "step_size": 2 / 255, "steps": 20, "n_restarts": 1},
}
"""Blocks of attacks by name → arguments of PGD."""
SAID = {
    "transfer": "untargeted",
    "transfer_least": "least likely class, the source's",
    "transfer_stopped": "untargeted, stopped at the first success",
    "common": "untargeted, ε = 4/255",
    "common_least": "least likely, ε = 4/255",
    "common_least_16": "least likely, ε = 16/255",
}
BEGIN, END = "<!-- tables of transfer: written by tools/table_of_transfer.py -->", "<!-- end of the tables of transfer -->"
DRAWS = 9999


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 where a job failed."""
    out, kept = REPOSITORY / "docs" / "transfer.md", REPOSITORY / "benchmarks" / "results" / "transfer-digits.json"
    parser = side_by_side.arguments(__doc__.splitlines()[0], out, kept)
    parser.set_defaults(seeds=[0])
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME", help="published cells and model plug-ins")
    options = parser.parse_args(argv)
    require(len(options.seeds) == 1, f"--seeds: {options.seeds}; one is needed, as models are compared and not trainings")
    require(2 <= len(set(options.models)) == len(options.models), f"--models: {options.models}; two or more are needed, each once")
    for name in options.models:
        describe(name)
    folders, failed = measure(options.models, options.seeds[0], options.workers, options.runs, options.flags)
    if failed:
        print("\n".join(["no table:", *failed]))
        return 1
    pairs = {name: transferred(folders, settings) for name, settings in TRANSFER.items()}
    commons = {name: in_common(folders, settings) for name, settings in COMMON.items()}
    numbers = [number(name, pair) for name, found in pairs.items() for pair in found]
    side_by_side.keep(
        options.numbers, numbers, options.workers, options.flags, attacks=TRANSFER | COMMON, common=list(map(said, commons.items()))
    )
    text = tables(pairs, commons)
    side_by_side.write_between(options.out, text, BEGIN, END)
    heat_map({name: pairs[name] for name in ("transfer", "transfer_least")}, options.out.with_name("transfer.svg"))
    common_picture(commons["common"], options.out.with_name("common.svg"))
    print(f"{text}\nwrote {options.out}, transfer.svg and common.svg beside it, {options.numbers}")
    return 0


# What is run


def measure(models: Sequence[str], seed: int, workers: int, root: Path, flags: Sequence[str] = ()) -> tuple[dict[str, Path], list[str]]:
    """Trainings, then attacks on each model → run folders by name, and a line for each job that failed."""
    with cpu_seconds.on_path(), Pool(workers, root / ".pool", runner=cpu_seconds.RUNNER, threads=1) as pool:
        trained = pool.run([training_command(name, seed, root, flags) for name in models])
        folders = {name: o.folder for name, o in zip(models, trained, strict=True) if o.good and o.folder}
        if failed := side_by_side.failures(trained):
            return folders, failed
        attacked = pool.run([attack_command(folder, list(folders.values())) for folder in folders.values()])
    return folders, side_by_side.failures(attacked)


def attack_command(folder: Path, targets: Sequence[Path]) -> list[str]:
    """All blocks on one model."""
    words = ["attack", str(folder), "--wandb=off"]
    for block, settings in TRANSFER.items():
        words += [
            f"--attacks.{block}=transfer",
            f"--attacks.{block}.targets=[{','.join(map(str, targets))}]",
            f"--attacks.{block}.attack=pgd",
        ]
        words += [f"--attacks.{block}.attack.{name}={_word(value)}" for name, value in settings.items()]
    for block, settings in COMMON.items():
        words += [f"--attacks.{block}=pgd", *(f"--attacks.{block}.{name}={_word(value)}" for name, value in settings.items())]
    return words


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# What is read

Pair = dict[str, Any]
"""source, target: names; families; row; outcomes."""


def transferred(folders: dict[str, Path], settings: dict[str, Any]) -> list[Pair]:
    """Every source and target, in the order of the folders."""
    own, jobs = {"class": "pgd", **PGD(**settings).arguments()}, {folder.name: name for name, folder in folders.items()}
    found = []
    for source, folder in folders.items():
        store = Rows(folder / "results.jsonl")
        rows = {
            r.params["target"]["job"]: r
            for r in store.read()
            if r.metric == "transfer" and set(r.params) == {"attack", "target"} and r.params["attack"] == own
        }
        for job, target in jobs.items():
            row = rows[job]
            families = (row.family, row.params["target"]["family"])
            found.append({"source": source, "target": target, "families": families, "row": row, "outcomes": store.read_outcomes(row)})
    return found


def in_common(folders: dict[str, Path], settings: dict[str, Any]) -> Common:
    """One attack on all models."""
    own, outcomes, rows = PGD(**settings).arguments(), [], []
    for folder in folders.values():
        store = Rows(folder / "results.jsonl")
        *_, row = (r for r in store.read() if r.metric == "asr" and r.plugin == "pgd" and r.params == own)
        outcomes.append(store.read_outcomes(row))
        rows.append(row)
    return align(outcomes, [TITLES.get(name, name) for name in folders], [row.family for row in rows], rows[0])


def number(name: str, pair: Pair) -> dict[str, Any]:
    """What the file of numbers says of a pair."""
    row: Row = pair["row"]
    o = pair["outcomes"]
    both = o["eligible"] & ~o["errored"]
    broke = both & o["source_success"]
    more = {"source_broken": int(broke.sum()), "of_these_broken": int((broke & o["success"]).sum())}
    return {
        "attack": name,
        **{k: pair[k] for k in ("source", "target", "families")},
        "transfer": row.value,
        "n": row.n,
        "ci": row.ci,
    } | more


def said(item: tuple[str, Common]) -> dict[str, Any]:
    """What the file of numbers says of a common vulnerability."""
    name, common = item
    found = {"attack": name, "models": common.names, "n": common.n, "left_out": common.some, "asr": common.asr.tolist()}
    for family, part in parts(common).items():
        ratio, ci, p = part.excess(DRAWS)
        both = {"seen": part.seen.tolist(), "expected": part.expected.tolist(), "together": part.together()}
        found[family] = both | {"spread": ratio, "ci": ci, "p": p}
    return found | {"phi": np.where(np.isnan(m := phi(common.broken)), None, m.round(3)).tolist()}


def parts(common: Common) -> dict[str, Common]:
    """All models, and each family that has several but not all."""
    families = [f for f in dict.fromkeys(common.families) if 2 <= common.families.count(f) < common.models]
    return {"all": common} | {family: common.of_family(family) for family in families}


# What is shown


def tables(pairs: dict[str, list[Pair]], commons: dict[str, Common]) -> str:
    """Markdown: both matrices, families, common vulnerability."""
    lines: list[str] = []
    for name in ("transfer", "transfer_least"):
        names = list(dict.fromkeys(pair["source"] for pair in pairs[name]))
        lines += [f"Transfer, {SAID[name]}, ε = 16/255: % of inputs that source and target both get right.", ""]
        lines += [f"| source ↓ target → | {' | '.join(TITLES.get(n, n) for n in names)} |", rule(len(names) + 1)]
        for source in names:
            cells = [_cell(pair["row"]) for pair in pairs[name] if pair["source"] == source]
            lines.append(f"| {TITLES.get(source, source)} | {' | '.join(cells)} |")
        lines.append("")
    counts = [pair["row"].n for pair in pairs["transfer"]]
    lines += [
        f"n = {min(counts)} to {max(counts)}; 95% intervals (Wilson). Diagonal: a model on itself, white box. Targeted: the target answers "
        "the class that was wanted of the source.",
        "",
        "| mean over pairs, % | " + " | ".join(SAID[name] for name in pairs) + " |",
        rule(len(pairs) + 1),
    ]
    for a, b in blocks(next(iter(pairs.values()))):
        cells = [_interval(*block_mean(found, (a, b))) for found in pairs.values()]
        lines.append(f"| {KINDS[a]} → {KINDS[b]} | {' | '.join(cells)} |")
    lines += [
        "",
        "Pairs of different models; 95% bootstrap over inputs, models held fixed: it says nothing of other models of a family.",
        "",
        "| PGD | models | n | " + " | ".join(f"k = {k}" for k in range(len(next(iter(commons.values())).seen))) + " | spread | p |",
        rule(len(next(iter(commons.values())).seen) + 5, texts=2),
    ]
    for name, common in commons.items():
        for family, part in parts(common).items():
            ratio, ci, p = part.excess(DRAWS)
            spread = "–" if ratio is None or ci is None else f"{ratio:.2f} [{ci[0]:.2f}, {ci[1]:.2f}]"
            counts = [f"{seen} ({expected:.1f})" for seen, expected in zip(part.seen, part.expected, strict=True)]
            counts += [""] * (len(common.seen) - len(counts))
            chance = "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
            who = f"{part.models}{'' if family == 'all' else ' ' + KINDS[family]}"
            lines.append(f"| {SAID[name]} | {who} | {part.n} | {' | '.join(counts)} | {spread} | {chance} |")
    left = max(common.some for common in commons.values())
    return "\n".join(
        [
            *lines,
            "",
            "Inputs that break exactly k models, and in brackets the same of independent models with these success rates. "
            "Spread: Var(k) over that of independent models (1), with 95% bootstrap interval over inputs; p: inputs permuted within each "
            f"model, {DRAWS} times, one-sided. Only inputs that all models get right; {left} were left out, which some get wrong.",
        ]
    )


def blocks(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """(family of the source, of the target), those that have pairs of different models."""
    return list(dict.fromkeys(pair["families"] for pair in pairs if pair["source"] != pair["target"]))


def block_mean(pairs: Sequence[Pair], families: tuple[str, str], draws: int = DRAWS, seed: int = 0) -> tuple[float, float, float]:
    """Mean transfer over the pairs of a block, and its 95% percentile bootstrap over inputs."""
    own = [pair["outcomes"] for pair in pairs if pair["families"] == families and pair["source"] != pair["target"]]
    require(all(np.array_equal(o["index"], own[0]["index"]) for o in own), "the pairs are not of the same inputs")
    both = np.array([o["eligible"] & ~o["errored"] for o in own], dtype=float)
    broken = both * np.array([o["success"] for o in own])
    n = both.shape[1]
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).T / n
    means = ((broken @ weights) / (both @ weights)).mean(0)
    low, high = np.quantile(means, [0.025, 0.975])
    return float((broken.sum(1) / both.sum(1)).mean()), float(low), float(high)


def _interval(middle: float, low: float, high: float) -> str:
    return f"{100 * middle:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _cell(row: Row) -> str:
    return "–" if row.value is None or row.ci is None else f"{100 * row.value:.0f} [{100 * row.ci[0]:.0f}, {100 * row.ci[1]:.0f}]"


def heat_map(found: dict[str, list[Pair]], path: Path) -> None:
    """Source × target, a panel an attack; darker is more (cividis, which is read alike by all eyes), numbers in every cell."""
    from matplotlib.figure import Figure

    n = len({pair["source"] for pair in next(iter(found.values()))})
    figure = Figure(figsize=(2.2 + 0.86 * n * len(found), 1.6 + 0.72 * n), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, pairs) in zip(panels, found.items(), strict=True):
        image = _matrix(axes, pairs, n)
        axes.set_title(f"PGD, {SAID[name]}, ε = 16/255", fontsize=10, loc="left")
    panels[0].set(ylabel="made on (source)")
    counts = [pair["row"].n for pairs in found.values() for pair in pairs]
    bar = figure.colorbar(image, ax=list(panels), shrink=0.8, pad=0.01)
    bar.set_label("target broken, %")
    about = f"% of the {min(counts)} to {max(counts)} inputs that both get right, 95% Wilson intervals below. Diagonal: white box."
    figure.suptitle(about, fontsize=9, x=0.01, ha="left")
    side_by_side.save(figure, path)


def _matrix(axes: Any, pairs: Sequence[Pair], n: int) -> Any:
    values = np.array([np.nan if p["row"].value is None else 100 * p["row"].value for p in pairs]).reshape(n, n)
    image = axes.imshow(values, cmap="cividis_r", vmin=0, vmax=100)
    for i, pair in enumerate(pairs):
        row, column = divmod(i, n)
        colour = "white" if values[row, column] > 50 else "black"
        low, high = (100 * bound for bound in pair["row"].ci)
        axes.text(column, row - 0.12, f"{values[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=11)
        axes.text(column, row + 0.24, f"{low:.0f}–{high:.0f}", ha="center", va="center", color=colour, fontsize=7)
    names = [pair["target"] for pair in pairs[:n]]
    titles = [TITLES.get(name, name) for name in names]
    axes.set(xticks=range(n), yticks=range(n), xlabel="shown to (target)")
    axes.set_xticklabels(titles, fontsize=9)
    axes.set_yticklabels(titles, fontsize=9)
    for i in range(1, n):
        if pairs[i]["families"][1] != pairs[i - 1]["families"][1]:  # families apart
            axes.axhline(i - 0.5, color="white", linewidth=3)
            axes.axvline(i - 0.5, color="white", linewidth=3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def common_picture(common: Common, path: Path) -> None:
    """Fig. 4 for all models and each family."""
    titles = {"all": "all models"} | {family: f"{name} models" for family, name in KINDS.items()}
    panels = []
    for family, part in parts(common).items():
        ratio, ci, _ = part.excess(DRAWS)
        spread = "" if ratio is None or ci is None else f"\nspread {ratio:.2f} [{ci[0]:.2f}, {ci[1]:.2f}]"
        panels.append((f"{titles[family]}{spread}", part))
    figure = histogram(panels, DRAWS)
    about = f"PGD, {SAID['common']}: the same {common.n} inputs, which all {common.models} models get right"
    figure.suptitle(f"{about}. Spread: Var(k), 1 if independent, with 95% bootstrap interval", fontsize=10, x=0.01, ha="left")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    side_by_side.save(figure, path)


if __name__ == "__main__":
    raise SystemExit(side_by_side.ended(main))
