"""What the approver reads: complete, bound to its digest, and safe to render."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from flows.question import MAX_IMAGES, MAX_ROWS, page
from tasks.measure.decision import GoldenSet, Level, Reign, Slice, Verdict
from tasks.measure.errors import Confusion, Counts, Errors, Exchanged, Lost, Worsened
from tasks.measure.exported import Exported, ExportedFormat
from tasks.measure.intervals import Interval
from tests.evidence_data import DECISION, EVIDENCE
from tests.registry_data import RECORD

CHANGE = replace(DECISION.metrics["box.mAP50"], gain=-0.001, gain_interval=Interval(-0.002, 0.0))
FORMATS = {
    "onnx": ExportedFormat(status="kept", changes={"box.mAP50": CHANGE}),
    "engine": ExportedFormat(status="skipped", reasons=("tensorrt is not | installed",)),
}
EXPORTED = Exported(verdict=Verdict.PROMOTE, exported=True, reason="", formats=FORMATS)
OTHER_VERSION = replace(EVIDENCE.version, version="v1.2.0")
CHANGES: dict[str, dict[str, Any]] = {
    "another version": {"version": OTHER_VERSION},
    "another commit under the same tag": {"version": replace(EVIDENCE.version, commit="d" * 40)},
    "a newer version": {"newest": "v1.2.0"},
    "another champion": {"champion": "v0.9.0"},
    "no champion": {"champion": None},
    "another decision": {"decision": replace(DECISION, threshold=0.02)},
    "another report": {"report_sha256": "0" * 64},
}


def unpadded(text: str) -> str:
    """`text` with one space for each run of them, as its tables would be without aligned columns."""
    return re.sub(" +", " ", text)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_changes_with(change: dict[str, Any]) -> None:
    assert replace(EVIDENCE, **change).digest != EVIDENCE.digest


def test_the_same_evidence_has_the_same_digest() -> None:
    assert replace(EVIDENCE).digest == EVIDENCE.digest


def test_the_page_shows_verdict_metrics_guards_slices_and_hash() -> None:
    text = unpadded(page(EVIDENCE))

    assert "## Shall `detector@v1.1.0` go into production?" in text
    assert "**PROMOTE**: box.mAP50" in text
    assert "In production now: `detector@v1.0.0`." in text
    row = re.search(r"^\| mask\.mAP50-95 \|.*$", text, re.MULTILINE)
    assert row
    assert re.fullmatch(r"\| mask\.mAP50-95 \| [+-]\d+\.\d\d% \| [+-][\d.]+% to [+-][\d.]+% \| 0\.\d{4} \| 0\.\d{4} \|", row[0])
    assert f"## Guards: {sum(g.passed for g in DECISION.guards)} of {len(DECISION.guards)} hold" in text
    assert f"SHA-256 `{EVIDENCE.report_sha256}`" in text
    assert "git show detector@v1.1.0:reports/report.md" in text


def test_the_first_lines_say_what_one_would_ask_first() -> None:
    worse = replace(DECISION.metrics["box.mAP50"], change=-0.2, gain=-0.25, gain_interval=Interval(-0.3, -0.2))
    counts = Counts(616, 293, 78)
    errors = Errors(
        before=counts, after=counts, images=256, improved=73, grown=(Confusion("nut", "washer", 27, 61),), worsened=()
    )
    decision = replace(DECISION, slices=(Slice("site", "3", worse),), reign=Reign("v1.0.0", 2, 0.2, None, None))
    evidence = replace(EVIDENCE, decision=decision, errors=errors, exported=EXPORTED, answers=("Grace: no",), picture=b"<svg/>")

    lines = page(evidence).splitlines()

    values = r"- \*\*PROMOTE\*\*: box\.mAP50 0\.\d{4} to 0\.\d{4}, \+[\d.]+% over the champion"
    assert lines[0] == "## Shall `detector@v1.1.0` go into production?"
    assert re.fullmatch(rf"{values}, at least \+[\d.]+% with 95% confidence", lines[2])
    assert lines[3:8] == [
        "- **Lost most**: site 3: -25.00% (-30.00% to -20.00%)",
        "- **Confusion that grew most**: nut as washer, 27 to 61",
        "- **In service**: missed 293 → 293, false 78 → 78; 0 of 256 images got worse, 73 better",
        "- **Other runtimes**: kept: onnx; skipped: engine",
        "- **Look**: 2 at champion v1.0.0: 17% of its budget of 20% is spent",
    ]
    assert "[The whole report](../../artifacts/key/detector-report-v1-1-0)" in lines[9]
    assert lines[11:14] == ["## Answered before", "", "- Grace: no"]
    assert lines[15] == "## Images that got worse most"
    assert "](data:image/svg+xml;base64," in lines[17]


def test_every_slice_that_got_worse_is_listed_worst_first_and_no_other() -> None:
    better, worse, worst = (
        replace(DECISION.metrics["box.mAP50"], change=change, gain=change, change_interval=Interval(change - 0.3, change + 0.3))
        for change in (0.1, -0.01, -0.2)
    )
    decision = replace(
        DECISION, per_class={}, slices=(Slice("size", "b", better), Slice("size", "w", worse), Slice("site", "v", worst))
    )

    text = unpadded(page(replace(EVIDENCE, decision=decision))).split("## What was lost")[1]

    assert re.findall(r"^\| (s\w+ \w) \|", text, re.MULTILINE) == ["site v", "size w"]
    assert "Nothing lost beyond noise, of 3 figures with an interval." in text


def test_the_page_says_what_was_compared_also_where_nothing_lost() -> None:
    better = replace(DECISION.metrics["box.mAP50"], change=0.1)
    per_class = {"bolt": {"box.mAP50": better, "mask.mAP50": better}}

    text = page(replace(EVIDENCE, decision=replace(DECISION, per_class=per_class, slices=(Slice("size", "b", better),))))

    assert "Compared: no golden set, 1 class by box.mAP50, mask.mAP50, 1 slice. None of them lost." in text


def test_golden_sets_and_lost_objects_stand_with_what_was_lost() -> None:
    lost = replace(DECISION.metrics["box.mAP50"], change=-0.2, gain=-0.25, change_interval=Interval(-0.3, -0.1))
    sets = (GoldenSet("all", lost), GoldenSet("v1.0.0", lost), GoldenSet("v0.9.0", None))
    classes = (Exchanged("bolt", 7, 2), Exchanged("nut", 0, 4))
    counts = Counts(616, 293, 78)
    objects = Lost(classes, (Exchanged("images/a|b.jpg", 3, 0), Exchanged("images/c.jpg", 1, 1)))
    errors = Errors(before=counts, after=counts, images=2, improved=0, grown=(), worsened=(), lost=objects)
    decision = replace(DECISION, golden=sets, per_class={}, slices=())

    shown = unpadded(page(replace(EVIDENCE, decision=decision, errors=errors)))

    text = shown.split("## What was lost\n\n")[1].split("\n\n## ")[0]

    assert text.startswith("Compared: 1 golden set, 0 classes by box.mAP50, no slice. These lost, whether or not beyond noise:\n")
    assert re.findall(r"^\| (.*?) \| -25", text, re.MULTILINE) == ["all golden sets", "golden set v1.0.0"]
    assert "**2 of 2 figures with an interval lost beyond noise.**" in text
    assert "Not looked at: the golden sets v0.9.0, since today's data still holds their images, or too few are left." in text
    assert "Labels in service (counted, not tested): 7 lost, 6 newly found; by class bolt 7; most on " in text
    assert text.endswith(r"; most on images/a\|b.jpg 3, images/c.jpg 1.")


def test_confusions_that_grew_and_images_that_lost_are_listed() -> None:
    images = tuple(Worsened(f"images/{i}|.jpg", Counts(3, 0, 0), Counts(2, 1, i)) for i in range(MAX_IMAGES + 2))
    counts = Counts(616, 293, 78)
    errors = Errors(
        before=counts, after=counts, images=256, improved=73, grown=(Confusion("nut", "washer", 27, 61),), worsened=images
    )

    text = unpadded(page(replace(EVIDENCE, errors=errors))).split("## In service: ")[1]

    assert text.startswith(f"{len(images)} of 256 images got worse, 73 better\n\nEach model at its own thresholds; counted, not")
    assert "| nut as washer | 27 | 61 |" in text
    assert "| images/0\\|.jpg | 3 to 2 | 0 to 1 | 0 to 0 |" in text
    assert "and 2 more, in the report" in text
    assert "In service" not in page(EVIDENCE)


def test_a_failed_guard_comes_first() -> None:
    guards = (*DECISION.guards, replace(DECISION.guards[0], name="max_class_drop: bad", passed=False))

    text = unpadded(page(replace(EVIDENCE, decision=replace(DECISION, guards=guards)))).split("## Guards")[1]

    assert "| max_class_drop: bad | **no** |" in text.splitlines()[4]


def test_a_name_from_the_dataset_cannot_break_the_table_or_be_html() -> None:
    part = Slice("site", "a|b\n<img src=x>", replace(DECISION.metrics["box.mAP50"], change=-0.1))

    text = page(replace(EVIDENCE, decision=replace(DECISION, slices=(part,))))

    assert r"| site a\|b\\n&lt;img src=x> |" in text


def test_a_thousand_classes_stay_under_the_limit() -> None:
    guards = tuple(replace(DECISION.guards[0], name=f"max_class_drop: {i}") for i in range(2000))

    text = page(replace(EVIDENCE, decision=replace(DECISION, guards=guards)))

    assert f"and {2000 - MAX_ROWS} more, in the report" in text
    assert len(text) < 20_000


def test_a_version_that_was_judged_against_another_champion_says_so() -> None:
    text = page(replace(EVIDENCE, champion="v0.9.0", newest="v1.2.0"))

    assert "> **Not the newest**: `detector@v1.2.0` is." in text
    assert "> **The champion has changed**: this version was judged against v1.0.0." in text
    assert "**Not the newest**" not in page(EVIDENCE)
    assert "**The champion has changed**" not in page(EVIDENCE)


FIRST = replace(EVIDENCE.version, record=replace(RECORD, parent=None))
AT_A_LOOSER_BUDGET = replace(DECISION, reign=replace(DECISION.reign, automatic=Level(0.005, -0.01)))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, True, id="newest, PROMOTE, against the champion"),
        pytest.param({"decision": replace(DECISION, verdict=Verdict.INCONCLUSIVE)}, False, id="INCONCLUSIVE"),
        pytest.param({"newest": "v1.2.0"}, False, id="not the newest"),
        pytest.param({"champion": "v0.9.0"}, False, id="judged against another champion"),
        pytest.param({"version": replace(EVIDENCE.version, record=None)}, False, id="without a record"),
        pytest.param({"decision": replace(DECISION, reign=None)}, False, id="its look at the champion was not counted"),
        pytest.param({"decision": AT_A_LOOSER_BUDGET}, False, id="better within a budget that needs a person"),
        pytest.param({"champion": None, "decision": replace(DECISION, reign=None), "version": FIRST}, True, id="no champion"),
    ],
)
def test_auto_promotes_only_what_speaks_for_itself(change: dict[str, Any], expected: bool) -> None:
    assert replace(EVIDENCE, **change).needs_no_person is expected


def test_the_page_says_in_which_runtimes_the_version_was_kept() -> None:
    text = unpadded(page(replace(EVIDENCE, exported=EXPORTED)))

    assert "| onnx | kept | -0.10% | -0.20% to +0.00% | |" in text
    assert "| engine | skipped | none | " in text
    assert "tensorrt is not \\| installed |" in text
    assert "In other runtimes" not in page(EVIDENCE)


CJK = re.compile(r"[\u4e00-\u9fff]")


def test_the_question_is_asked_in_the_language_of_the_report() -> None:
    worse = replace(DECISION.metrics["box.mAP50"], change=-0.2, gain=-0.25, gain_interval=Interval(-0.3, -0.2))
    counts = Counts(616, 293, 78)
    pairs, images = (Confusion("nut", "washer", 27, 61),), (Worsened("images/0.jpg", counts, counts),)
    objects = Lost((Exchanged("bolt", 7, 2),), (Exchanged("images/0.jpg", 7, 2),))
    errors = Errors(before=counts, after=counts, images=256, improved=73, grown=pairs, worsened=images, lost=objects)
    decision = replace(DECISION, slices=(Slice("site", "3", worse),), reign=Reign("v1.0.0", 2, 0.2, None, None))
    decision = replace(decision, golden=(GoldenSet("all", worse), GoldenSet("v1.0.0", worse), GoldenSet("v0.9.0", None)))
    changed = {
        "champion": "v0.9.0",
        "newest": "v1.2.0",
        "since": ("it was judged",),
        "answers": ("Grace: no",),
        "picture": b"<svg/>",
    }
    evidence = replace(EVIDENCE, decision=decision, errors=errors, exported=EXPORTED, language="zh", **changed)

    text = page(evidence)

    heads = [line for line in text.splitlines() if line.startswith(("#", "> ", "- **", "| "))]
    own_words = [line for line in heads if not re.match(r"- \*\*PROMOTE|\| [\w.-]+ +\|", line)]
    english = [line for line in own_words if not CJK.search(line)]
    assert [line for line in english if not re.match(r"\| (max_|images/|site|onnx|engine|class)", line)] == []
    lost = text.split("## 丢失了什么")[1].split("## ")[0]
    assert [line for line in lost.splitlines() if line and not CJK.search(line) and not line.startswith(("| site", "|:"))] == []
    assert "## 是否将 `detector@v1.1.0` 投入生产" in text
    assert "20% 的预算已用去 17%" in text
