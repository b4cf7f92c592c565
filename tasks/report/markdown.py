"""Write the report as Markdown: its tables line up in a terminal, and it has no pictures."""

from __future__ import annotations

from tasks.common.page.document import Advice, Block, Bullets, Callout, Cards, Document, Paragraph, Table, cell
from tasks.common.paths import REPORT_PAGE
from tasks.common.text import table as markdown_table
from tasks.report.catalogue import Words


def render(document: Document, words: Words) -> str:
    """The content of report.md."""
    parts = [
        f"# {document.title}",
        f"**{document.badge.text}** · {document.subtitle}",
        words("document.pictures", file=REPORT_PAGE.name),
    ]
    for number, section in enumerate(document.sections, 1):
        parts.append(f"## {number}. {section.title}")
        parts += [text for block in section.blocks if (text := _block(block, words))]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, words: Words) -> str:
    text = ""  # a figure or a gallery has none
    match block:
        case Paragraph():
            text = _with_source(block.text, block.source, words)
        case Callout():
            text = _with_source(f"> **{words('document.note')}** {block.text}", block.source, words)
        case Bullets():
            text = _with_source("\n".join(f"- {item}" for item in block.items), block.source, words)
        case Advice():
            items = enumerate(block.items, 1)
            text = "\n".join(f"{i}. **{do}** {why} ({_source(source, words)})" for i, (do, why, source) in items)
        case Cards():
            header = words.columns("figure", "value", "note")
            rows = tuple((card.label, card.value, card.note or words.none) for card in block.items)
            text = _table(Table(header, rows, block.source, num_text_columns=3), words)
        case Table():
            text = _table(block, words)
    return text


def _with_source(text: str, source: str, words: Words) -> str:
    return f"{text}\n\n{_source(source, words)}" if source else text


def _source(source: str, words: Words) -> str:
    return words("document.source", source=f"`{source}`")


def _table(table: Table, words: Words) -> str:
    if not table.rows:
        return _with_source(table.empty, table.source, words)
    rows = [tuple(cell(value).text for value in row) for row in table.rows]
    caption = f"{table.caption}\n\n" if table.caption else ""
    return _with_source(caption + markdown_table(table.header, rows, table.num_text_columns), table.source, words)
