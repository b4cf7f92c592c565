"""Stand-ins for what a pickle asks for: they do nothing, and keep what they are given so that it can be measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasks.common.checkpoint.refused import RefusedError


class StandIn:
    """Stands for an object; `parts` is all that it was made from and filled with."""

    @property
    def parts(self) -> list[Any]:
        parts: list[Any] = self.__dict__.setdefault("parts", [])
        return parts


class Value(StandIn):
    """Stands for an object that is only stored."""

    def __setstate__(self, state: object) -> None:
        self.parts.append(state)


class StorageType(Value):
    """Stands for the class of a storage."""

    def __init__(self, item_bytes: int) -> None:
        self.item_bytes = item_bytes


class Storage(Value):
    """Stands for the numbers of a tensor, which lie outside the pickle."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items


class Tensor(Value):
    """Stands for a tensor."""


class Function:
    """Stands for a callable that may be called with certain arguments."""

    def __init__(self, name: str, allows: Callable[..., bool], result: Callable[[], Any] = Value) -> None:
        self.name, self.allows, self.result = name, allows, result

    def __call__(self, *args: Any) -> Any:
        try:
            allowed = self.allows(*args)
        except TypeError:
            allowed = False
        if not allowed:
            raise RefusedError(f"it calls {self.name}{_words(args)}")
        result = self.result()
        if isinstance(result, StandIn):
            result.parts.extend(args)
        return result

    def __setstate__(self, state: object) -> None:
        raise RefusedError(f"it changes {self.name}")


class Class(type):
    """Stands for a class that may be made empty and filled, not called and not changed."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise RefusedError(f"it calls {cls.__name__}{_words(args)}")


def class_of(name: str, filled: list[tuple[str, dict[Any, Any]]]) -> Class:
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
        self.parts.append(state)
        filled.append((name, state))

    return Class(name, (StandIn,), {"__new__": new, "__setstate__": fill, "__module__": "stand-in"})


def _words(args: tuple[Any, ...]) -> str:
    """Arguments for a message."""
    return f"({', '.join(repr(arg)[:60] if isinstance(arg, str | int | float) else '...' for arg in args)})"
