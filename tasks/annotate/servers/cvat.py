"""Projects on a server of CVAT, through cvat-sdk. The name of an image there carries its question.

A batch of images goes as one dataset into the project, which CVAT takes whole or not at all: it becomes a task with one job.

reads  the variable CVAT_ACCESS_TOKEN: a personal access token, see https://docs.cvat.ai/docs/api_sdk/access_tokens
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urljoin
from urllib.request import getproxies

from urllib3.exceptions import HTTPError, SSLError
from urllib3.util import Timeout

from tasks.adopt.voc import root_of
from tasks.annotate.bundle import FOLDER, Bundle, Entry
from tasks.annotate.servers import refusals
from tasks.annotate.servers.refusals import DETOUR, LOOK_AT_LOG, MAX_WORDS, NO_SERVER, STEPS, TIMEOUT_S
from tasks.annotate.servers.types import Found
from tasks.annotate.tools import cvat
from tasks.annotate.types import Tool
from tasks.common.errors import DatasetError, WorkspaceError
from tasks.common.text import first

VARIABLE = "CVAT_ACCESS_TOKEN"
WHERE_TOKENS_ARE = f"Make one on the server's page `Profile`, `Security`, not read-only, and put it into the variable {VARIABLE}."
FORMAT = "CVAT 1.1"
POLL_S = 1
"""Between two looks at an import."""
MAX_NAME = 50
"""Characters of a bundle's name in the name of a task; CVAT takes 64."""


class Cvat:
    """A server of CVAT; see `Server`."""

    tool: Tool = "cvat"
    answers = "answers.xml"
    then = "label, and finish each job"

    def __init__(self, url: str) -> None:
        token = refusals.token(VARIABLE, "CVAT", WHERE_TOKENS_ARE)
        try:
            from cvat_sdk.api_client.rest import RESTClientObject
            from cvat_sdk.core.client import AccessTokenCredentials, Client, Config
        except ModuleNotFoundError:
            fix = "Run `pip install 'yolo-ratchet[cvat]'`."
            raise WorkspaceError("the package cvat-sdk is missing", where="--tool cvat", fix=fix) from None
        log = logging.getLogger("cvat_sdk")
        log.setLevel(logging.ERROR)  # it would tell of each step
        self.url = url
        self._client = Client(url, logger=log, config=Config(status_check_period=POLL_S), check_server_version=False)
        self._client.login(AccessTokenCredentials(token))
        api, proxies = self._client.api_client, getproxies()
        api.configuration.proxy, api.configuration.no_proxy = proxies.get(url.partition(":")[0]), proxies.get("no")
        api.configuration.retries = refusals.RETRIES
        api.rest_client = RESTClientObject(api.configuration)
        api.rest_client.pool_manager.request = partial(_request, api.rest_client.pool_manager.request)

    def project(self, number: int) -> Found:
        project = self._project(number)
        return Found(project.id, project.name)

    def projects(self, title: str) -> list[Found]:
        return [Found(project.id, project.name) for project in self._listed("projects", name=title)]

    def create(self, title: str, folder: Path) -> Found:
        with self._in_words():
            project = self._client.projects.create({"name": title, "labels": json.loads((folder / "labels.json").read_bytes())})
            return Found(project.id, project.name)

    def require_labels(self, number: int, bundle: Bundle, folder: Path) -> None:
        there = {label.name for label in self._listed("labels", project_id=number)}
        if missing := [f"label {name!r}" for name in bundle.labels if name not in there]:
            what = f"it lacks what the bundle draws with\n{first(missing)}"
            fix = f"Add it there, as in {folder / 'labels.json'}; or name another project: `--to URL`."
            raise DatasetError(what, where=f"{self.url}/projects/{number}", fix=fix)

    def questions(self, number: int) -> set[str]:
        """The questions that a project has, after what is still on its way into it from a call that was killed."""
        for request in self._listed("requests", project_id=number, action="import"):
            if request.status.value in ("queued", "started"):
                with self._in_words():
                    self._client.wait_for_completion(request.id)
        asked = set[str]()
        for task in self._listed("tasks", project_id=number):
            if task.get("size"):  # else a person made it, and there are no images in it yet
                with self._in_words():
                    meta, _ = self._client.api_client.tasks_api.retrieve_data_meta(task.id)
                asked |= {found[1] for frame in meta.frames if (found := cvat.QUESTION.search(frame.name))}
        return asked

    def add(self, number: int, batches: Iterable[Sequence[Entry]], bundle: Bundle, folder: Path) -> None:
        project, root = self._project(number), root_of(folder / "annotations.xml")
        assert root is not None
        with TemporaryDirectory(prefix=".sent-", dir=FOLDER) as temporary:
            file = Path(temporary) / "dataset.zip"
            for batch in batches:
                names = {entry.name: cvat.named(entry.name, bundle.question(entry)) for entry in batch}
                rank = batch[0].name.partition("_")[0]
                cvat.write_dataset(file, root, names, folder / "images", f"{bundle.name[:MAX_NAME]}-{rank}")
                with self._in_words():
                    project.import_dataset(FORMAT, file)

    def submitted(self, number: int) -> Iterator[tuple[str, Any]]:
        """The images of the jobs that are completed."""
        labels = {label.id: label.name for label in self._listed("labels", project_id=number)}
        jobs = self._client.api_client.jobs_api
        for job in self._listed("jobs", project_id=number, state="completed", type="annotation"):
            with self._in_words():
                meta, _ = jobs.retrieve_data_meta(job.id)
                drawn = json.loads(jobs.retrieve_annotations(job.id, _parse_response=False)[1].data)
            images = cvat.images(drawn, labels)
            for i, frame in enumerate(meta.frames, job.start_frame):
                if (found := cvat.QUESTION.search(frame.name)) and i not in meta.deleted_frames:
                    yield found[1], images.get(i, [])

    def export(self, answered: Sequence[tuple[Entry, Any]], bundle: Bundle) -> bytes:
        return cvat.encode([(entry.address, entry.size_wh, shapes) for entry, shapes in answered])

    def _project(self, number: int) -> Any:
        with self._in_words():
            return self._client.projects.retrieve(number)

    def _listed(self, what: str, **query: Any) -> list[Any]:
        """Everything of a list, of which the server gives pages."""
        from cvat_sdk.core.helpers import get_paginated_collection

        with self._in_words():
            return list(get_paginated_collection(getattr(self._client.api_client, f"{what}_api").list_endpoint, **query))

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn what goes wrong into an error that says what to do."""
        from cvat_sdk.api_client.exceptions import ApiException, OpenApiException
        from cvat_sdk.core.exceptions import BackgroundRequestException, CvatSdkException

        try:
            yield
        except BackgroundRequestException as error:
            raise WorkspaceError(f"CVAT could not import it: {error}", where=self.url, fix=LOOK_AT_LOG) from None
        except ApiException as error:
            if error.status in range(300, 400):
                target = urljoin(self.url, error.headers.get("location", ""))
                raise WorkspaceError(f"it leads on to {target}", where=self.url, fix=DETOUR) from None
            steps = {**STEPS, 401: WHERE_TOKENS_ARE}
            raise refusals.refusal("CVAT", self.url, error.status, error.reason, _json(error.body), steps) from None
        except (OpenApiException, CvatSdkException, ValueError, TypeError, KeyError) as error:
            what = f"no CVAT that cvat-sdk knows answers at this address: {str(error)[:MAX_WORDS]}"
            raise WorkspaceError(what, where=self.url, fix=NO_SERVER) from None
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            raise refusals.unreachable("CVAT", self.url, cause, is_unsafe=isinstance(cause, SSLError)) from None


def _request(request: Any, method: str, url: str, **options: Any) -> Any:
    """A request of cvat-sdk, which would wait for an answer for ever, and carry the token along a detour."""
    return request(method, url, **options | {"timeout": Timeout(*TIMEOUT_S), "redirect": False})


def _json(body: Any) -> Any:
    """The content of an answer; None where that is a page."""
    try:
        return json.loads(body)
    except (TypeError, ValueError):
        return None
