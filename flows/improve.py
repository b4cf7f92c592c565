"""The flow `improve`: bring data, models and decision up to date, and register the model if it earned it.

`python -m flows.improve` runs it here, with a Prefect server of its own for as long as it lasts.
"""

from __future__ import annotations

import logging
import sys

from prefect import flow
from prefect.exceptions import TerminationSignal

from flows.effects import publish_evidence, register_model, snapshot_data
from flows.local import temporary_server_ends_with_us
from flows.stages import STAGES, build
from tasks import preflight, registry, summary
from tasks.common import dvc, params, stage
from tasks.common.paths import SAMPLE


@flow(name="improve", log_prints=True)
def improve() -> str:
    """Snapshot the data, bring every stage up to date, and register the model if it earned it."""
    settings = params.load()
    preflight.check(settings)
    registry.pin_champion(settings)
    if settings.data.path == SAMPLE.as_posix():
        build("sample", settings.flow.lock_wait_s)
    snapshot_data(settings)
    for name in STAGES:
        build(name, settings.flow.lock_wait_s)
    publish_evidence()
    return summary.summarise(settings, register_model(settings))


def main() -> None:
    """Run the flow, or say that there is nothing to do; the last lines are the summary."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("tasks").setLevel(logging.INFO)
    with stage.user_errors():
        settings = params.load()
        preflight.check(settings)
        registry.pin_champion(settings)
        if dvc.stale_stages(lock_wait_s=settings.flow.lock_wait_s):
            try:
                with temporary_server_ends_with_us():
                    text = improve()
            except (KeyboardInterrupt, TerminationSignal):
                sys.exit("\ninterrupted: finished stages are kept; run again to go on")
            logging.getLogger("prefect").setLevel(logging.ERROR)  # the summary comes last
        else:
            text = "Nothing changed since the last run: no stage to build.\n" + summary.summarise(
                settings, register_model.fn(settings)
            )
        sys.stdout.write(f"\n{text}\n")


if __name__ == "__main__":
    main()
