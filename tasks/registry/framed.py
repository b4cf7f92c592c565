"""The report of a version in a frame that says which version it is, and what became of it.

The page itself is an output of stage report, byte for byte; what the stage cannot know stands in the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.common.text import html
from tasks.registry.record import Version
from tasks.registry.types import Assignment, Refusal

BODY = "<body>"
CHINESE = '<html lang="zh">'
STYLE = (
    "border:1px solid var(--rule,#dde2e8);border-radius:10px;background:var(--panel,#f6f7f9);padding:.7rem 1.1rem;"
    "margin:0 0 1.6rem;font-size:.88rem;line-height:1.5"
)
ROW, NAME = "display:flex;flex-wrap:wrap;gap:0 .6rem", "color:var(--soft,#5a6675);min-width:8rem"
LIST = "margin:.2rem 0 0;display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr));gap:0 1.2rem"
LONG, MANY = ";grid-column:1/-1", 24
"""A value of more characters has the whole width."""
VALUE = "margin:0;min-width:0;overflow-wrap:anywhere"
WORDS = {
    "registered": ("registered", "注册于"),
    "commit": ("commit", "提交"),
    "code": ("code", "代码"),
    "data": ("data version", "数据版本"),
    "reference": ("judged against", "对照"),
    "baseline": ("the baseline", "基线模型"),
    "stage": ("stage", "阶段"),
    "none": ("none", "无"),
    "promoted": ("promoted", "晋级"),
    "refused": ("not promoted", "未晋级"),
    "deprecated": ("deprecated", "停用"),
    "label": ("Version", "版本"),
}
"""Each word of the frame in English and Chinese."""


def framed(page: str, version: Version, assignments: Sequence[Assignment], refusals: Sequence[Refusal]) -> str:
    """The page with the frame at its head, in the language of the page."""
    language = int(CHINESE in page[:200])
    rows = "".join(_row(*row) for row in _rows(version, assignments, refusals, language))
    label = f"{WORDS['label'][language]} {version.tag}"
    head = f'<aside aria-label="{html(label)}" style="{STYLE}"><strong>{html(version.tag)}</strong><dl style="{LIST}">'
    return page.replace(BODY, f"{BODY}\n{head}{rows}</dl></aside>", 1)


def _row(name: str, value: str) -> str:
    style = ROW + LONG if len(value) > MANY else ROW
    return f'<div style="{style}"><dt style="{NAME}">{html(name)}</dt><dd style="{VALUE}">{html(value)}</dd></div>'


def _rows(
    version: Version, assignments: Sequence[Assignment], refusals: Sequence[Refusal], language: int
) -> list[tuple[str, str]]:
    words = {key: texts[language] for key, texts in WORDS.items()}
    rows = [(words["registered"], f"{version.created[:19].replace('T', ' ')}Z"), (words["commit"], version.commit[:12])]
    if record := version.record:
        rows += [(words["code"], record.code[:12])] if record.code else []
        rows += [(words["data"], record.data_version[:12]), (words["reference"], record.parent or words["baseline"])]
    rows += [(words["stage"], ", ".join(version.stages) or words["none"])]
    rows += [(words["promoted"], assignment.summary()) for assignment in assignments]
    rows += [(words["refused"], refusal.summary()) for refusal in refusals]
    return rows + ([(words["deprecated"], version.deprecated)] if version.deprecated else [])
