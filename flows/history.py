"""Write the history of the versions, and show it in short in the Prefect UI."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from flows.naming import artifact_key
from tasks.history import page
from tasks.registry import Registry


def publish(registry: Registry) -> None:
    """Write runs/history.html and create the artifact NAME-history. A failure here must not stop a run."""
    try:
        trail = page.write(registry)
        text = f"Every version of {trail.name}, and who decided"
        create_markdown_artifact(page.short(trail), key=artifact_key(trail.name, "history"), description=text)
    except Exception as error:
        get_run_logger().warning("the history is not shown: %s: %s", type(error).__name__, error)
