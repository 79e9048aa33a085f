"""What needs no torch starts at once, and says where torch is not wanted."""

import subprocess
import sys

import pytest

from robnas._version import __version__

LIGHT = ["--help", "--version", "list", "list --json", "cell --help", "match --help", "new --help"]


@pytest.mark.parametrize("words", LIGHT)
def test_neither_torch_nor_lightning_is_imported(words, tmp_path):
    code = (
        "import sys; from robnas.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print([m for m in ('torch', 'lightning', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_installed_command_says_its_version_and_its_mistakes(tmp_path):
    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "robnas", *words], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert run("--version").stdout == f"robnas {__version__}\n"
    wrong = run("fit", "--config", "darts_vi")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
