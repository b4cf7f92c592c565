"""The catalogues: every text in both languages, none unused, none anywhere else."""

from __future__ import annotations

import ast
import re
import tomllib
from contextlib import chdir
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from tasks import report
from tasks.measure.errors import Confusion, Counts, Errors
from tasks.report import catalogue, inputs, listing, pullrequest
from tasks.report.catalogue import FOLDER, Language, Words
from tasks.report.facts import Facts
from tasks.report.sections import brief
from tests.report_data import SITUATIONS

LANGUAGES = get_args(Language)
PACKAGE = FOLDER.parent
CLOSED_LATE = re.compile("\\*\\*[^*]+[\u3002\uff01\uff0c\uff1a\uff1b\uff1f]\\*\\*[^\\s*]")
CJK = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


def texts(language: Language) -> dict[str, str]:
    return dict(catalogue.load(language).texts)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


class Recorder(dict[str, str]):
    """Texts that remember who was asked for."""

    def __init__(self, own: dict[str, str], used: set[str]) -> None:
        super().__init__(own)
        self.used = used

    def __getitem__(self, key: str) -> str:
        self.used.add(key)
        return super().__getitem__(key)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The keys that the reports of all situations ask for."""
    found: set[str] = set()
    recorded = Words("en", Recorder(texts("en"), found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "load", lambda language: recorded)
        for name, make in SITUATIONS.items():
            root = tmp_path_factory.mktemp(name.replace(" ", "_"))
            with chdir(root):
                settings = make().write(root)
                report.run(settings)
                patch.setattr(listing, "MOST_IMAGES", 1 if name == "weak spots" else 300)
                listing.run(settings)
                pullrequest.run(settings)
                facts = Facts(inputs.read(), settings.report, settings.finetune.recipe)
        for errors in (errors_of(missed=2), errors_of(grown=(Confusion("nut", "washer", 27, 61),)), errors_of()):
            vars(facts)["errors"] = errors  # in the place of the cached property
            brief.counted_risk(facts)
    return found


def errors_of(missed: int = 1, grown: tuple[Confusion, ...] = ()) -> Errors:
    return Errors(before=Counts(3, 1, 1), after=Counts(3, missed, 1), images=4, improved=0, grown=grown, worsened=())


def test_there_is_a_catalogue_for_every_language_that_params_accept() -> None:
    assert {file.stem for file in FOLDER.glob("*.toml")} == set(LANGUAGES)


def test_the_languages_have_the_same_keys() -> None:
    assert texts("en").keys() == texts("zh").keys()


def test_the_languages_fill_in_the_same_values() -> None:
    english, chinese = texts("en"), texts("zh")

    differing = {key for key in english if placeholders(english[key]) != placeholders(chinese[key])}

    assert differing == set()


@pytest.mark.slow
def test_every_text_is_used(used: set[str]) -> None:
    assert {key for key in texts("en").keys() - used if not key.startswith("count.") or key.endswith(".many")} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_or_padded(language: Language) -> None:
    own = texts(language)

    assert {key for key, text in own.items() if not text.strip()} == set()
    assert {key for key, text in own.items() if text != text.strip()} - {"format.comma"} == set()


def test_the_chinese_texts_are_chinese() -> None:
    shared = {"format.none", "format.percent", "format.range", "card.values_note", "gallery.note"}

    assert {key for key, text in texts("zh").items() if not CJK.search(text)} - shared == set()


def test_strong_text_ends_before_chinese_punctuation() -> None:
    # CommonMark does not close `**` between a punctuation mark and a character, so GitHub would show the stars.
    assert {key for key, text in texts("zh").items() if CLOSED_LATE.search(text)} == set()


def test_no_key_is_given_twice() -> None:
    for language in LANGUAGES:
        tomllib.loads((FOLDER / f"{language}.toml").read_text())  # TOML refuses a repeated key


def test_the_page_has_no_text_of_its_own() -> None:
    page = (PACKAGE.parent / "common/page/page.html.j2").read_text()
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    shown = re.sub(r"<[^>]*>", " ", re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", page, flags=re.S))

    assert re.findall(r"\w+", shown) == []


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_module_has_a_text_for_the_reader(file: Path) -> None:
    tree = ast.parse(file.read_text())
    texts_of_code = {id(node) for node in ast.walk(tree) for node in skipped(node)}
    sentences = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts_of_code
        if CJK.search(node.value) or re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", node.value)
    ]

    assert sentences == []


def skipped(node: ast.AST) -> list[ast.AST]:
    """Strings that no reader of the report sees: docstrings and the words of errors."""
    if isinstance(node, ast.Raise):
        return list(ast.walk(node))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return [node.value]
    return []
