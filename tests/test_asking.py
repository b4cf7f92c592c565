"""What the Prefect UI shows of the lists: the first images with their reasons, and the command that goes on."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from flows import annotate, asking
from tasks.annotate import project
from tasks.annotate.servers.labelstudio_api import VARIABLE
from tasks.annotate.types import Choice
from tests.labelling import ROOT, ask, doubt, make_dataset, review, values
from tests.studio import studio

CHOICES = [Choice(Path(f"{i}.jpg"), f"{i}.jpg", "train", f"line {i}: model sees no nut | here", 0.5, "ab") for i in range(30)]


@pytest.fixture
def shown(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A dataset with two doubts; {key: text} of the artifacts that a flow creates."""
    artifacts: dict[str, str] = {}

    def keep(text: str, key: str, description: str) -> None:
        assert description
        artifacts[key] = text

    for module in (asking, annotate):
        monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("tasks.flow"))
    monkeypatch.setattr(asking, "create_markdown_artifact", keep)
    make_dataset()
    review([doubt(0, 1), doubt(1, 2)])
    return artifacts


def test_a_list_shows_the_first_images_with_reasons_and_how_to_ask() -> None:
    text = asking.page("doubts", CHOICES, "detector")

    assert text.startswith("# What to look at next: doubts\n\n30 images. The first 20 are below. Hand them")
    assert "\npython -m tasks.annotate ask --what doubts --tool label-studio\n" in text
    assert text.count("model sees no nut \\| here") == asking.MAX_ROWS
    assert "first 20" not in asking.page("doubts", CHOICES[:20], "detector")


def test_a_flow_ends_with_the_list_where_there_is_one(shown: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asking.publish("doubts", values())

    assert list(shown) == ["detector-next-doubts"]
    assert "images/train/1.jpg" in shown["detector-next-doubts"]

    shown.clear()
    review([])
    asking.publish("doubts", values())
    review([doubt(0, 1)], enabled=False)
    asking.publish("doubts", values())
    (ROOT / "data.yaml").write_text("\x00")
    asking.publish("doubts", values())

    assert shown == {}
    assert "no list of what to look at next: review.enabled: the review is switched off" in caplog.text


def test_an_error_of_ours_does_not_stop_a_run(
    shown: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tasks.annotate.choose.doubts", lambda *_: 1 / 0)

    asking.publish("doubts", values())

    assert "what to look at next is not shown in the UI: ZeroDivisionError: division by zero" in caplog.text


def test_a_bundle_in_a_project_names_both_and_one_without_its_folder(shown: dict[str, str], monkeypatch: Any) -> None:
    monkeypatch.setenv(VARIABLE, "token")
    bundle = ask("label-studio")

    without = asking.publish_bundle(bundle, "detector")
    text = shown["detector-asked-doubts"]
    with studio("token") as server:
        project.send(bundle, project.find(server.url, "detector", "label-studio"))
    with_project = asking.publish_bundle(bundle, "detector")

    assert without == f"2 images in {bundle}"
    assert f"The folder is `{bundle}`; docs/annotate.md says how it comes into label-studio." in text
    assert f"Take them, in `{Path.cwd()}`, with\n\n```\npython -m tasks.annotate take EXPORT\n```" in text
    assert with_project == f"2 images in {server.url}/projects/1/data"
    assert f"[detector]({server.url}/projects/1/data)" in shown["detector-asked-doubts"]
    assert f"\npython -m tasks.annotate take {bundle}\n" in shown["detector-asked-doubts"]


def test_the_worker_names_the_server_of_each_tool(shown: dict[str, str], monkeypatch: Any) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(annotate, "run_module", lambda *words, on_line: calls.append(words))
    monkeypatch.setattr(asking, "publish_bundle", lambda *_: "")
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://studio.invalid")
    monkeypatch.setenv("CVAT_URL", "http://cvat.invalid")

    for tool in ("label-studio", "cvat", "coco"):
        annotate.annotate.fn(tool=tool)

    assert [words[words.index("--to") + 1] if "--to" in words else None for words in calls] == [
        *("http://studio.invalid", "http://cvat.invalid"),
        None,
    ]


@pytest.mark.slow
def test_the_flow_makes_a_bundle_and_sends_it_where_the_worker_says(shown: dict[str, str], monkeypatch: Any) -> None:
    settings = Path("params.yaml").read_text().replace("path: data/sample", f"path: {ROOT}", 1)
    Path("params.yaml").write_text(settings)
    monkeypatch.setenv(VARIABLE, "token")
    with studio("token") as server:
        monkeypatch.setenv(annotate.SERVERS["label-studio"], server.url)

        sent = annotate.annotate.fn(num=1)
        monkeypatch.setenv("LABEL_STUDIO_URL", "http://nowhere.invalid")
        by_hand = annotate.annotate.fn(tool="coco")

    assert sent.name == by_hand.name == "Asked"
    assert sent.message == f"doubts: 1 image in {server.url}/projects/1/data"
    assert by_hand.message.startswith("doubts: 2 images in runs/annotate/doubts-")
    assert [task["data"]["rank"] for task in server.tasks] == [1]
    assert json.loads(next(Path("runs/annotate").glob("*-2/bundle.json")).read_text())["tool"] == "coco"
    assert "take EXPORT" in shown["detector-asked-doubts"]
