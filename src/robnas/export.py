"""`robnas export RUN OUT`: a trained model as safetensors with a model card."""

from pathlib import Path
from typing import Any

from robnas.words import Parser


def main(words: list[str]) -> None:
    """`robnas export RUN OUT [--checkpoint last|best]`. Raises UserError."""
    parser = Parser("robnas export", description="A trained model as a folder to hand on: model.safetensors, config.json and a model card.")
    parser.add_argument("run", metavar="RUN", help="a run folder of `robnas fit` (robnas list runs)")
    parser.add_argument("out", metavar="OUT", help="the folder to make; an export that is there already is brought up to date")
    parser.add_argument(
        "--checkpoint", default="last", choices=("last", "best"), help="whose weights: of the end, or the best on validation"
    )
    parser.add_argument("--overwrite", action="store_true", help="also in place of the export of another run")
    options = parser.parse_args(words)
    export(options.run, Path(options.out), options.checkpoint, options.overwrite)
    print(f"{options.out}: model.safetensors, config.json, README.md")
    print(f"next: robnas attack {options.out} --config pgd.yaml")


def export(run: str, out: Path, checkpoint: str = "last", overwrite: bool = False) -> None:
    """Write the model of a run folder to the folder `out`; in place of an export of another run only where `overwrite`.

    Raises:
        UserError: no such run or checkpoint, a run that trained no classifier, or an `out` that holds something else or cannot be written.
    """
    from robnas import checkpoint_file
    from robnas.copies import digest_of_state
    from robnas.models import export as folder
    from robnas.models.build import ARCHITECTURE
    from robnas.models.card import card
    from robnas.models.load import from_checkpoint
    from robnas.provenance import versions
    from robnas.results import Rows
    from robnas.runtime import evaluated_config, run_folder

    out = _resolved(out)
    folder.refuse(out)
    source = run_folder.existing(run, checkpoint)
    name = f"{source.job.experiment}/{source.job.name}"
    folder.refuse(out, None if overwrite else name)
    content = checkpoint_file.read(Path(str(source.ckpt_path)))
    model = from_checkpoint(content, str(source.ckpt_path))
    assert model.architecture is not None
    state = content["state_dict"]
    victim = digest_of_state(state)
    same = {victim, digest_of_state({k: v.double() if v.is_floating_point() else v for k, v in state.items()})}  # precision: 64-true
    rows = [row for row in Rows(source.folder / "results.jsonl").read() if row.victim in same and row.kind in ("train", "attack")]
    rows = [row for row in rows if row.plugin != "size"]  # the card counts the parameters itself
    trainer: dict[str, Any] = source.config.get("trainer") or {}
    hyper = content["hyper_parameters"]
    others = {name for name, method in (("beta", "trades"), ("replays", "free")) if hyper.get("method") != method}
    recipe = {k: v for k, v in hyper.items() if k not in ARCHITECTURE and k not in others}
    recipe |= {"epochs": trainer.get("max_epochs"), "precision": trainer.get("precision"), "seed": source.config.get("seed_everything")}
    marks = {mark: recipe.pop(mark) for mark in ("attacked", "defended") if mark in recipe}
    data = _without_places(evaluated_config.base(source).get("data") or {})
    facts = {
        **marks,
        "data": data,
        "recipe": {k: v for k, v in recipe.items() if v is not None},
        "run": name,
        "dataset": next((row.dataset for row in rows if row.dataset), source.provenance["dataset"]),
        "versions": source.job.facts.get("versions") or versions(),
        "victim": victim,
    }
    parameters = sum(p.numel() for p in model.parameters())
    written = card(model.architecture, facts, rows, parameters=parameters, out=out.name)
    folder.write(out, model.architecture, model.state_dict(), facts, written)


def _resolved(out: Path) -> Path:
    """`.` has no name and cannot be replaced; what it stands for has one. Raises UserError."""
    from robnas.errors import UserError

    try:
        return out.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, an unknown ~user
        raise UserError(f"{out} is no place for a folder: {error}") from error


def _without_places(data: dict[str, Any]) -> dict[str, Any]:
    """Where images lay on one machine is nobody else's business, nor true elsewhere."""
    arguments = {k: v for k, v in (data.get("init_args") or {}).items() if k != "root"}
    return {**data, **({"init_args": arguments} if arguments else {})}
