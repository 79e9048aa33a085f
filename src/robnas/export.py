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
    options = parser.parse_args(words)
    export(options.run, Path(options.out), options.checkpoint)
    print(f"{options.out}: model.safetensors, config.json, README.md")
    print(f"next: robnas attack {options.out} --config pgd.yaml")


def export(run: str, out: Path, checkpoint: str = "last") -> None:
    """Write the model of a run folder to the folder `out`.

    Raises:
        UserError: no such run or checkpoint, a run that trained no classifier, or an `out` that holds something else.
    """
    from robnas import checkpoint_file
    from robnas.copies import digest_of_state
    from robnas.models import export as folder
    from robnas.models.build import ARCHITECTURE
    from robnas.models.card import card
    from robnas.models.load import from_checkpoint
    from robnas.results import Rows, versions
    from robnas.runtime import evaluated_config, run_folder

    folder.refuse(out)
    source = run_folder.existing(run, checkpoint)
    content = checkpoint_file.read(Path(str(source.ckpt_path)))
    model = from_checkpoint(content, str(source.ckpt_path))
    assert model.architecture is not None
    state = content["state_dict"]
    victim = digest_of_state(state)
    same = {victim, digest_of_state({k: v.double() if v.is_floating_point() else v for k, v in state.items()})}  # precision: 64-true
    rows = [row for row in Rows(source.folder / "results.jsonl").read() if row.victim in same and row.kind in ("train", "attack")]
    rows = [row for row in rows if row.plugin != "size"]  # the card counts the parameters itself
    trainer: dict[str, Any] = source.config.get("trainer") or {}
    recipe = {k: v for k, v in content["hyper_parameters"].items() if k not in ARCHITECTURE}
    recipe |= {"epochs": trainer.get("max_epochs"), "precision": trainer.get("precision"), "seed": source.config.get("seed_everything")}
    data = _without_places(evaluated_config.base(source).get("data") or {})
    facts = {
        "data": data,
        "recipe": {k: v for k, v in recipe.items() if v is not None},
        "run": f"{source.job.experiment}/{source.job.name}",
        "dataset": next((row.dataset for row in rows if row.dataset), source.provenance["dataset"]),
        "versions": source.job.facts.get("versions") or versions(),
        "victim": victim,
    }
    parameters = sum(p.numel() for p in model.parameters())
    written = card(model.architecture, facts, rows, parameters=parameters, out=str(out))
    folder.write(out, model.architecture, model.state_dict(), facts, written)


def _without_places(data: dict[str, Any]) -> dict[str, Any]:
    """Where images lay on one machine is nobody else's business, nor true elsewhere."""
    arguments = {k: v for k, v in (data.get("init_args") or {}).items() if k != "root"}
    return {**data, **({"init_args": arguments} if arguments else {})}
