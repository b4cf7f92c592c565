"""A bundle in a project of CVAT, through cvat-sdk: what is sent when, what comes back, and refusals that say what to do.

The server is a mock, see tests/cvat_server.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util import Retry

pytest.importorskip("cvat_sdk", reason="needs the extra [cvat]")

from tasks.annotate import __main__ as program
from tasks.annotate import project
from tasks.annotate.servers import cvat, refusals
from tasks.annotate.servers.cvat import VARIABLE
from tasks.common.errors import DatasetError, PipelineError, WorkspaceError
from tests.api import free_port
from tests.cvat_server import CvatServer, cvat_server
from tests.labelling import LINES, ROOT, TOOLS, answer, ask, doubt, every_byte, make_dataset, review, values

TOKEN = "abcdefgh.0123456789"
DOUBTED = [doubt(0, 1), doubt(1, 2), doubt(0, None, "overlooked", "val", "60 40 80 60")]


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CvatServer]:
    """A server, and a dataset with three doubted images."""
    make_dataset("polygons")
    review(DOUBTED)
    monkeypatch.setenv(VARIABLE, TOKEN)
    monkeypatch.setattr(cvat, "POLL_S", 0.01)
    monkeypatch.setattr(refusals, "RETRIES", Retry(0, raise_on_status=False))
    with cvat_server(TOKEN) as found:
        yield found


def send(here: CvatServer, bundle: Path | None = None, to: str = "") -> Path:
    bundle = bundle or ask("cvat")
    project.send(bundle, project.find(to or here.url, "detector", "cvat"))
    return bundle


def take(source: object) -> None:
    project.take(str(source), values(), split=None)


def names(here: CvatServer) -> list[str]:
    """The images there by their names in the bundle, of which each begins with its rank and has its question at the end."""
    return [name[:4] for name in here.frames]


def test_a_bundle_becomes_a_project_named_after_the_detector_and_a_second_one_extends_it(here: CvatServer) -> None:
    first = send(here)
    review([doubt(2, 1), doubt(0, 1)])
    second = send(here)

    assert [each["name"] for each in here.projects] == ["detector"]
    assert [task["name"] for task in here.tasks] == [f"{first.name}-0001", f"{second.name}-0001"]
    assert names(here) == ["0001", "0002", "0003", "0001"]
    assert [label["name"] for label in here.labels] == ["nut", "bolt", "washer", "? look here"]
    assert {label["attributes"][0]["name"] for label in here.labels} == {"note"}
    assert here.images[here.frames[1]] == (ROOT / "images/train/1.jpg").read_bytes()
    drawn = [(shape["frame"], shape["type"], shape["attributes"][0]["value"]) for shape in here.tasks[0]["shapes"]]
    assert (0, "polygon", "line 1: model sees no nut here") in drawn
    assert (2, "rectangle", "model sees a bolt without a label (0.90)") in drawn
    there = project.Project.of_bundle(second)
    assert there
    assert there.url == f"{here.url}/projects/1"


@pytest.mark.parametrize("kind", LINES)
def test_answers_without_an_edit_change_no_byte_and_a_moved_object_changes_its_line(here: CvatServer, kind: str) -> None:
    make_dataset(kind)
    bundle = send(here)
    before = every_byte(ROOT)
    shapes = here.finish()["shapes"]

    take(bundle)

    assert every_byte(ROOT) == before
    moved = next(shape for shape in shapes if shape["frame"] == 0)
    moved["points"] = [value + 5 * (i % 2 == 0) for i, value in enumerate(moved["points"])]

    take(bundle)

    assert {name for name, content in every_byte(ROOT).items() if content != before[name]} == {f"{ROOT}/labels/train/0.txt"}
    assert (bundle / "changes.csv").read_text().splitlines()[1].startswith("images/train/0.jpg,train,1,moved,nut,nut,")


def test_only_the_images_of_finished_jobs_that_are_not_removed_come_back(
    here: CvatServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(project, "BATCH", 2)
    bundle = send(here)

    take(bundle)
    here.finish()["removed"] = [0]
    take(bundle)

    lines = [record.message for record in caplog.records]
    assert f"answers    none of 3 of bundle {bundle.name} is submitted: {here.url}/projects/1" in lines
    assert lines[-1].startswith(f"answers    1 of 3 images of bundle {bundle.name}: CVAT for images (answers.xml)")


def test_an_answer_counts_for_every_bundle_that_asks_the_question(here: CvatServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bundles = [send(here), send(here)]
    here.finish()

    take(f"{here.url}/projects/1")
    take(f"{here.url}/projects/1?page=3")

    assert names(here) == ["0001", "0002", "0003"]
    assert [(bundle / "answers.xml").is_file() for bundle in bundles] == [True, True]
    assert [record.message.split()[-4:] for record in caplog.records[-2:]] == [["new", "for", "bundle", b.name] for b in bundles]


@pytest.mark.parametrize("at", [1, 3, 4, 5])
def test_a_server_that_stops_half_way_is_told_and_another_call_goes_on(
    here: CvatServer, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "BATCH", 2)
    here.refuse = {at: 500}
    bundle = ask("cvat")

    with pytest.raises(WorkspaceError, match="refuses: 500") as error:
        send(here, bundle)
    half_way = names(here)
    send(here, bundle)

    assert error.value.what.endswith("no room")
    assert error.value.fix.endswith(f"Then `python -m tasks.annotate send {bundle} --to {here.url}` goes on where this stopped.")
    assert half_way == ([] if at < 5 else ["0001", "0002"])
    assert (names(here), len(here.projects)) == (["0001", "0002", "0003"], 1)


def test_a_task_of_a_person_without_images_is_left_alone(here: CvatServer) -> None:
    bundle = send(here)
    here.tasks.append({"id": 2, "project": 1, "name": "by hand", "frames": [], "state": "new"})

    send(here, bundle)

    assert len(here.tasks) == 2


def test_a_call_after_a_kill_waits_for_what_the_server_has_and_sends_nothing_twice(
    here: CvatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    bundle = ask("cvat")
    with monkeypatch.context() as patch:
        patch.setattr("cvat_sdk.core.client.Client.wait_for_completion", killed)
        with pytest.raises(KeyboardInterrupt):
            send(here, bundle)
    assert names(here) == []
    here.polls = 3

    send(here, bundle)

    assert names(here) == ["0001", "0002", "0003"]


def test_what_a_dataset_cannot_hold_is_refused_and_changes_nothing(here: CvatServer) -> None:
    bundle = send(here)
    task = here.finish()
    task["shapes"][0]["type"] = "ellipse"
    task["tracks"] = [{"frame": 1, "label_id": 1, "shapes": []}]
    before = every_byte(ROOT)

    with pytest.raises(DatasetError, match="neither box nor polygon: 1 ellipse, 1 track"):
        take(bundle)

    assert every_byte(ROOT) == before


@pytest.mark.parametrize("export_as", ["cvat", "coco"])
def test_an_export_by_hand_of_a_project_that_was_sent_is_taken_too(here: CvatServer, export_as: str) -> None:
    bundle = send(here)
    export = TOOLS[export_as](bundle if export_as == "cvat" else ask("coco"))
    for i, name in enumerate(here.frames):
        if export_as == "cvat":
            export.images[i].set("name", name)
        else:
            export.content["images"][i]["file_name"] = name

    answer(export.write(Path("by-hand")), named=bundle)

    assert (bundle / "changes.csv").read_text().count("confirmed") == 3


def no_token(_: CvatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv(VARIABLE)
    return ""


def wrong_token(_: CvatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(VARIABLE, "wrong-token")
    return ""


def no_package(_: CvatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(__import__("sys").modules, "cvat_sdk.core.client", None)
    return ""


def two_projects(here: CvatServer, _: pytest.MonkeyPatch) -> str:
    for _number in range(2):
        here.add_project("detector", [])
    return ""


def few_labels(here: CvatServer, _: pytest.MonkeyPatch) -> str:
    here.add_project("detector", [{"name": "nut"}, {"name": "bolt"}])
    return ""


def broken(here: CvatServer, _: pytest.MonkeyPatch) -> str:
    here.failure = "no space left"
    return ""


def detour(here: CvatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(
        "tests.cvat_server.Handler.do_GET", lambda self: self.reply(302, {}, {"Location": "https://login.example/"})
    )
    return ""


def page(here: CvatServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("tests.cvat_server.Handler.do_GET", lambda self: self.reply(200, "a page", {"Content-Type": "text/html"}))
    return ""


REFUSALS: dict[str, tuple[Callable[..., str], str, str]] = {
    "no token": (no_token, "there is no token for CVAT", f"into the variable {VARIABLE}"),
    "a wrong token": (wrong_token, "refuses: 401 Unauthorized\nInvalid token.", "`Profile`, `Security`"),
    "no package": (no_package, "the package cvat-sdk is missing", "pip install 'yolo-ratchet[cvat]'"),
    "no server": (lambda *_: f"http://127.0.0.1:{free_port()}", "CVAT does not answer: Failed to", "Start it"),
    "not safe": (lambda here, _: here.url.replace("http", "https"), "no safe connection: ", "Correct http or https"),
    "no project": (lambda here, _: f"{here.url}/projects/9", "refuses: 404 Not Found\nNo Project", "a project that is there"),
    "two projects": (two_projects, "2 projects are called 'detector'", "Name one of them"),
    "labels that lack": (few_labels, "label 'washer'\nlabel '? look here'", "labels.json; or name another project"),
    "a failed import": (broken, "CVAT could not import it: no space left", "goes on where this stopped"),
    "a detour": (detour, "it leads on to https://login.example/", "without that detour"),
    "a page": (page, "no CVAT that cvat-sdk knows answers at this address", "--to http://host:8080"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do_and_sends_nothing(here: CvatServer, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare, what, fix = REFUSALS[case]
    to = prepare(here, monkeypatch)
    bundle = ask("cvat")

    with pytest.raises(PipelineError) as error:
        send(here, bundle, to)

    assert what in error.value.what
    assert fix in error.value.fix
    assert "wrong-token" not in str(error.value)
    assert here.tasks == []


def test_images_by_their_place_go_in_by_hand(here: CvatServer) -> None:
    with pytest.raises(DatasetError, match="images go straight into CVAT as copies, not by path"):
        send(here, ask("cvat", images="path"))
    with pytest.raises(DatasetError, match="it is a bundle for coco"):
        send(here, ask("coco"))


def test_a_proxy_of_the_environment_is_asked_unless_it_says_no(here: CvatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", here.url)

    assert project.find("http://cvat.invalid:8080", "detector", "cvat").project is None
    monkeypatch.setenv("no_proxy", "cvat.invalid")
    with pytest.raises(WorkspaceError, match="CVAT does not answer: Failed to resolve"):
        project.find("http://cvat.invalid:8080", "detector", "cvat")


def test_asking_and_taking_from_the_command_line(here: CvatServer, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("tasks.common.root.enter", Path.cwd)
    dataset = ("--set", f"data.path={ROOT}")

    program.main(["ask", "--what", "doubts", "--tool", "cvat", "--to", here.url, *dataset])
    (bundle,) = Path("runs/annotate").glob("doubts-*")
    program.main(["send", str(bundle), "--to", here.url, *dataset])
    here.finish()
    program.main(["take", str(bundle), *dataset])
    for images in (["--tool", "cvat", "--images", "path"], ["--tool", "coco"]):
        with pytest.raises(SystemExit):
            program.main(["ask", "--what", "doubts", "--to", here.url, *images, *dataset])

    assert names(here) == ["0001", "0002", "0003"]
    assert (bundle / "answers.xml").is_file()
    assert TOKEN not in "".join(capsys.readouterr())
    assert len(list(Path("runs/annotate").glob("doubts-*"))) == 1
