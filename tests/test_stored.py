"""The files that others rely on: what is written is read back, older ones too; anything else is refused in one block."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.common.errors import PipelineError
from tasks.common.manifest import AcceptedSplit, Manifest
from tasks.common.stored import VERIFY, Stored
from tasks.measure.decision import Decision, Verdict
from tasks.measure.errors import Confusion, Counts, Errors, Worsened
from tasks.measure.exported import Exported, ExportedFormat, KeptFile, Measures
from tasks.measure.files import Scores, encode
from tests.evidence_data import DECISION
from tests.gate_data import random_evaluation

NOTHING: dict[str, Any] = {"metadata_sha256": None, "quarantined": {}}
SPLITS = {"train": AcceptedSplit(8, 20, "1" * 64), "val": AcceptedSplit(2, 4, "2" * 64)}
FORMATS = {
    "onnx": ExportedFormat(status="kept", changes=DECISION.metrics, bytes=9, files={"onnx/model.onnx": KeptFile(9, "3" * 64)}),
    "engine": ExportedFormat(status="skipped", reasons=("tensorrt is not installed",)),
}
COUNTS = Counts(3, 1, 2)
PT = Measures(metrics={"box.mAP50": 0.5}, bytes=12)
FILES: dict[str, Stored] = {
    "dataset": Manifest(path="data/sample", task="segment", names=("bolt", "nut"), splits=SPLITS, sha256="4" * 64, **NOTHING),
    "evaluation": encode(random_evaluation(num_images=4))[0],
    "golden": encode(replace(random_evaluation(num_images=4), golden=random_evaluation(num_images=3)))[0],
    "decision": DECISION,
    "export": Exported(verdict=Verdict.PROMOTE, exported=True, reason="", formats=FORMATS, card={"imgsz": 96}, pt=PT),
    "errors": Errors(
        **{"before": COUNTS, "after": COUNTS, "images": 9, "improved": 2, "grown": (Confusion("nut", "washer", 27, 61),)},
        worsened=(Worsened("images/test/0.jpg", COUNTS, COUNTS),),
    ),
    "no export": Exported(verdict=Verdict.REJECT, exported=False, reason="the gate rejected the candidate", formats={}),
}
files = pytest.mark.parametrize("stored", FILES.values(), ids=FILES)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(read: Callable[[], object]) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        read()
    return caught.value


@files
def test_what_is_written_is_read_back_and_has_a_format(stored: Stored) -> None:
    stored.write()

    assert json.loads(stored.FILE.read_text())["format"] == stored.FORMAT
    assert type(stored).read() == type(stored).parse(stored.encode(), "detector@v1.0.0") == stored


@files
def test_a_file_of_an_earlier_release_has_no_format_and_is_read(stored: Stored) -> None:
    content = json.loads(stored.encode())
    del content["format"]
    stored.FILE.parent.mkdir()
    stored.FILE.write_text(json.dumps(content))

    assert type(stored).read() == stored


@files
@pytest.mark.parametrize("number", [2, "2", None])
def test_a_file_of_a_later_format_is_refused_with_the_advice_to_upgrade(stored: Stored, number: object) -> None:
    stored.FILE.parent.mkdir()
    stored.FILE.write_text(json.dumps(json.loads(stored.encode()) | {"format": number}))

    error = refused(type(stored).read)

    assert error.what == f"format {number}, which a later release of Ratchet wrote; this one reads up to 1"
    assert (error.where, error.fix) == (str(stored.FILE), "Upgrade Ratchet.")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not JSON: Expecting value"),
        (b'{"verdict": "PROM', "not JSON: Unterminated string"),
        (b"\xff\xfe", "not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "not JSON: maximum recursion depth"),
        (b"[]", "expected the result of stage "),
        (b"null", "expected the result of stage "),
        (b"{}", "is missing; "),
    ],
    ids=["empty", "half", "other bytes", "deep", "a list", "null", "nothing"],
)
@files
def test_another_file_is_refused_with_its_place_and_the_next_step(stored: Stored, content: bytes, what: str) -> None:
    stored.FILE.parent.mkdir()
    stored.FILE.write_bytes(content)

    here = refused(type(stored).read)
    there = refused(lambda: type(stored).parse(content, "detector@v1.0.0"))

    assert what in here.what
    assert (here.where, here.fix) == (str(stored.FILE), f"Run `dvc repro {stored.STAGE}`.")
    assert (there.what, there.where, there.fix) == (here.what, f"{stored.FILE} of detector@v1.0.0", VERIFY)


@pytest.mark.parametrize(
    ("kind", "path", "value", "what"),
    [
        (Manifest, ("splits", "train", "images"), "many", "`splits.train.images`: input should be a valid integer"),
        (Manifest, ("names",), "bolt", "`names`: input should be a valid tuple, got 'bolt'"),
        (Scores, ("split",), {"name": "test"}, "`split.sha256` is missing; 1 more key is missing or wrong"),
        (Decision, ("verdict",), "MAYBE", "`verdict`: input should be 'PROMOTE', 'INCONCLUSIVE' or 'REJECT', got 'MAYBE'"),
        (
            Exported,
            ("formats", "onnx", "status"),
            "lost",
            "`formats.onnx.status`: input should be 'kept', 'refused'",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_was_expected(
    kind: type[Stored], path: tuple[str, ...], value: object, what: str
) -> None:
    content = json.loads(next(stored for stored in FILES.values() if isinstance(stored, kind)).encode())
    *heads, last = path
    inner: Any = content
    for head in heads:
        inner = inner[head]
    inner[last] = value

    assert refused(lambda: kind.of(content)).what.startswith(what)


def test_a_registered_decision_of_a_release_that_named_no_unit_is_read() -> None:
    content = json.loads(DECISION.encode())
    for guard in content["guards"]:
        del guard["unit"]

    assert {guard.unit for guard in Decision.of(content).guards} == {"AP"}


def test_artifacts_and_card_are_named_with_their_hashes_where_an_artifact_was_kept() -> None:
    exported = FILES["export"]
    assert isinstance(exported, Exported)
    card = {"card.json": KeptFile(2, "5" * 64)}

    assert replace(exported, card_files=card).sha256s == {"onnx/model.onnx": "3" * 64, "card.json": "5" * 64}
    assert replace(exported, card_files=card, formats={}).sha256s == {}
