"""The flow `annotate`: choose what a person should look at next, and hand it to a labelling tool.

The choosing happens in a process of its own, `python -m tasks.annotate ask`. The server that it goes to is no parameter of a run:
whoever can reach Prefect could have the images sent elsewhere.

reads   the variables LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, CVAT_URL and CVAT_ACCESS_TOKEN of the worker
"""

from __future__ import annotations

import os
from typing import Annotated

from prefect import State, flow
from prefect.logging import get_run_logger
from prefect.states import Completed
from pydantic import Field

from flows import asking, naming
from tasks.annotate.bundle import new_folder
from tasks.annotate.types import Tool, What
from tasks.common.params import load as load_params
from tasks.common.program import run_module

SERVERS: dict[Tool, str] = {"label-studio": "LABEL_STUDIO_URL", "cvat": "CVAT_URL"}
"""The variable that names the tool's server, or a project there; without it a bundle stays in its folder."""


@flow(name="annotate", flow_run_name=naming.of_annotate, log_prints=True)
def annotate(
    what: What = "doubts", num: Annotated[int, Field(ge=1, le=5000)] | None = None, tool: Tool = "label-studio"
) -> State[str]:
    """Choose images that a person should look at next, and hand them to a labelling tool.

    Args:
        what: The list. doubts are labels that the review doubts; uncertain, images of which the champion is least sure; drift,
            images of watch.path unlike those at registration; gate, images at random that the last INCONCLUSIVE decision needs.
        num: How many images. Left empty it is 50, and for gate as many as the decision needs.
        tool: Who reads the bundle. With LABEL_STUDIO_URL or CVAT_URL set on the worker, it goes straight into a project there.
    """
    folder = new_folder(what)
    words = ["ask", "--what", what, "--tool", tool, "--out", str(folder), *(["--num", str(num)] if num else [])]
    if server := os.environ.get(SERVERS.get(tool, "")):
        words += ["--to", server]
    run_module("tasks.annotate", *words, on_line=get_run_logger().info)
    message = f"{what}: {asking.publish_bundle(folder, load_params().registry.name)}"
    return Completed(name="Asked", message=message, data=message)
