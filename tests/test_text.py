"""Names, notes and other programs' words are shown as text: in a terminal, in Markdown and in HTML."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from pathlib import Path

import polars
import pytest
from markdown_it import MarkdownIt

from flows import labels, question
from tasks import snapshot
from tasks.common import stage, text
from tasks.common.errors import WorkspaceError
from tasks.common.output import error_block, lines
from tasks.common.page.document import Cell, Document, Gallery, Panel, Section, Shot
from tasks.common.page.montage import CELL_PX, montage
from tasks.common.page.render import inline, render
from tasks.common.page.svg import shortened
from tasks.common.page.wording import ENGLISH
from tasks.measure.decision import Slice
from tasks.registry import __main__ as command
from tasks.watch.drop import Drop
from tasks.watch.finding import Finding, Watch
from tasks.watch.page import page, pictured
from tests import workspace as ws
from tests.evidence_data import DECISION, EVIDENCE

HOSTILE = {
    "line break": "a\nnext:  rm -rf .",
    "carriage return": "a\rnext:  rm",
    "separator": "a\u2028next:  rm\u2029b\x0bc\x0cd\x85e\x1cf",
    "colour": "a\x1b[31mred\x1b]8;;http://evil\x07",
    "right to left": "a\u202egpj.exe\u2066",
    "not UTF-8": "a\udcff",
    "image": "![x](http://127.0.0.1/t.png)",
    "image by reference": "![x][y]",
    "link": "[click](javascript:alert(1))",
    "HTML": "<img src=x onerror=alert(1)>",
    "entity": "&lt;script&gt;&#60;b&#62;",
    "address": "see https://evil.example/x",
    "bare address": "www.evil.example",
    "version": "detector@v1.0.0",
    "mail": "mail me@evil.example",
    "autolink": "<https://evil.example>",
    "cell": "a | b",
    "code": "`a` ``b``",
    "emphasis": "*a* **b** _c_ __d__ ~~e~~",
    "heading": "# a",
    "list": "- a",
    "number": "1. a",
    "quote": "> a",
    "rule": "---",
    "backslash": "a\\*b*",
    "formula": "=HYPERLINK(1)",
}
names = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")
PLACES = ("{}", "- {}", "# {}", "> {}", "**{}**", "| head |\n| --- |\n| {} |")


def harmless(letter: str) -> bool:
    return letter.isprintable() or letter in "\n\t"


@names
def test_a_name_is_one_line_of_a_terminal_without_a_control_character(name: str) -> None:
    assert text.line(name).isprintable()
    assert all(map(harmless, text.lines(name)))


@pytest.mark.parametrize("name", ["plain", "größe", "ねじ", "नट", "क\u200cष", "12\u202f%", "a\u00a0b", "😀\u200d💻"])
def test_letters_of_every_script_stay_as_they_are(name: str) -> None:
    assert text.line(name) == name


@names
@pytest.mark.parametrize("place", PLACES)
def test_a_name_in_markdown_is_no_markup_and_no_link(name: str, place: str) -> None:
    ours = {"p", "li", "ul", "h1", "blockquote", "strong", "table", "thead", "tbody", "tr", "th", "td", "code_inline"}
    for escaped in (text.markdown(name), text.code(name)):
        tokens = MARKDOWN.parse(place.format(escaped))
        inner = [child for token in tokens for child in token.children or ()]
        found = {token.tag for token in tokens} | {child.tag for child in inner}
        kinds = {child.type for child in inner}

        assert found <= ours | {"", "code"}
        assert not kinds & {"image", "link_open", "html_inline", "em_open", "s_open"}
        assert sum(child.type == "strong_open" for child in inner) == place.count("**") // 2
        assert sum(token.type in {"td_open", "th_open"} for token in tokens) == 2 * place.count("head")


@names
def test_no_viewer_finds_an_address_outside_of_code(name: str) -> None:
    """Some viewers look for addresses in the text that is left after the escapes are read."""
    for token in MARKDOWN.parse(text.markdown(name)):
        words = [child.content for child in token.children or () if child.type.startswith("text")]

        assert not any(sign in word for word in words for sign in ("://", "@", "www."))


@names
def test_a_name_reads_the_same_in_a_page_as_in_a_terminal(name: str) -> None:
    if not text.LINK.search(name) and "`" not in name:
        assert str(inline(text.markdown(name))) == text.html(text.line(name).strip())
    assert "<img" not in str(inline(text.markdown(name)))
    assert "<a" not in str(inline(text.code(name)))


@names
def test_a_name_in_an_error_is_neither_a_second_entry_nor_lost_on_the_way(name: str) -> None:
    error = WorkspaceError(f"cannot read {name}", where=f"data/{name}", fix="Rename it.")

    read = error_block(error.block())

    assert all(map(harmless, error.block()))
    assert sum(row.startswith("next:") for row in error.block().split("\n")) == 1
    assert read is not None
    assert (read.what, read.where, read.fix) == (error.what, error.where, "Rename it.")


def test_other_programs_cannot_move_the_cursor() -> None:
    said = "".join(lines(["\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202ex\n"]))

    assert said == "red \\x1b]0;title\\x07 \\u202ex"


def test_a_log_line_shows_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    logger, stream = logging.getLogger("text"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(stage.Shown("%(message)s"))
    logger.addHandler(handler)

    logger.warning("two\nlines of %s", "a\x1b[2J\r")

    logger.removeHandler(handler)
    assert stream.getvalue() == "two\nlines of a\\x1b[2J\\r\n"


@pytest.mark.slow
def test_a_decision_is_one_line_of_the_history_whatever_was_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = " ".join(name for name in HOSTILE.values() if name.isascii() or name.encode("utf-8", "ignore").decode() == name)
    command.main(["register"])
    command.main(["promote", "v1.0.0", "--approver", f"Eve {said}", "--reason", f"ok {said}"])
    capsys.readouterr()

    command.main(["history"])
    shown = capsys.readouterr().out
    command.main(["history", "--json"])
    kept = json.loads(capsys.readouterr().out)

    assert shown.count("\n") == 1
    assert shown.rstrip("\n").isprintable()
    assert (kept[0]["approver"], kept[0]["reason"]) == (f"Eve {said}", f"ok {said}")
    subject = ws.sh("git", "tag", "-l", "--format=%(subject)", "detector#production#1")
    assert subject == text.line(" ".join(f"detector@v1.0.0 to production: ok {said}".split()))


def test_the_summary_of_a_snapshot_has_one_line_for_the_files_that_came() -> None:
    files = tuple(HOSTILE.values())
    taken = snapshot.Snapshot("0" * 32, f"data/{files[0]}", 1, 1, None, files, files, files, pushed=False)

    rows = taken.summary().split("\n")

    assert [row.split()[0] for row in rows] == ["dataset", "version", "files", "added", "changed", "removed", "stored"]
    assert all(row.isprintable() for row in rows)


@names
def test_what_prefect_shows_of_an_approval_has_no_link_and_no_picture(name: str) -> None:
    part = Slice(name, name, replace(DECISION.metrics["box.mAP50"], change=-0.1))
    guard = replace(DECISION.guards[0], name=f"max_class_drop: {name}", passed=False, text=name)
    decision = replace(DECISION, slices=(part,), guards=(guard,), reasons=(name,))

    shown = question.page(replace(EVIDENCE, decision=decision))

    assert kinds_in(shown) == kinds_in(question.page(EVIDENCE))


@names
def test_what_prefect_shows_of_the_labels_has_no_link_and_no_picture(name: str, tmp_path: Path) -> None:
    check = {"id": name, "severity": "critical", "passed": False, "failed": 1, "examples": [name], "why": name, "fix": name}
    report = {"dataset": name, "passed": False, "counts": {"images": {"train": 1}, "instances": 1}, "checks": [check]}
    row = {"severity": "critical", "file": text.line(name), "value": text.line(name)}
    polars.DataFrame([row]).write_csv(tmp_path / "issues.csv")

    shown = labels.page(report, b"", tmp_path)
    cells = labels.issues(tmp_path / "issues.csv")[0]

    for part in (shown, *cells.values()):
        assert not kinds_in(part) & {"image", "link_open", "html_inline", "html_block", "em_open"}


@names
def test_what_the_watch_shows_has_no_link_and_no_picture(name: str) -> None:
    bad = Drop(name, 20, 30, 0.5, 0.3, -0.4, None, is_real=True)
    found = Watch(Finding.DROP, "v1.0.0", f"data/{name}", "test", 80, "box.mAP50", (bad,), (), 80)

    assert not kinds_in(page(found)) & {"image", "link_open", "html_inline", "html_block", "em_open"}
    assert "<img" not in pictured(found, {}, ())


@names
def test_the_caption_of_a_picture_is_the_name_itself(name: str) -> None:
    shot = Shot(name, "", "", (Panel("", '<svg viewBox="0 0 900 900"></svg>'),))
    section = Section("images", "Images", (Gallery("Gallery", (shot,), ""),))

    drawn = montage([shot], 99_999)
    html = render(Document("Title", "", Cell("badge"), (section,)), ENGLISH)

    assert f'class="m">{text.html(shortened(name, CELL_PX))}</text>' in drawn
    assert f"<code>{text.html(name)}</code>" in html


def kinds_in(markdown: str) -> set[str]:
    """The kinds of elements that a viewer makes of a page."""
    tokens = MARKDOWN.parse(markdown)
    return {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}


def test_time_left_is_as_exact_as_such_a_guess_is() -> None:
    assert [text.time_left(seconds) for seconds in (0.4, 89, 91, 3500, 3599, 7800, 90_000)] == [
        *("0 s", "89 s", "2 min", "58 min", "1 h 0 min", "2 h 10 min", "25 h 0 min"),
    ]


def test_a_number_is_followed_by_the_word_that_goes_with_it() -> None:
    assert [text.counted(number, "image") for number in (0, 1, 2462)] == ["0 images", "1 image", "2,462 images"]
    assert [text.counted(number, "box", "boxes") for number in (1, 2)] == ["1 box", "2 boxes"]
