"""`python -m flows.data_changed`: tell the server of PREFECT_API_URL that the data changed, which starts `NAME-improve-on-data`.

Call it from a hook after `git push` or `dvc push`, or from CI.

reads   params.yaml
"""

from __future__ import annotations

import json

from prefect.events import Event, Resource

from flows.api import server
from tasks.common import stage
from tasks.common.params import Params
from tasks.common.params import load as load_params

EVENT = "ratchet.data.changed"
RESOURCE = "ratchet.data.{}"
"""With the detector's name: the data of one detector changes, and the others need not run."""


def send(params: Params) -> None:
    """Send the event. It is on the server when this returns.

    Raises:
        WorkspaceError: no server is named, or it does not take the event.
    """
    detector = params.registry.name
    resource = {"prefect.resource.id": RESOURCE.format(detector), "prefect.resource.name": f"{detector} on {params.data.path}"}
    event = Event(event=EVENT, resource=Resource.model_validate(resource))
    with server() as (client, url):
        client.request("POST", "/events", json=[json.loads(event.model_dump_json())])
    print(f"told {url}: {EVENT} ({detector} on {params.data.path})", flush=True)


def main() -> None:
    """Send the event, or say why not."""
    with stage.user_errors():
        send(load_params())


if __name__ == "__main__":
    main()
