"""Values of an export's JSON, each of the kind that its tool gives it or refused in words that quote it as JSON."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

KINDS = {dict: "an object", list: "a list", str: "a text"}
T = TypeVar("T", dict[str, Any], list[Any], str)
MAX_QUOTED = 60
"""Characters of a value in a message."""
BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What Python raises where a value has a form that no check below foresaw."""


def quoted(value: Any) -> str:
    """`value` as it stands in the JSON file, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."


def checked(value: Any, kind: type[T], what: str) -> T:
    """`value`, which is an object, a list or a text.

    Raises:
        ValueError: it is not; `what` names it in the message.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{what} is {quoted(value)}, expected {KINDS[kind]}")
    return value


def number(value: Any, what: str) -> float:
    """`value`, which is a finite number or its digits.

    Raises:
        ValueError: it is not; `what` names it in the message.
    """
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise ValueError(f"{what} is {quoted(value)}, expected a finite number")
    return result


def words(error: Exception) -> str:
    """What is wrong, of an error of the kinds BROKEN: Python's own words are about Python and not about the export."""
    return str(error) if type(error) is ValueError else "a value is missing, or of another kind than this tool writes"
