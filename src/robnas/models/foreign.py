"""A network from elsewhere, by what its owner calls it: an import path, a name of timm, a file of TorchScript or torch.export, a pickle.

Nothing is downloaded, and nothing that a file holds is executed unless the caller says so by the name of the option, with one exception:
TorchScript is a program, see `_torchscript`.
"""

import importlib.util
import inspect
import pkgutil
import re
import sys
import warnings
import zipfile
from collections.abc import Mapping
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from robnas import copies, plugins
from robnas.errors import UserError, require, short, unknown
from robnas.source import source_digest

FILES = (".pt", ".pth", ".pt2", ".ts", ".jit", ".torchscript", ".bin", ".safetensors")
_IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*")
_DOWNLOADS = ("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


def is_foreign(source: str) -> bool:
    """Whether `network` is asked for it, as against a run folder or checkpoint of robnas: by how it is written."""
    return source.startswith("timm:") or ".py:" in source or source.endswith(FILES) or _is_import_path(source)


def network(source: str, arguments: Mapping[str, Any] | None = None, *, unsafe_pickle: bool = False) -> nn.Module:
    """The network that `source` names; its weights are those that its constructor or its file gives it.

    Args:
        source: "timm:resnet18" (never with downloaded weights); "mypackage.nets.Net", "mypackage.nets:Net" or "folder/net.py:Net": a class
            or function that returns a module, or a module; or a file: TorchScript, or, where it is insisted on, torch.export's `.pt2` and
            pickled modules, both of which torch reads by running what is in them.
        arguments: of the class, the function or timm's model.
        unsafe_pickle: read files that can run any code while they are read.

    Raises:
        UserError: no such file, module or name (with the nearest one), arguments that it does not take, or a file that is not read.
    """
    given = dict(arguments or {})
    if source.startswith("timm:"):
        return _timm(source.removeprefix("timm:"), given)
    path, _, name = source.rpartition(":")
    if path.endswith(".py"):
        return _made(source, _attribute(_module_of(Path(path)), name, path), given)
    if source.endswith(FILES):
        require(not given, f"arguments: {source} is a network already built; it takes none")
        return _file(Path(source), unsafe_pickle)
    if not _is_import_path(source):
        raise UserError(
            f"source: {short(source)} is no import path (mypackage.nets.Net, net.py:Net), no timm:NAME and no file ({', '.join(FILES)})"
        )
    module, _, name = source.replace(":", ".").rpartition(".")
    return _made(source, _imported(module, name), given)


def title(source: str) -> str:
    """A short name for rows and tables."""
    last = source.rpartition(":")[2]
    return Path(last).stem if last.endswith(FILES) or "/" in last else last.rpartition(".")[2]


def code_digest(source: str) -> str:
    """Of the Python file, or of the package, that a network is made by; "" for timm's and for files that are no Python."""
    file, _, _ = source.rpartition(":")
    if file.endswith(".py"):
        return blake2b(Path(file).read_bytes(), digest_size=8).hexdigest()
    return (source_digest(source) or "") if _is_import_path(source) else ""


# timm


def _timm(name: str, arguments: dict[str, Any]) -> nn.Module:
    import timm

    for word in _DOWNLOADS:
        require(not arguments.get(word), f"arguments: {word} would fetch or unpickle weights; give a file of weights of your own instead")
    if not timm.is_model(name):
        raise near("timm model", name, timm.list_models())
    return _called(f"timm:{name}", lambda: timm.create_model(name, pretrained=False, **arguments))


# Import paths


def _is_import_path(source: str) -> bool:
    return not source.startswith("timm:") and not source.endswith(FILES) and _IMPORT_PATH.fullmatch(source) is not None


def _imported(module: str, name: str) -> Any:
    """Installed, or in the current folder. Raises UserError with the nearest name."""
    try:
        return plugins.resolve(f"{module}.{name}")
    except UserError as error:
        missing = getattr(error.__cause__, "name", None) if isinstance(error.__cause__, ModuleNotFoundError) else None
        if not missing or not (module == missing or module.startswith(f"{missing}.")):
            raise UserError(f"source: {error}") from error
        parent, _, last = missing.rpartition(".")
        places = list(getattr(sys.modules.get(parent), "__path__", [])) if parent else [str(Path.cwd())]
        known = [found.name for found in pkgutil.iter_modules(places)]
        raise near(f"module in {parent or Path.cwd().name}", last, known) from error


def _module_of(file: Path) -> ModuleType:
    """A file as a module of its own name's; what it imports from beside itself is found."""
    if not file.is_file():
        beside = [p.name for p in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise near(f"file in {file.parent}", file.name, beside)
    folder, name = str(file.resolve().parent), f"robnas_own_{blake2b(str(file.resolve()).encode(), digest_size=6).hexdigest()}"
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that a file of the user's never shadows a library
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"source: {file} cannot be imported: {plugins.said(error)}") from error
    return module


def _attribute(module: ModuleType, name: str, where: str) -> Any:
    if not hasattr(module, name):
        own = [n for n, v in vars(module).items() if isinstance(v, nn.Module) or getattr(v, "__module__", None) == module.__name__]
        raise near(f"name in {where}", name, own)
    return getattr(module, name)


def _made(source: str, found: Any, arguments: dict[str, Any]) -> nn.Module:
    if isinstance(found, nn.Module):
        require(not arguments, f"arguments: {source} is a module already built; it takes none")
        return own_copy(found)
    require(callable(found), f"source: {source} is a {type(found).__name__}; a torch.nn.Module or what returns one is needed")
    if missing := _missing(found, arguments):
        flags = " ".join(f"--model.arguments.{name}=…" for name in missing)
        raise UserError(f"source: {source} needs {', '.join(missing)}: say {flags} (in Python arguments={{{missing[0]!r}: …}})")
    return _called(source, lambda: found(**arguments))


def own_copy(module: nn.Module) -> nn.Module:
    """Of a module that is somebody else's too, to be changed without their noticing: in evaluation mode, frozen."""
    try:
        return copies.evaluation_copy(module)
    except Exception as error:  # code of the user's own: it may raise anything
        raise UserError(f"source: the {type(module).__name__} cannot be copied: {plugins.said(error)}") from error


def _missing(found: Any, arguments: Mapping[str, Any]) -> list[str]:
    """Arguments that have no default and are not given."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # written in C, say
        return []
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [p.name for p in named if p.default is p.empty and p.name not in arguments]


def _called(source: str, make: Any) -> nn.Module:
    try:
        with torch.device("cpu"):
            made = make()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # code of the user's own: it may raise anything
        where = rf" \({re.escape(Path(__file__).name)}, line \d+\)$"  # the call, which tells nobody anything
        raise UserError(f"source: {source} cannot be built: {re.sub(where, '', plugins.said(error))}") from error
    require(isinstance(made, nn.Module), f"source: {source} returns a {type(made).__name__}; a torch.nn.Module is needed")
    return made  # type: ignore[no-any-return]


# Files


def _file(path: Path, unsafe_pickle: bool) -> nn.Module:
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir() if p.suffix in FILES] if path.parent.is_dir() else []
        raise near(f"file in {path.parent}", path.name, beside)
    if path.suffix == ".safetensors":
        raise _only_weights(path)
    parts = _parts(path)
    if any("/code/" in part for part in parts) and any(part.endswith("/constants.pkl") for part in parts):
        return _torchscript(path)
    if path.suffix == ".pt2" or any(part.endswith("/archive_format") for part in parts):
        return _exported(path, unsafe_pickle)
    return _pickled(path, unsafe_pickle)


def _parts(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return []


def _torchscript(path: Path) -> nn.Module:
    """A TorchScript archive is a program. Reading it runs no Python and imports nothing, but what it computes is its author's: when it is
    asked it may call any of torch's operators, those that write files among them, and a damaged one may crash the process. Take it from
    nobody whose code you would not run.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch advises its successor
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-any-return, no-untyped-call]
    except Exception as error:
        raise UserError(f"{path} cannot be read as TorchScript: {_first_line(error)}") from error


def _exported(path: Path, unsafe_pickle: bool) -> nn.Module:
    """torch.export's archive, whose weights torch unpickles. Its batch size must have been exported as dynamic."""
    require(unsafe_pickle, refusal(path, "torch reads an archive of torch.export by unpickling"))
    try:
        return _Exported(torch.export.load(path).module())
    except Exception as error:
        raise UserError(f"{path} cannot be read by torch.export: {_first_line(error)}") from error


class _Exported(nn.Module):
    """In the mode in which it was exported, whatever mode is asked for: torch can no longer change it."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> "_Exported":
        """Changes nothing inside."""
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Any:
        """As the program."""
        return self.program(x)


def _pickled(path: Path, unsafe_pickle: bool) -> nn.Module:
    refuse_other_formats(path, "TorchScript (torch.jit.save), archives of torch.export and modules saved by torch.save")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        require(unsafe_pickle, refusal(path, "it is no TorchScript, and holds more than tensors"))
        try:
            content = torch.load(path, map_location="cpu", weights_only=False)
        except Exception:
            raise UserError(f"{path} cannot be read: {_first_line(error)}") from error
    if isinstance(content, Mapping):
        raise _only_weights(path)
    require(isinstance(content, nn.Module), f"{path} holds a {type(content).__name__}; a torch.nn.Module is needed")
    return content  # type: ignore[no-any-return]


def refuse_other_formats(path: Path, known: str) -> None:
    """Raise UserError for a file that is neither a ZIP archive nor a binary pickle, which torch.save has written so far."""
    with path.open("rb") as file:
        head = file.read(2)
    require(head.startswith((b"PK", b"\x80")), f"{path} is of no format that is read: {known}")


def refusal(path: Path, why: str) -> str:
    """Why a file is not read, and what the owner can do."""
    return (
        f"{path}: {why}, and that can run any code in it. Save torch.save(model.state_dict(), FILE) or a safetensors file instead and give "
        "it as weights; if you trust the file as you trust your own code, insist with unsafe_pickle: true"
    )


def near(kind: str, name: str, known: list[str]) -> UserError:
    """`unknown`, with no more than the ten nearest of many names."""
    return unknown(kind, name, known if len(known) <= 10 else get_close_matches(name, known, n=10, cutoff=0.3))


def _only_weights(path: Path) -> UserError:
    return UserError(f"{path} holds weights alone: give the network as source (mypackage.Net, net.py:Net, timm:NAME), this file as weights")


def _first_line(error: BaseException) -> str:
    return short(next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__))
