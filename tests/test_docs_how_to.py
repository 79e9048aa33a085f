"""The how-to pages: their files, code and commands, in the order of the page, in a folder of somebody's; and what they say goes wrong."""

import re
import runpy
import sys

import pytest

from command_line import robnas
from docs_page import DOCS, forgotten, installed, page
from robnas import plugins
from robnas.errors import UserError

PAGES = ["add-an-attack.md", "add-a-probe.md", "add-a-model.md", "add-a-data-set.md", "own-checkpoint.md"]
CPU = " --wandb=off --trainer.accelerator=cpu"
FIT = CPU + " --trainer.max_epochs=1 --trainer.limit_train_batches=2 --trainer.limit_val_batches=1"
STEPS = "".join(f" --attacks.{name}.steps=1" for name in ("pgd", "pgd_most", "pgd_least", "unbounded"))
ONE_BATCH = " --trainer.limit_test_batches=1 --data.batch_size=8"


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch, tmp_path):
    """Modules and paths that a page brings in go with it."""
    before, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    forgotten(tmp_path, before, modules)


def commands(name):
    return page(name).commands


def small(told):
    if told.startswith("fit"):
        return told + FIT
    if told.startswith("attack"):
        config = re.search(r"--config (pgd|hopskipjump)\.yaml", told)
        insist = " --model.insist=true --model.check_inputs=8" if "own_model" in told or "mine.yaml" in told else ""
        fewer = {"pgd": STEPS, "hopskipjump": " --attacks.hopskipjump.steps=1"}.get(config[1] if config else "", "")
        return told + CPU + ONE_BATCH + insist + fewer
    if told.startswith("probe"):
        own = " --model.insist=true --model.check_inputs=8" if "mine.yaml" in told else ""
        return told + CPU + ONE_BATCH + own + (" --probes.contours.points=3 --probes.contours.n_samples=8" if "contours" in told else "")
    return told


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*HopSkipJump", "ignore:hopskipjump", "ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_from_top_to_bottom(name, as_it_was, capsys):
    here, shown = as_it_was, page(name)
    shown.write(here)
    for told in commands(name):
        verb, _, rest = told.partition(" ")
        if verb == "pip":
            installed(here / rest.removeprefix("install -e "), here / "site" / rest.rpartition("/")[2].split()[-1])
        elif verb == "python":
            runpy.run_path(str(here / rest), run_name="__main__")
        else:
            assert verb == "robnas", told
            said = robnas(small(rest), capsys)
            assert said.status == 0, (told, said)
    for code in shown.python:
        exec(compile(code, name, "exec"), {})


@pytest.mark.parametrize("name", PAGES)
def test_what_a_user_writes_is_short(name):
    files = {file: text for file, text in page(name).files.items() if file.endswith(".py")}
    assert files
    for file, text in files.items():
        assert len(text.splitlines()) <= 40, file
        compile(text, file, "exec")


def test_every_command_begins_with_a_verb_that_there_is():
    from robnas.__main__ import _LIGHT, TRAINER_VERBS

    for name in PAGES:
        for told in page(name).commands:
            first, _, rest = told.partition(" ")
            assert first in ("pip", "python") or rest.split()[0] in (*_LIGHT, *TRAINER_VERBS), told


@pytest.mark.parametrize("name", [*PAGES, "README.md"])
def test_links_lead_somewhere(name):
    for link in page(name).links():
        assert (DOCS / link).exists(), link


def test_the_index_has_every_page():
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= set(page("README.md").links())


# What goes wrong: a page says it, and so does robnas


def said_on(name, words):
    assert words in page(name).text, words
    return words


def refused(call, name, words):
    with pytest.raises((UserError, AssertionError, ValueError)) as raised:
        call()
    assert said_on(name, words) in str(raised.value)


@pytest.mark.slow
def test_a_broken_attack_is_told_what_the_page_says(as_it_was):
    from robnas.attacks.base import Evasion
    from robnas.testing import attack_checks

    class Broken(Evasion):
        """Of one kind or another."""

        def __init__(self, eps: float = 8 / 255) -> None:
            super().__init__(eps=eps, steps=2)

    class NoProject(Broken):
        """It leaves its ball."""

        def step(self, victim, s):
            return s.x_t + 2 * self.eps

    class Forgets(Broken):
        """It uses the gradients of all, after some have left."""

        def step(self, victim, s):
            logits, gradient = victim.logits_and_gradient(s.x_t, s.goal)
            s.leave(s.goal.reached(logits))
            return self.project(s.x_t + gradient.sign(), s.x)

    def broken(cls, rule="leaves_images_and_labels_alone"):
        return next(check for check in attack_checks(cls) if check.name == rule)

    refused(broken(NoProject), "add-an-attack.md", "end `step` with `return self.project(x_t, s.x)`")
    refused(broken(Forgets), "add-an-attack.md", "take of what was computed before it the rows that still stand: `s.keep(gradient)`")


def test_a_wrong_argument_is_told_what_the_page_says(as_it_was):
    for name in ("add-an-attack.md", "add-a-probe.md", "add-a-data-set.md"):
        page(name).write(as_it_was)
    from gradient_norm import GradientNorm
    from momentum import Momentum
    from npz_data import NPZ

    from robnas.probes import Measurement

    refused(lambda: Momentum(eps=8), "add-an-attack.md", "eps: 8 is more than a whole pixel range [0, 1]; did you mean 8/255?")
    name = "unknown class in momentum 'Momentun'. Did you mean 'Momentum'?"
    refused(lambda: plugins.resolve("momentum.Momentun"), "add-an-attack.md", name)
    refused(lambda: plugins.load("robnas.attacks", "momentum"), "add-an-attack.md", "unknown attack 'momentum'.")
    refused(GradientNorm(n_samples=0).check, "add-a-probe.md", "n_samples: 0 is not ≥ 1")
    refused(GradientNorm(hooks=("fit_ends",)).check, "add-a-probe.md", "unknown hook 'fit_ends'. Did you mean 'fit_end'?")
    import numpy as np

    refused(lambda: Measurement(map=np.zeros((8, 8), np.uint8)), "add-a-probe.md", "picture 'map': uint8 (8, 8); uint8 [H, W, 3] is needed")
    refused(lambda: NPZ(file="digit.npz"), "add-a-data-set.md", "file: 'digit.npz' is not a file")


def test_the_examples_do_what_the_pages_say(as_it_was):
    """The Python of the pages that needs no run beside it: rules of attacks, a probe and a network by hand, splits of a data set."""
    for name in ("add-a-probe.md", "add-a-model.md", "add-a-data-set.md"):
        page(name).write(as_it_was)
    sys.path.insert(0, str(as_it_was / "robnas-mixer"))
    runpy.run_path("make.py", run_name="__main__")
    for name in ("add-a-probe.md", "add-a-model.md", "add-a-data-set.md"):
        for code in page(name).python:
            exec(compile(code, name, "exec"), {})


def test_a_network_is_told_what_the_page_says(as_it_was):
    from robnas.models.build import build, describe

    page("add-a-model.md").write(as_it_was)
    refused(lambda: describe("conv_mixer"), "add-a-model.md", "unknown network 'conv_mixer'.")
    installed(as_it_was / "robnas-mixer", as_it_was / "site")
    network = describe("conv_mixer")
    assert network["family"] == "custom"
    refused(lambda: describe("conv_mixr"), "add-a-model.md", "unknown network 'conv_mixr'. Did you mean 'conv_mixer'?")
    shape = {"num_classes": 10, "image_shape": (3, 16, 16)}
    option = "unknown option of network conv_mixer 'widht'. Did you mean 'width'? Known: depth, width."
    refused(lambda: build(network, **shape, options={"widht": 3}), "add-a-model.md", option)
    refused(
        lambda: build(network, **shape, options={"width": "abc"}),
        "add-a-model.md",
        "network conv_mixer cannot be built with {'width': 'abc'}",
    )
    refused(lambda: build(network, **shape, size="small"), "add-a-model.md", "unknown size 'small'")
