"""What the pickle inside a checkpoint would import and call, found out with stand-ins: nothing of it is run. No torch here.

A pickle is a program. This one is run with Python's own unpickler, in which every name it asks for gives a stand-in that
does nothing, so names that are put together on the way are seen too. Known are the names that Ultralytics 8.0 to 8.4 puts
into a YOLO checkpoint, and a class may only be made empty and filled, as pickle does, never called: the constructor of
`DetectionModel` passes a text of its argument to `eval`. `isolation` makes Ultralytics load with torch's `weights_only` too.
"""

from __future__ import annotations

import ast
import io
import pickle
import re
import zipfile
import zlib
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_PICKLE_BYTES = 64 * 2**20
"""Far above the 100 to 500 kB of a YOLO checkpoint: its tensors lie outside the pickle."""
ZIP_END, ZIP64_LOCATOR = b"PK\5\6", b"PK\6\7"
CLASSES = (
    (re.compile(r"(torch|ultralytics)\.nn\.modules(\.\w+)?"), re.compile(r"[A-Z]\w*")),
    (re.compile(r"ultralytics\.nn\.tasks"), re.compile(r"[A-Z]\w*Model")),
    (re.compile(r"ultralytics\.utils\.(loss|tal)"), re.compile(r"\w+(Loss|Assigner)")),
)
"""Module and name of the classes of a network and its loss."""
STORAGES = re.compile(r"(BFloat16|Bool|Byte|Char|Double|Float|Half|Int|Long|Short)Storage")
DTYPES = re.compile(r"(bfloat16|bool|float(16|32|64)|u?int(8|16|32|64))")
LAYER = re.compile(r"((torch\.)?nn\.|torchvision\.ops\.)?[A-Z]\w*")
"""A layer in a network's description; Ultralytics looks it up among its own functions and calls it."""


class RefusedError(ValueError):
    """What a checkpoint holds beyond a network: the message names it."""


def check(file: Path) -> None:
    """Refuse a checkpoint that asks for more than a YOLO network needs.

    Raises:
        RefusedError: the file is not a plain archive of `torch.save`, or its pickle imports or calls something else.
    """
    content = _pickle_of(file)
    try:
        dry = _DryRun(content)
        dry.load()
        dry.check_contents()
    except RefusedError:
        raise
    except Exception as error:  # a broken pickle raises whatever its nonsense leads to
        raise RefusedError(f"its pickle is broken: {type(error).__name__}: {error}") from None


def _pickle_of(file: Path) -> bytes:
    """The bytes of data.pkl, if torch's reader is sure to find the same ones."""
    if not zipfile.is_zipfile(file):
        raise RefusedError("not an archive of torch.save (the format before torch 1.6 is not read)")
    with zipfile.ZipFile(file) as archive, file.open("rb") as raw:
        size = raw.seek(0, io.SEEK_END)
        raw.seek(max(0, size - 98))
        tail = raw.read()
        whole = tail[-22:-18] == ZIP_END and int.from_bytes(tail[-6:-2], "little") == archive.start_dir
        if tail[-42:-38] == ZIP64_LOCATOR and int.from_bytes(tail[-34:-26], "little") != size - 98:
            whole = False
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        root = names[0].partition("/")[0] if names else ""
        if not whole or len({name.casefold() for name in names}) < len(names) or any(n.partition("/")[0] != root for n in names):
            raise RefusedError("its archive can be read in two ways (entries twice, or a second directory)")
        if [name for name in names if name.casefold().endswith(".pkl")] != [f"{root}/data.pkl"]:
            raise RefusedError("not a checkpoint but another archive (a TorchScript program, for example)")
        if archive.getinfo(f"{root}/data.pkl").file_size > MAX_PICKLE_BYTES:
            raise RefusedError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
        try:
            return archive.read(f"{root}/data.pkl")
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
            raise RefusedError(f"its archive is broken: {error}") from None


class _Value:
    """Stands for an object that is only stored."""

    def __setstate__(self, state: object) -> None:
        """Take any state and keep nothing."""


class _Function:
    """Stands for a callable that may be called with certain arguments."""

    def __init__(self, name: str, allows: Callable[..., bool], result: Callable[[], Any] = _Value) -> None:
        self.name, self.allows, self.result = name, allows, result

    def __call__(self, *args: Any) -> Any:
        try:
            allowed = self.allows(*args)
        except TypeError:
            allowed = False
        if not allowed:
            raise RefusedError(f"it calls {self.name}{_words(args)}")
        return self.result()

    def __setstate__(self, state: object) -> None:
        raise RefusedError(f"it changes {self.name}")


class _Class(type):
    """Stands for a class that may be made empty and filled, not called and not changed."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise RefusedError(f"it calls {cls.__name__}{_words(args)}")


def _class(name: str, filled: list[tuple[str, dict[Any, Any]]]) -> _Class:
    """A stand-in for class `name` that notes the state of its instances in `filled`."""

    def new(cls: type, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs:
            raise RefusedError(f"it calls {name}{_words(args)}")
        return object.__new__(cls)

    def fill(self: Any, state: Any = None) -> None:
        if state is None:  # called on the class, not on an instance
            raise RefusedError(f"it changes {name}")
        if not isinstance(state, dict):
            raise RefusedError(f"it fills {name} with something that is no state")
        filled.append((name, state))

    return _Class(name, (), {"__new__": new, "__setstate__": fill, "__module__": "stand-in"})


class _DryRun(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.filled: list[tuple[str, dict[Any, Any]]] = []
        self.hooks: list[Any] = []
        self.known: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global, one for each name; Python 2's names are turned into today's, as pickle does."""
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        full = f"{module}.{name}"
        if full not in self.known:
            self.known[full] = self._stand_in(module, name, full)
        return self.known[full]

    def persistent_load(self, pid: Any) -> _Value:
        """The stand-in of a tensor's storage, which lies outside the pickle."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and all(isinstance(p, str) for p in pid[2:4])):
            raise RefusedError(f"it refers to {pid!r:.80}, which is no tensor's storage")
        return _Value()

    def check_contents(self) -> None:
        """Refuse hooks, and a network's description from which Ultralytics would make more than layers.

        After the run, as a pickle may add to a dict that it has already handed over.
        """
        for name, state in self.filled:
            for key, value in state.items():
                if str(key).endswith("_hooks") and value:
                    raise RefusedError(f"it registers {key} on {name}")
            if isinstance(description := state.get("yaml"), dict):
                _check_description(description)
        if any(self.hooks):
            raise RefusedError("it registers a hook on a tensor")

    def _stand_in(self, module: str, name: str, full: str) -> Any:
        if any(where.fullmatch(module) and what.fullmatch(name) for where, what in CLASSES):
            return _class(full, self.filled)
        if (module == "torch" and (STORAGES.fullmatch(name) or DTYPES.fullmatch(name))) or full == "torch.storage.UntypedStorage":
            return _Value()
        allowed: dict[str, tuple[Callable[..., bool], Callable[[], Any]]] = {
            "collections.OrderedDict": (lambda *args: not args, OrderedDict),
            "builtins.set": (lambda items: isinstance(items, list), _Value),
            "builtins.getattr": (_is_forward, lambda: _Function("a layer's forward", lambda: False)),
            "torch.Size": (lambda sizes: isinstance(sizes, tuple), _Value),
            "torch.device": (lambda *args: all(isinstance(arg, str | int) for arg in args), _Value),
            "torch._utils._rebuild_tensor_v2": (self._is_tensor, _Value),
            "torch._utils._rebuild_parameter": (lambda data, grad, hooks: self._has_no_hooks(hooks), _Value),
            "ultralytics.utils.IterableSimpleNamespace": (lambda *args: not args, _Value),
            "ultralytics.yolo.utils.IterableSimpleNamespace": (lambda *args: not args, _Value),
            "_codecs.encode": (lambda text, coding: isinstance(text, str) and coding == "latin1", _Value),
            "numpy.dtype": (lambda code, *flags: re.fullmatch(r"[biuf][1248]", code) is not None, _Value),
            "numpy.core.multiarray.scalar": (lambda dtype, data: True, _Value),
            "numpy._core.multiarray.scalar": (lambda dtype, data: True, _Value),
            **dict.fromkeys(
                (f"{place}.{kind}" for place in ("pathlib", "pathlib._local") for kind in ("PosixPath", "WindowsPath")),
                (lambda *parts: all(isinstance(part, str) for part in parts), _Value),
            ),
        }
        if full not in allowed:
            raise RefusedError(f"it asks for {full}")
        return _Function(full, *allowed[full])

    def _is_tensor(self, storage: Any, offset: int, size: Any, stride: Any, grad: bool, hooks: Any, *rest: Any) -> bool:
        return isinstance(storage, _Value) and self._has_no_hooks(hooks)

    def _has_no_hooks(self, hooks: Any) -> bool:
        self.hooks.append(hooks)
        return not hooks


def _is_forward(owner: Any, name: Any) -> bool:
    """Is it the forward of a layer, which heads of Ultralytics before 8.3 keep as an attribute?"""
    return isinstance(owner if isinstance(owner, _Class) else type(owner), _Class) and name in ("forward", "forward_fuse")


def _check_description(description: dict[Any, Any]) -> None:
    """Refuse what Ultralytics' `parse_model` would evaluate or call that is no layer."""
    activation = description.get("activation")
    if activation is not None and not _is_activation(activation):
        raise RefusedError(f"its network's activation is {activation!r:.80}")
    layers = [*description.get("backbone", []), *description.get("head", [])]
    for layer in layers:
        if not (isinstance(layer, list | tuple) and len(layer) == 4):
            raise RefusedError(f"its network has the layer {layer!r:.80}")
        if not isinstance(layer[2], str | _Class) or (isinstance(layer[2], str) and not LAYER.fullmatch(layer[2])):
            raise RefusedError(f"its network has the layer {layer[2]!r:.80}")


def _is_activation(text: Any) -> bool:
    """Is it such as `nn.LeakyReLU(0.1)`: a class of torch.nn with literal arguments?"""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not re.fullmatch(r"(torch\.)?nn\.[A-Z]\w*", ast.unparse(call.func)):
            return False
        for value in [*call.args, *(keyword.value for keyword in call.keywords)]:
            ast.literal_eval(value)
    except (AttributeError, SyntaxError, ValueError, RecursionError):
        return False
    return True


def _words(args: tuple[Any, ...]) -> str:
    """Arguments for a message."""
    return f"({', '.join(repr(arg)[:60] if isinstance(arg, str | int | float) else '...' for arg in args)})"
