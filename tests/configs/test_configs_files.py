"""Finding configs and reading them safely."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from robnas.configuration import files
from robnas.configuration.reading import read_file, read_text, read_value
from robnas.errors import UserError


def test_the_current_folder_comes_before_the_shipped_configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = files.find("darts")
    assert shipped == files.shipped()["darts.yaml"]
    assert files.find("darts.yaml") == shipped
    (tmp_path / "darts.yaml").write_text("trainer: {}")
    assert files.find("darts") == Path("darts.yaml")
    assert files.find("darts_iii/paper").name == "paper.yaml"


def test_an_unknown_config_is_answered_with_the_nearest_name_and_all_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"unknown config 'dart_iii.yaml'. Did you mean 'darts_iii.yaml'\? Known: .*digits.yaml"):
        files.find("dart_iii.yaml")


def test_a_run_folder_is_not_a_config_but_has_one(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(UserError, match=r"its config is .*config.yaml"):
        files.find(str(tmp_path))


def test_yaml_is_read_as_people_mean_it():
    text = "{a: off, b: yes, c: true, d: 1e-3, e: 3.0e-4, f: 8/255, g: 2020-01-01, h: 3, i: .5, j: -1.5, k: null, l: 1.2.3, m: -.inf}"
    assert read_text(text, "x") == {
        "a": "off",
        "b": "yes",
        "c": True,
        "d": 1e-3,
        "e": 3e-4,
        "f": "8/255",
        "g": "2020-01-01",
        "h": 3,
        "i": 0.5,
        "j": -1.5,
        "k": None,
        "l": "1.2.3",
        "m": -float("inf"),
    }
    assert read_value("[") == "["


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: {c: 1\n", "broken.yaml, line 3: "),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "broken.yaml, line 4: the key 'c' is given twice"),
        ("a: !!python/object/apply:os.system [true]", "broken.yaml, line 1: "),
        ("- a\n", "broken.yaml: a config is a mapping"),
        ("3: x\n", "broken.yaml: a config is a mapping"),
        ("a: \x00\n", "broken.yaml"),
        ("a: *b\n", "broken.yaml, line 1: "),
    ],
)
def test_broken_yaml_is_one_line_with_file_and_line_number(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        read_file(Path("broken.yaml"))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_file(tmp_path / "x.yaml")


def test_merge_keys_and_empty_files_are_fine(tmp_path):
    (tmp_path / "x.yaml").write_text("a: &a {k: 1, l: 2}\nb: {<<: *a, k: 3}\n")
    assert read_file(tmp_path / "x.yaml")["b"] == {"k": 3, "l": 2}
    (tmp_path / "x.yaml").write_text("# nothing\n")
    assert read_file(tmp_path / "x.yaml") == {}


@pytest.mark.slow
def test_a_wheel_carries_the_configs_and_finds_them(tmp_path):
    """Also from a folder that is no checkout, by the package as it lies in the wheel."""
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[2]
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import robnas.configuration.files as f; print(f.__file__); print(*f.shipped())"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, *{sys.path!r}]; {code}"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert str(tmp_path / "site") in said
    assert set(said.splitlines()[1].split()) == set(files.shipped())
