"""The flow `watch`: measure the champion on new data, show the finding, and start `improve` if the champion is worse.

`python -m flows.watch` runs it here. The measuring happens in a process of its own, `python -m tasks.watch`.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import cast

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows import asking, naming
from flows.local import server_for_this_run
from flows.pictures import with_picture
from tasks.common import stage
from tasks.common.params import load as load_params
from tasks.common.paths import WATCH, WATCH_GALLERY, WATCH_PAGE, WATCH_PICTURES
from tasks.common.program import run_module


@flow(name="watch", flow_run_name=naming.of_watch, log_prints=True)
def watch() -> State[str]:
    """Compare the champion on the data of watch.path with its registered figures; a real drop starts `improve`.

    It takes no parameters: every knob is in section watch of params.yaml.
    """
    params = load_params()
    if params.watch.path is None:
        return Completed(name="Off", message="watch.path in params.yaml names no data")
    log = get_run_logger()
    run_module("tasks.watch", on_line=log.info)
    text = f"{WATCH_PAGE.read_text(encoding='utf-8')}\nEverything: `{WATCH_PICTURES}`"
    text = with_picture(text, "Pictures", "features then and now, and images", WATCH_GALLERY.read_bytes())
    create_markdown_artifact(text, key=naming.artifact_key(params.registry.name, "watch"), description="The champion on new data")
    asking.publish("drift", params)
    result = json.loads(WATCH.read_text(encoding="utf-8"))
    message = f"{result['finding']}: {result['champion']} on {result['images']} images of {result['path']}"
    if result["finding"] == "DROP" and params.watch.start_improve:
        message += f"; {_start_improve(params.registry.name)}"
    log.info(message)
    return Completed(name=result["finding"].replace("_", " ").capitalize(), message=message, data=message)


def _start_improve(detector: str) -> str:
    deployment = f"improve/{naming.deployment(detector, 'improve')}"
    try:
        started = cast(FlowRun, run_deployment(deployment, timeout=0, as_subflow=False))
    except ObjectNotFound:
        return f"there is no deployment {deployment} on this server: run `make deploy`, or `make run` by hand"
    return f"started {started.name}"


def main() -> None:
    """Run the flow, or say why not."""
    argparse.ArgumentParser(prog="python -m flows.watch", description=(__doc__ or "").partition("\n")[0]).parse_args()
    stage.log_to_terminal()
    with stage.user_errors():
        try:
            with server_for_this_run():
                watch()
        except KeyboardInterrupt:
            sys.exit("\ninterrupted")


if __name__ == "__main__":
    main()
