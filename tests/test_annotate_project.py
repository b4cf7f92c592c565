"""A bundle in a project of Label Studio: what is sent when, what comes back, and refusals that say what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util import Retry

from tasks.annotate import __main__ as program
from tasks.annotate import project
from tasks.annotate.servers import refusals
from tasks.annotate.servers.labelstudio_api import VARIABLE
from tasks.annotate.servers.types import Address
from tasks.common.errors import DatasetError, PipelineError, WorkspaceError
from tests.api import free_port
from tests.labelling import ROOT, LabelStudio, ask, doubt, every_byte, make_dataset, review, values
from tests.studio import Studio, studio

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "aaaa.bbbb.cccc"


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A server, and a dataset with three doubted images."""
    make_dataset("polygons")
    review([doubt(0, 1), doubt(1, 2), doubt(0, None, "overlooked", "val", "60 40 80 60")])
    monkeypatch.setenv(VARIABLE, TOKEN)
    monkeypatch.setattr(refusals, "RETRIES", Retry(0, raise_on_status=False))
    with studio(TOKEN) as found:
        yield found


def send(here: Studio, bundle: Path | None = None, to: str = "") -> Path:
    bundle = bundle or ask("label-studio")
    project.send(bundle, project.find(to or here.url, "detector", "label-studio"))
    return bundle


def take(source: object) -> None:
    project.take(str(source), values(), split=None)


def ranks(here: Studio) -> list[int]:
    return [task["data"]["rank"] for task in here.tasks]


def test_a_bundle_becomes_a_project_named_after_the_detector_and_a_second_one_extends_it(here: Studio) -> None:
    first = send(here)
    review([doubt(2, 1), doubt(0, 1)])
    second = send(here)

    assert [p["title"] for p in here.projects] == ["detector"]
    assert [(task["data"]["bundle"], task["data"]["rank"]) for task in here.tasks] == [
        *((first.name, rank) for rank in (1, 2, 3)),
        (second.name, 1),
    ]
    assert [task["data"]["image"].startswith("/data/upload/1/0a1b2c3d-000") for task in here.tasks] == [True] * 4
    assert {p["model_version"] for task in here.tasks for p in task["predictions"]} == {"Ratchet"}
    there = project.Project.of_bundle(second)
    assert there
    assert there.url == f"{here.url}/projects/1/data"


def test_only_what_was_submitted_comes_back_and_only_that_line_changes(here: Studio) -> None:
    bundle = send(here)
    before = every_byte(ROOT)
    here.submit(1)
    here.submit(2, was_cancelled=True)
    LabelStudio(bundle).move(here.tasks[0]["annotations"][0]["result"][2], 5)

    take(bundle)

    assert {name for name, content in every_byte(ROOT).items() if content != before[name]} == {f"{ROOT}/labels/train/0.txt"}
    assert (bundle / "changes.csv").read_text().splitlines()[1].startswith("images/train/0.jpg,train,4,moved,washer,washer,")


def test_an_answer_counts_for_every_bundle_that_asks_the_question(here: Studio, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bundles = [send(here), send(here)]
    here.submit(1)

    take(f"{here.url}/projects/1")
    take(f"{here.url}/projects/1/data?tab=3")

    assert [(bundle / "answers.json").is_file() for bundle in bundles] == [True, True]
    assert [record.message.split()[-4:] for record in caplog.records[-2:]] == [["new", "for", "bundle", b.name] for b in bundles]


def test_nothing_submitted_is_no_error_and_changes_nothing(here: Studio, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bundle = send(here)
    here.submit(1, was_cancelled=True)
    before = every_byte(Path())

    take(bundle)

    assert caplog.records[-1].message.startswith(f"answers    none of 3 of bundle {bundle.name} is submitted: {here.url}")
    assert every_byte(Path()) == before


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_server_that_stops_half_way_is_told_and_another_call_goes_on(
    here: Studio, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "BATCH", 2)
    here.refuse = {at: 500}
    bundle = ask("label-studio")

    with pytest.raises(WorkspaceError, match="refuses: 500") as error:
        send(here, bundle)
    half_way = ranks(here)
    send(here, bundle)

    assert error.value.what.endswith("no room")
    assert error.value.fix.endswith(f"Then `python -m tasks.annotate send {bundle} --to {here.url}` goes on where this stopped.")
    assert half_way == ([] if at < 4 else [1, 2])
    assert (ranks(here), len(here.projects)) == ([1, 2, 3], 1)


def test_a_personal_access_token_is_exchanged_and_goes_nowhere_else(here: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    here.token = PERSONAL
    monkeypatch.setenv(VARIABLE, PERSONAL)

    send(here)

    assert set(here.logins) == {"Bearer short"}


def no_token(_: Studio, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv(VARIABLE)
    return ""


def wrong_token(_: Studio, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, "wrong-token")
    return ""


def wrong_personal_token(_: Studio, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, "wrong.token.x")
    return ""


def no_server(_: Studio, __: pytest.MonkeyPatch) -> str:
    return f"http://127.0.0.1:{free_port()}"


def two_projects(here: Studio, _: pytest.MonkeyPatch) -> str:
    for _number in range(2):
        here.add_project("detector", "<View/>")
    return ""


def no_outlines(here: Studio, _: pytest.MonkeyPatch) -> str:
    labels = "".join(f'<Label value="{name}"/>' for name in ("nut", "bolt"))
    here.add_project("detector", f'<View><RectangleLabels name="box" toName="image">{labels}</RectangleLabels></View>')
    return ""


REFUSALS: dict[str, tuple[Any, str, str]] = {
    "no token": (no_token, "there is no token for Label Studio", f"into the environment variable {VARIABLE}"),
    "a wrong token": (wrong_token, "refuses: 401 Unauthorized\nInvalid token.", "`Account & Settings`"),
    "a wrong personal token": (wrong_personal_token, "refuses: 401 Unauthorized\nToken is invalid", "`Account & Settings`"),
    "no server": (no_server, "does not answer: Failed to establish a new connection", "Start it, or correct the address"),
    "no address": (lambda *_: "label.example", "this is no address of a server", "--to http://host:8080"),
    "a login in the address": (lambda *_: "http://me:secret@host", "the address holds a login", "Leave it out"),
    "two projects": (two_projects, "2 projects are called 'detector'", "Name one of them"),
    "classes that lack": (
        no_outlines,
        "<PolygonLabels name='polygon' toName='image'>\nclass 'washer' of 'box'\nclass '? look here' of 'box'",
        "config.xml; or name another project",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do_and_sends_nothing(here: Studio, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare, what, fix = REFUSALS[case]
    to = prepare(here, monkeypatch)
    bundle = ask("label-studio")

    with pytest.raises(PipelineError) as error:
        send(here, bundle, to)

    assert what in error.value.what
    assert fix in error.value.fix
    assert not {"secret", "wrong-token", "wrong.token.x"} & set(str(error.value).replace("@", " ").replace(":", " ").split())
    assert (here.tasks, here.files) == ([], [])
    assert not (bundle / project.Project.FILE).exists()


def test_a_page_and_a_detour_are_no_label_studio(here: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(self: Any) -> None:
        self.send_response(302 if here.refuse else 200)
        self.send_header("Location", "https://login.example/")
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    monkeypatch.setattr("tests.studio.Handler.do_GET", page)
    with pytest.raises(WorkspaceError, match="no Label Studio answers at this address"):
        project.find(here.url, "detector", "label-studio")
    here.refuse = {1: 302}
    with pytest.raises(WorkspaceError, match=r"it leads on to https://login\.example/"):
        project.find(here.url, "detector", "label-studio")


def test_a_bundle_goes_to_one_project_alone(here: Studio) -> None:
    bundle = send(here)

    with pytest.raises(DatasetError, match="it was sent to"):
        project.send(bundle, project.find(here.url, "another detector", "label-studio"))
    with pytest.raises(DatasetError, match="it is a bundle for cvat"):
        send(here, ask("cvat"))


@pytest.mark.parametrize("file", ["tasks.json", "images"])
def test_a_bundle_that_was_changed_is_not_sent(here: Studio, file: str) -> None:
    bundle = ask("label-studio")
    path = bundle / file if file != "images" else next((bundle / file).iterdir())
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(DatasetError, match="files changed, or are gone, since it was written") as error:
        send(here, bundle)

    assert path.name in error.value.what
    assert here.projects == []


def test_a_project_that_no_bundle_was_sent_to_has_no_answers(here: Studio) -> None:
    send(here)

    with pytest.raises(DatasetError, match="no bundle below runs/annotate was sent there"):
        take(f"{here.url}/projects/7")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://host:8080/", Address("http://host:8080")),
        ("http://host:8080/projects/", Address("http://host:8080")),
        ("https://host/projects/12/data?tab=3&task=4", Address("https://host", 12)),
        ("https://host/label-studio/projects/12", Address("https://host/label-studio", 12)),
    ],
)
def test_an_address_is_read_as_a_browser_shows_it(text: str, address: Address) -> None:
    assert Address.of(text) == address


def test_asking_and_taking_from_the_command_line(here: Studio, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("tasks.common.root.enter", Path.cwd)
    dataset = ("--set", f"data.path={ROOT}")

    program.main(["ask", "--what", "doubts", "--tool", "label-studio", "--to", here.url, *dataset])
    (bundle,) = Path("runs/annotate").glob("doubts-*")
    program.main(["send", str(bundle), "--to", here.url, *dataset])
    here.submit(1)
    program.main(["take", str(bundle), *dataset])
    with pytest.raises(SystemExit):
        program.main(["ask", "--what", "doubts", "--tool", "cvat", "--to", here.url, *dataset])

    assert ranks(here) == [1, 2, 3]
    assert (bundle / "answers.json").is_file()
    assert TOKEN not in "".join(capsys.readouterr())
    assert json.loads((bundle / project.Project.FILE).read_text())["server"] == here.url
