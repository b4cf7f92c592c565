"""What a pickle would import and call, found out with stand-ins: nothing of it is run.

It is run with Python's own unpickler, in which every name it asks for gives a stand-in that does nothing, so names that are put
together on the way are seen too. Known are the names that Ultralytics 8.0 to 8.4 puts into a YOLO checkpoint, and a class may
only be made empty and filled, as pickle does, never called: the constructor of `DetectionModel` passes a text of its argument to
`eval`. `isolation` makes Ultralytics load with torch's `weights_only` too.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tasks.common.checkpoint import nesting
from tasks.common.checkpoint.contents import check_description
from tasks.common.checkpoint.refused import UNKNOWN, RefusedError
from tasks.common.checkpoint.standins import Class, Function, Storage, StorageType, Tensor, Value, class_of

CLASSES = (
    (re.compile(r"(torch|ultralytics)\.nn\.modules(\.\w+)?"), re.compile(r"(v10)?[A-Z]\w*")),
    (re.compile(r"ultralytics\.nn\.tasks"), re.compile(r"[A-Z]\w*Model")),
    (re.compile(r"ultralytics\.utils\.(loss|tal)"), re.compile(r"\w+(Loss|Assigner)")),
)
"""Module and name of the classes of a network and its loss."""
ITEM_BYTES = {
    "torch.BFloat16Storage": 2, "torch.BoolStorage": 1, "torch.ByteStorage": 1, "torch.CharStorage": 1, "torch.DoubleStorage": 8,
    "torch.FloatStorage": 4, "torch.HalfStorage": 2, "torch.IntStorage": 4, "torch.LongStorage": 8, "torch.ShortStorage": 2,
    "torch.storage.UntypedStorage": 1,
}  # fmt: skip
DTYPES = re.compile(r"torch\.(bfloat16|bool|float(16|32|64)|u?int(8|16|32|64))")


class _Bytes(io.BytesIO):
    """Bytes of which no more can be read than there are."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if size is not None and len(content) < size:
            raise pickle.UnpicklingError("pickle data was truncated")
        return content


class DryRun(pickle._Unpickler):
    """The unpickler in Python: C's keeps its memo in an array as long as the largest number in it, so that 20 bytes take 4 GB."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(self, content: bytes, storage_bytes: Mapping[str, int]) -> None:
        super().__init__(_Bytes(content))
        self.storage_bytes = storage_bytes
        self.filled: list[tuple[str, dict[Any, Any]]] = []
        self.hooks: list[Any] = []
        self.known: dict[str, Any] = {}
        self.tuples: dict[int, tuple[int, int]] = {}
        self.kept: list[Any] = []

    def measure_tuple(self) -> None:
        """Refuse a tuple that nests too deeply at once: its place in a dict hashes it, which crashes Python."""
        newest = self.stack[-1]
        self.kept.append(newest)  # so that its id stays its own
        self.tuples[id(newest)] = nesting.measure(newest, newest, self.tuples)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global, one for each name; Python 2's names are turned into today's, as pickle does."""
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        full = f"{module}.{name}"
        if full not in self.known:
            self.known[full] = self._stand_in(module, name, full)
        return self.known[full]

    def persistent_load(self, pid: Any) -> Storage:
        """The stand-in of a tensor's storage, which lies outside the pickle and must hold the bytes that are claimed."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and all(isinstance(p, str) for p in pid[2:4])):
            raise RefusedError(f"it refers to {pid!r:.80}, which is no tensor's storage")
        _, kind, key, _, num_items = pid
        if not isinstance(kind, StorageType) or type(num_items) is not int or num_items < 0:
            raise RefusedError(f"it refers to {pid!r:.80}, which is no tensor's storage")
        if num_items * kind.item_bytes > self.storage_bytes.get(key, -1):
            raise RefusedError(f"its storage {key} is shorter than the {num_items:.3g} numbers that are claimed")
        return Storage(num_items)

    def check_contents(self) -> None:
        """Refuse hooks, and a network's description from which Ultralytics would make more than layers.

        After the run, as a pickle may add to a dict that it has already handed over.
        """
        for name, state in self.filled:
            for key, value in state.items():
                if str(key).endswith("_hooks") and value:
                    raise RefusedError(f"it registers {key} on {name}")
            if isinstance(description := state.get("yaml"), dict):
                check_description(description)
        if any(self.hooks):
            raise RefusedError("it registers a hook on a tensor")

    def _stand_in(self, module: str, name: str, full: str) -> Any:
        if any(where.fullmatch(module) and what.fullmatch(name) for where, what in CLASSES):
            return class_of(full, self.filled)
        if full in ITEM_BYTES:
            return StorageType(ITEM_BYTES[full])
        if DTYPES.fullmatch(full):
            return Value()
        allowed: dict[str, tuple[Callable[..., bool], Callable[[], Any]]] = {
            "collections.OrderedDict": (lambda *args: not args, OrderedDict),
            "builtins.set": (lambda items: isinstance(items, list), Value),
            "builtins.getattr": (_is_forward, lambda: Function("a layer's forward", lambda: False)),
            "torch.Size": (lambda sizes: isinstance(sizes, tuple), Value),
            "torch.device": (lambda *args: all(isinstance(arg, str | int) for arg in args), Value),
            "torch._utils._rebuild_tensor_v2": (self._is_tensor, Tensor),
            "torch._utils._rebuild_parameter": (lambda data, grad, hooks: self._has_no_hooks(hooks), Tensor),
            "ultralytics.utils.IterableSimpleNamespace": (lambda *args: not args, Value),
            "ultralytics.yolo.utils.IterableSimpleNamespace": (lambda *args: not args, Value),
            "_codecs.encode": (lambda text, coding: isinstance(text, str) and coding == "latin1", Value),
            "numpy.dtype": (lambda code, *flags: re.fullmatch(r"[biuf][1248]", code) is not None, Value),
            "numpy.core.multiarray.scalar": (lambda dtype, data: True, Value),
            "numpy._core.multiarray.scalar": (lambda dtype, data: True, Value),
            **dict.fromkeys(
                (f"{place}.{kind}" for place in ("pathlib", "pathlib._local") for kind in ("PosixPath", "WindowsPath")),
                (lambda *parts: all(isinstance(part, str) for part in parts), Value),
            ),
        }
        if full not in allowed:
            raise RefusedError(f"it asks for {full}", fix_for(full))
        return Function(full, *allowed[full])

    def _is_tensor(self, storage: Any, offset: int, size: Any, stride: Any, grad: bool, hooks: Any, *rest: Any) -> bool:
        if not isinstance(storage, Storage) or not isinstance(size, tuple) or any(type(side) is not int for side in size):
            return False
        if math.prod(size) > storage.num_items:
            raise RefusedError(f"a tensor claims {math.prod(size):.3g} numbers, and its storage holds {storage.num_items}")
        return self._has_no_hooks(hooks)

    def _has_no_hooks(self, hooks: Any) -> bool:
        self.hooks.append(hooks)
        return not hooks


def _measuring(load: Callable[[Any], None]) -> Callable[[DryRun], None]:
    def measured(self: DryRun) -> None:
        load(self)
        self.measure_tuple()

    return measured


for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    DryRun.dispatch[code[0]] = _measuring(DryRun.dispatch[code[0]])


def fix_for(name: str) -> str:
    """The next step for a checkpoint that asks for the global `name`."""
    if name.startswith("models."):
        return "It is one of the YOLOv5 or YOLOv7 repository. Use a checkpoint that Ultralytics has saved, such as yolov5nu.pt."
    return UNKNOWN


def _is_forward(owner: Any, name: Any) -> bool:
    """Whether it is the forward of a layer, which heads of Ultralytics before 8.3 keep as an attribute."""
    return isinstance(owner if isinstance(owner, Class) else type(owner), Class) and name in ("forward", "forward_fuse")
