"""YAML as DVC reads it (1.2: `5e-5` is a number), with the line of every key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tasks.common.errors import PipelineError


def load_yaml(path: Path) -> Any:
    """The content of `path`; mappings keep the line of each key for `line_of`.

    Raises:
        PipelineError: the file is missing, or not YAML; the message has the line.
    """
    try:
        return YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError("no such file", where=str(path), fix=f"Bring it back: `git checkout -- {path}`.") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PipelineError(f"not YAML: {error.problem}", where=f"{path}:{line}", fix="Correct the line.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"not YAML: {error}", where=str(path), fix="Save it as UTF-8 text.") from None


def parse_scalar(text: str) -> Any:
    """The value that `text` has in YAML: `0.5` is a float, `[0, 1]` a list, `abc` a string."""
    try:
        return YAML(typ="safe").load(text)
    except YAMLError:
        return text


def line_of(values: Any, location: Sequence[str]) -> int:
    """The 1-based line of the deepest key of `location` that the file has; 1 where there is none."""
    line = 1
    for part in location:
        if not isinstance(values, Mapping) or part not in values:
            break
        mark = getattr(values, "lc", None)
        if mark is not None and mark.data and part in mark.data:
            line = mark.data[part][0] + 1
        values = values[part]
    return line
