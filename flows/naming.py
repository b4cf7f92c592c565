"""Names in the Prefect UI, where the runs and artifacts of several detectors stand in one list."""

from __future__ import annotations

from collections.abc import Callable

from prefect.runtime import flow_run

from tasks.common.errors import PipelineError
from tasks.common.params import Params
from tasks.common.params import load as load_params
from tasks.registry import Version

ASKED_BY = "asked-by:"
"""The tag of a run that records silence: the run that asked."""
EVERY_DETECTOR = "ratchet"
"""The tag of every run, deployment and variable of ours; each has its detector's name as a tag too."""
PROMOTION = "promotion"
"""What the artifact with the outcome of a question is called."""


def deployment(detector: str, name: str) -> str:
    """The name of a deployment, such as `detector-improve`; DETECTOR-improve in prefect.yaml."""
    return f"{detector}-{name}"


def artifact_key(detector: str, what: str) -> str:
    """The key of an artifact, such as `detector-labels`."""
    return f"{detector}-{what}"


def title(version: Version) -> str:
    """A version in a text of the UI, which would make `detector@v1.2.0` a link to write a mail."""
    return f"{version.name} {version.version}"


def of_improve() -> str:
    """The name of a run of `improve`: the detector and its dataset."""
    return _named("improve", lambda settings: f"{settings.registry.name} on {settings.data.path}")


def of_watch() -> str:
    """The name of a run of `watch`: the detector and the new data."""
    return _named("watch", lambda settings: f"{settings.registry.name} on {settings.watch.path or 'no data'}")


def of_annotate() -> str:
    """The name of a run of `annotate`: the detector and the list."""
    return _named("annotate", lambda settings: f"{settings.registry.name}: {flow_run.parameters.get('what') or 'doubts'}")


def of_promote() -> str:
    """The name of a run of `promote`: the detector and the version that was asked for.

    A run that records silence keeps the name that it was given.
    """
    if any(tag.startswith(ASKED_BY) for tag in flow_run.tags):
        return str(flow_run.name)
    version = flow_run.parameters.get("version") or "newest"
    return _named("promote", lambda settings: f"{settings.registry.name} {version}")


def _named(otherwise: str, name: Callable[[Params], str]) -> str:
    try:
        return name(load_params())
    except PipelineError:  # the flow itself says what is wrong
        return otherwise
