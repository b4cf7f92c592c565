"""The history of the versions: its page for none, one and many, and two versions side by side."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tasks.common import params as params_module
from tasks.common.looks import Subject
from tasks.common.page import render
from tasks.common.page.wording import ENGLISH
from tasks.common.params import Params
from tasks.gate.wording import share
from tasks.history import chart, page
from tasks.history.trail import Trail, Turn
from tasks.measure.decision import Cumulative
from tasks.measure.intervals import Interval
from tasks.registry import Assignment, Look, Refusal, Registry, Version
from tasks.registry.__main__ import main
from tests import workspace as ws
from tests.evidence_data import DECISION
from tests.history_data import register_run
from tests.registry_data import RECORD, WHO, make_version
from tests.report_data import tiny_run

START = datetime(2026, 1, 5, tzinfo=UTC)
TIME: dict[str, Any] = {"tag": "tag", "commit": "c" * 40}


def turn(number: int, parent: str | None, is_promoted: bool = True, **changes: object) -> Turn:
    """A version with a decision of its own, a week after the one before it, on data that changes every third time."""
    reference = 0.5 + 0.01 * number
    comparison = replace(DECISION.metrics["box.mAP50"], reference=reference, candidate=reference + 0.01)
    comparison = replace(comparison, change_interval=Interval(-0.002, 0.02), gain=0.1, gain_interval=Interval(0.02, 0.2))
    cumulative = Cumulative("v1.0.0", True, comparison, number, None) if number > 1 else None
    record = replace(
        RECORD, data_version=f"{number // 3:032x}", parent=parent, tensors=f"{number:064x}", candidate=reference + 0.01
    )
    when, name = START + timedelta(weeks=number), f"v1.{number}.0"
    version = Version("detector", name, "c" * 40, when.isoformat(), (), record)
    said: dict[str, Any] = {"approver": "A. <b>", "reason": "it holds", "via": "UI", "stage": "production", "is_rollback": False}
    promotion = Assignment(**TIME, version=name, created=when, number=number, previous=parent, **said)
    decision = replace(DECISION, metrics={"box.mAP50": comparison}, cumulative=cumulative)
    plain = Turn(version, decision, (promotion,) if is_promoted else (), (), False)
    return replace(plain, **changes)  # type: ignore[arg-type]


def look(champion: str, candidate: str, week: float) -> Look:
    created = START + timedelta(weeks=week)
    subject = Subject(candidate, "ab" * 32, "box.mAP50")
    return Look(**TIME, version=champion, created=created, approver="the gate", reason="", number=1, subject=subject)


def trail_of(turns: list[Turn], looks: tuple[Look, ...] = (), doubt: str = "") -> Trail:
    promoted = [turn for turn in turns if turn.promotions]
    turns = [replace(turn, is_champion=turn is promoted[-1]) if promoted else turn for turn in turns]
    champion = promoted[-1].version.version if promoted else None
    assignments = tuple(entry for turn in turns for entry in turn.promotions)
    refusals = tuple(refusal for turn in turns for refusal in turn.refusals)
    return Trail("detector", "production", champion, tuple(turns), assignments, refusals, looks, "", doubt, "box.mAP50")


def line_of(num_versions: int) -> list[Turn]:
    """Each was judged against the one before and became the champion."""
    return [turn(i, f"v1.{i - 1}.0" if i else None) for i in range(num_versions)]


def html(trail: Trail) -> str:
    return render.render(page.document(trail), ENGLISH)


def step_of(drawing: str) -> list[tuple[float, float]]:
    """The corners of the champion's line."""
    found = re.search(r'<path d="M([^"]+)" class="l step"', drawing)
    assert found
    return [(float(x), float(y)) for x, y in (corner.split() for corner in found[1].split("L"))]


def test_without_a_version_the_page_says_what_to_do() -> None:
    assert "`make run`" in page.short(trail_of([]))
    assert "run git fetch" in html(trail_of([], doubt="run git fetch"))


def test_every_version_has_a_row_with_data_gain_verdict_and_who_decided_why() -> None:
    refusal = Refusal(
        **TIME,
        version="v1.2.0",
        created=START,
        approver="B",
        reason="misses bolts",
        outcome="rejected",
        champion="v1.1.0",
        via="UI",
    )
    turns = [*line_of(2), turn(2, "v1.1.0", False, refusals=(refusal,)), turn(3, "v1.1.0", False)]
    text, content = page.short(trail_of(turns)), html(trail_of(turns))

    rows = [re.sub(" +", " ", row) for row in text.splitlines() if row.startswith("| `v")]
    assert rows[0] == f"| `v1.3.0` | 2026-01-26 | `0000000` | 0.5400 | {share(0.2)} | PROMOTE | waits for a decision |"
    assert rows[1].endswith("| rejected 2026-01-05 by B: misses bolts |")
    assert rows[2].endswith("| **champion** since 2026-01-12 by A. &lt;b>: it holds |")
    assert "promote v1.3.0 --approver NAME" in text
    assert "<b>" not in content.replace("<b ", "")
    assert content.count("misses bolts") == 2
    assert "<script" not in content
    assert "http" not in content.replace("http://www.w3.org", "")


def test_the_line_steps_up_where_a_version_became_the_champion_and_moves_where_the_data_did() -> None:
    turns = [turn(0, None), turn(1, "v1.0.0", False), turn(2, "v1.0.0")]
    corners = step_of(chart.curve(trail_of(turns), chart.WIDE))

    heights = [y for _, y in corners]
    first, after_first, before_second, at_second, after_second = heights[0], heights[1], heights[2], heights[3], heights[4]
    assert first == after_first  # v1.0.0 itself
    assert before_second == at_second == after_second  # v1.1.0 was not promoted: what it was judged against goes on
    assert heights[-1] < heights[-3]  # v1.2.0 became the champion; SVG counts from above
    assert [x for x, _ in corners] == sorted(x for x, _ in corners)


def test_candidates_that_never_became_a_version_are_marked_between_the_versions_of_their_time() -> None:
    turns = line_of(3)
    looks = (look("v1.0.0", f"{1:064x}", 0.5), look("v1.0.0", "e" * 64, 0.6), look("v1.2.0", "f" * 64, 2.5))
    trail = trail_of(turns, looks)

    assert {place: len(entries) for place, entries in trail.unregistered.items()} == {1: 1, 3: 1}
    assert chart.curve(trail, chart.WIDE).count("cross flat") == 4  # two strokes each
    assert "<td>2</td>" in re.sub(r'<td class="[^"]*">', "<td>", html(trail))  # two looks at v1.0.0 on one split


@pytest.mark.parametrize("width", [chart.WIDE, chart.NARROW], ids=["desk", "phone"])
def test_fifty_versions_fit_and_no_two_names_meet(width: float) -> None:
    drawing = chart.curve(trail_of(line_of(50)), width)

    ElementTree.fromstring(drawing)
    labels = [(float(x), name) for x, name in re.findall(r'<text x="([\d.]+)"[^>]*>(v1\.\d+\.0)<', drawing)]
    assert labels[0][1] == "v1.49.0"
    gaps = [right - left for (right, _), (left, _) in pairwise(labels)]
    assert min(gaps) > 7 * 11 * 0.62
    assert max(x for x, _ in labels) <= width
    assert drawing.count('class="d good"') == 50


def test_a_version_without_decision_or_record_says_so() -> None:
    plain = turn(0, None)
    by_hand = replace(turn(1, None), version=replace(plain.version, version="v1.1.0", record=None), decision=None)
    text = page.short(trail_of([replace(plain, decision=None), by_hand]))

    assert text.count("(its decision.json cannot be read)") == 2
    assert "| by hand" in text
    assert "v1.1.0" in html(trail_of([by_hand]))


@pytest.fixture
def params(bare: Path) -> Params:
    return params_module.load(ws.ROOT / "params.yaml")


@pytest.mark.slow
def test_the_verbs_write_history_and_diff_of_real_versions(
    bare: Path, params: Params, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (bare / "params.yaml").write_text((ws.ROOT / "params.yaml").read_text())
    main(["page"])
    assert "No version of detector" in (bare / "runs/history.html").read_text()
    make_version(params, "without reports")
    register_run(params, tiny_run(found=(0.4, 0.6)), "one")
    Registry(params).promote("v2.0.0", **WHO)
    register_run(params, tiny_run(found=(0.4, 0.9)), "two", {"min_gain: 0.01": "min_gain: 0.02"})
    capsys.readouterr()

    main(["page"])
    main(["diff", "v2.0.0", "v2.1.0", "--json"])

    shown = capsys.readouterr().out
    content = (bare / "runs/history.html").read_text()
    for text in ("champion v2.0.0", "v2.1.0", "its decision.json cannot be read", WHO["reason"]):
        assert text in content
    found = json.loads(shown[shown.index("{") :])
    assert (found["images"], found["why_not"]) == (40, "")
    assert found["gains"]["box.mAP50"] > 0.1
    assert found["params"] == {"gate.min_gain": ["0.01", "0.02"]}
    drawn = (bare / found["page"]).read_text()
    assert drawn.count("data:image/jpeg") == 10  # 6 better, and all that got worse
    assert "Better with v2.1.0" in drawn

    main(["diff", "v1.0.0", "v2.1.0"])
    assert "images     detector@v1.0.0: its commit holds no reports/evaluation.json" in capsys.readouterr().out
