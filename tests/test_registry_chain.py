"""The audit trail as a chain: every way to change, add or take out a record that can be noticed is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.common import params as params_module
from tasks.common.errors import RegistryError
from tasks.common.params import Params
from tasks.registry import Registry
from tasks.registry.in_git import chain, witness
from tests import workspace as ws
from tests.registry_data import WHO, day, make_version, ref
from tests.workspace import sh

NAME = "detector"


@pytest.fixture
def params() -> Params:
    values = params_module.load(ws.ROOT / "params.yaml")
    return replace(values, registry=replace(values.registry, push=False))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trail that the tests copy is written, once."""
    return tmp_path_factory.mktemp("trail") / "ws"


@pytest.fixture
def trail(environment: None, written: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three versions, five assignments to production and one to staging, a refusal and a withdrawal, as the current folder."""
    if not written.exists():
        written.mkdir()
        monkeypatch.chdir(written)
        write_trail(params)
    shutil.copytree(written, tmp_path / "ws")
    monkeypatch.chdir(tmp_path / "ws")
    return tmp_path / "ws"


def write_trail(params: Params) -> None:
    sh("git", "init", "-q", "-b", "main")
    Path(".dvc").mkdir()
    sh("git", "commit", "-qm", "Start", "--allow-empty")
    one, two = make_version(params, "one"), make_version(params, "two")
    Registry(params).promote(one, **WHO, when=day(1))
    Registry(params).promote(two, **WHO, when=day(2))
    three = make_version(params, "three")
    Registry(params).refuse(three, "rejected", approver="B", reason="labels", question="q")
    Registry(params).promote(one, **WHO, when=day(3))
    Registry(params).promote(three, **WHO, when=day(4))
    Registry(params).deprecate(two, **WHO)
    Registry(params).rollback(**WHO, when=day(5))
    Registry(replace(params, registry=replace(params.registry, stage="staging"))).promote(one, **WHO, when=day(5))


def rewrite(name: str, change: Callable[[str], str], target: str = "") -> None:
    """Put what `change` makes of the text of tag `name` in its place, or under `target`, as `git mktag` allows."""
    text = sh("git", "cat-file", "tag", name)
    made = ws.subprocess.run(
        ["git", "mktag", "--no-strict"], input=change(text) + "\n", capture_output=True, text=True, check=True
    )
    sh("git", "update-ref", target or name, made.stdout.strip())


def edit(name: str, **values: object) -> None:
    """Change keys of a record's body; None takes one out."""

    def change(text: str) -> str:
        head, _, body = text.partition("\n\n")[2].partition("\n\n")
        changed = {key: value for key, value in {**json.loads(body), **values}.items() if value is not ...}
        return f"{text.partition(chr(10) * 2)[0]}\n\n{head}\n\n{json.dumps(changed, indent=2, ensure_ascii=False)}"

    rewrite(name, change)


def found() -> set[str]:
    return {f"{fault.version} {fault.what}" for fault in chain.faults(NAME)}


def delete(*names: str) -> None:
    for name in names:
        sh("git", "update-ref", "-d", name)


def swap(first: str, second: str) -> None:
    ids = [sh("git", "rev-parse", name) for name in (first, second)]
    for name, tag_id in zip((first, second), reversed(ids), strict=True):
        sh("git", "update-ref", name, tag_id)


def commit_of(version: str) -> str:
    return sh("git", "rev-parse", f"{NAME}@{version}^{{commit}}")


def annotate(name: str, message: str, commit: str) -> None:
    sh("git", "tag", "-a", "-m", message, name.removeprefix("refs/tags/"), commit)


def refusal() -> str:
    return f"refs/tags/{sh('git', 'tag', '-l', '*rejected*')}"


@pytest.mark.slow
def test_a_trail_as_it_was_written_has_no_fault(trail: Path) -> None:
    assert found() == set()


TAMPERED: dict[str, tuple[Callable[[], object], str]] = {
    "the first assignment deleted": (lambda: delete(ref(1)), "history {p}1"),
    "one in the middle deleted": (lambda: delete(ref(3)), "history {p}3"),
    "two in the middle deleted": (lambda: delete(ref(2), ref(3)), "history {p}2 to #3"),
    "the approver rewritten": (lambda: edit(ref(2), approver="Eve"), "v1.0.0 {p}3: {hash}"),
    "the reason rewritten": (lambda: edit(ref(4), reason="x"), "v1.0.0 {p}5: {hash}"),
    "the tagger rewritten": (
        lambda: rewrite(ref(1), lambda text: text.replace("tagger A User", "tagger B User")),
        "v1.1.0 {p}2: {hash}",
    ),
    "the last one: another version before": (lambda: edit(ref(5), **{"from": "v1.1.0"}), "v1.0.0 {p}5: the version before"),
    "the last one: another version": (lambda: edit(ref(5), version="v1.1.0"), "v1.1.0 {p}5: the commit of detector@v1.1.0"),
    "the last one: no such version": (lambda: edit(ref(5), version="v9.0.0"), "v9.0.0 {p}5: the commit of detector@v9.0.0"),
    "the last one: another stage": (lambda: edit(ref(5), to="staging"), "v1.0.0 {p}5: the stage in the record"),
    "the last one: another time": (
        lambda: edit(ref(5), time="2026-11-06T00:00:00+00:00"), "v1.0.0 {p}5: the time in the record"
    ),
    "the last one: its hash taken out": (lambda: edit(ref(5), hash_before=...), "v1.0.0 {p}5: {hash}"),
    "the last one: its hash emptied": (lambda: edit(ref(5), hash_before=None), "v1.0.0 {p}5: {hash}"),
    "the first hashes taken out": (
        lambda: [edit(ref(n), hash_before=...) for n in (1, 2)], "v1.1.0 {p}2: {hash}"
    ),
    "all hashes taken out": (
        lambda: [edit(ref(n), hash_before=...) for n in range(1, 6)], "v1.1.0 {p}2: {hash}"
    ),
    "moved to another commit": (
        lambda: rewrite(ref(5), lambda text: text.replace(commit_of("v1.0.0"), commit_of("v1.1.0"))),
        "v1.0.0 {p}5: the commit of detector@v1.0.0",
    ),
    "made by hand with a message": (
        lambda: annotate(ref(6), "to production", commit_of("v1.2.0")), "history {p}6: {hash}"
    ),
    "made by hand with a record": (
        lambda: annotate(ref(6), 'x\n\n{"approver": "A", "version": "v1.2.0"}', commit_of("v1.2.0")),
        "v1.2.0 {p}6: {hash}",
    ),
    "made by hand without annotation": (
        lambda: sh("git", "tag", "detector#production#6", commit_of("v1.2.0")), "history {p}6: {hash}"
    ),
    "made by hand with gto": (
        lambda: sh("gto", "assign", NAME, "--version", "v1.2.0", "--stage", "production", "--force"),
        "history {p}6: {hash}",
    ),
    "taken out by hand with gto": (
        lambda: annotate("refs/tags/detector#production!#6", "out", commit_of("v1.0.0")),
        "history detector#production!#6: {hash}",
    ),
    "a copy under the next number": (
        lambda: sh("git", "update-ref", ref(6), ref(3)), "v1.0.0 {p}6: the name in the tag"
    ),
    "a copy of another stage": (
        lambda: sh("git", "update-ref", ref(6), ref(1, "staging")), "v1.0.0 {p}6: the name in the tag"
    ),
    "a copy of another artifact": (
        lambda: rewrite(ref(5), lambda text: text.replace("tag detector#", "tag other#"), ref(6)),
        "v1.0.0 {p}6: the name in the tag",
    ),
    "its body copied under the next number": (
        lambda: rewrite(ref(4), lambda text: text.replace("#production#4", "#production#6"), ref(6)),
        "v1.2.0 {p}6: {hash}",
    ),
    "a number twice": (
        lambda: rewrite(ref(5), lambda text: text.replace("#production#5", "#production!#5"), "refs/tags/detector#production!#5"),
        "v1.0.0 {p}5: its number",
    ),
    "two swapped": (lambda: swap(ref(2), ref(3)), "v1.1.0 {p}3: the name in the tag"),
    "a tag of a tag": (lambda: annotate(ref(6), "nested", ref(5)), "history {p}6: what it points to"),
    "a time before the one before": (
        lambda: rewrite(ref(5), lambda text: text.replace(str(int(day(5).timestamp())), str(int(day(2).timestamp())))),
        "v1.0.0 {p}5: its time",
    ),
    "a time in the future": (
        lambda: rewrite(ref(5), lambda text: text.replace(str(int(day(5).timestamp())), "4070908800")),
        "v1.0.0 {p}5: its time",
    ),
    "a refusal deleted": (lambda: delete(refusal()), "v1.0.0 {refusal}, as {p}3 saw it"),
    "a refusal rewritten": (lambda: edit(refusal(), reason="none"), "v1.0.0 {refusal}, as {p}3 saw it"),
    "a refusal of another version": (lambda: edit(refusal(), version="v1.0.0"), "v1.2.0 {refusal}: the version in the record"),
    "a withdrawal deleted": (
        lambda: delete("refs/tags/detector@v1.1.0!"), "v1.0.0 detector@v1.1.0!, as {p}5 saw it"
    ),
    "a withdrawal rewritten": (
        lambda: edit("refs/tags/detector@v1.1.0!", approver="Eve"), "v1.0.0 detector@v1.1.0!, as {p}5 saw it"
    ),
    "a withdrawal moved to another version": (
        lambda: rewrite("refs/tags/detector@v1.1.0!", lambda text: text, "refs/tags/detector@v1.2.0!"),
        "v1.2.0 detector@v1.2.0!: the name in the tag",
    ),
    "a version's tag rewritten": (
        lambda: rewrite("refs/tags/detector@v1.2.0", lambda text: text.replace("PROMOTE", "REJECT")),
        "v1.2.0 detector@v1.2.0, as {p}4 saw it",
    ),
    "the end cut off before a version was registered": (
        lambda: delete(*(ref(n) for n in range(2, 6))), "v1.2.0 the assignment before detector@v1.2.0"
    ),
    "the end cut off before a withdrawal": (
        lambda: delete(ref(4), ref(5)), "v1.1.0 the assignment before detector@v1.1.0!"
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("tamper", "expected"), TAMPERED.values(), ids=TAMPERED)
def test_what_is_noticed(trail: Path, tamper: Callable[[], object], expected: str) -> None:
    name = refusal().removeprefix("refs/tags/")
    tamper()

    assert expected.format(refusal=name, hash="hash of the record before", p="detector#production#") in found()


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 5])
def test_the_end_cut_off_is_noticed_in_a_clone_that_saw_it_and_can_be_put_back(trail: Path, number: int) -> None:
    delete(*(ref(n) for n in range(number, 6)))

    [fault] = witness.faults(NAME)

    assert fault.what == "the tag detector#production#5, the last that this clone saw"
    assert fault.found.startswith("none: taken out (git update-ref 'refs/tags/detector#production#5' refs/ratchet/last/")
    sh("sh", "-c", fault.found.partition("(")[2].partition(" puts")[0])
    assert list(witness.faults(NAME)) == []


def test_the_only_assignment_deleted_or_rewritten_is_noticed(trail: Path) -> None:
    edit(ref(1, "staging"), approver="Eve")
    assert [fault.what for fault in witness.faults(NAME)] == ["the tag detector#staging#1, the last that this clone saw"]

    delete(ref(1, "staging"))
    assert [fault.expected for fault in witness.faults(NAME)] == [sh("git", "rev-parse", "refs/ratchet/last/detector/staging")]


@pytest.mark.slow
def test_a_shorter_trail_does_not_make_a_clone_forget(trail: Path) -> None:
    delete(ref(5))

    witness.keep(NAME, "production")

    assert len(list(witness.faults(NAME))) == 1


def test_what_a_clone_that_never_saw_it_cannot_notice_is_the_end_cut_off(trail: Path) -> None:
    delete(ref(5), "refs/ratchet/last/detector/production")

    assert found() == set()
    assert list(witness.faults(NAME)) == []


def without_links(text: str) -> str:
    """The text of a tag as releases before the chain wrote it."""
    outer, _, rest = text.partition("\n\n")
    head, _, body = rest.partition("\n\n")
    new = {"hash_before", "records_since", "version_tag", "via", "authenticated", "after", "lower_bound"}
    return f"{outer}\n\n{head}\n\n{json.dumps({k: v for k, v in json.loads(body).items() if k not in new}, indent=2)}"


def make_old(*names: str) -> None:
    for name in names or sh("git", "for-each-ref", "--format=%(refname)", "refs/tags").split("\n"):
        rewrite(name, without_links)


def test_a_trail_of_an_earlier_release_is_accepted_and_goes_on_as_a_chain(
    trail: Path, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    make_old()
    assert found() == set()

    caplog.set_level("INFO")
    Registry(params).promote("v1.2.0", **WHO)
    assert found() == set()
    assert "detector#production: 6 assignments, linked from detector#production#6 on; 5 of an earlier release" in caplog.text

    edit(ref(5), approver="Eve")
    assert found() == {"v1.2.0 detector#production#6: hash of the record before"}


@pytest.mark.slow
def test_in_a_trail_of_an_earlier_release_what_can_be_seen_is(trail: Path) -> None:
    make_old()
    edit(ref(4), **{"from": None})
    delete(ref(2))

    assert found() >= {"history detector#production#2", "v1.2.0 detector#production#4: the version before"}


def test_an_assignment_by_hand_in_an_old_trail_is_a_warning(trail: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_old()
    annotate(ref(6), "by hand", commit_of("v1.2.0"))

    assert found() == set()
    assert "detector#production#6 was made by hand" in caplog.text


def test_a_record_of_the_far_future_does_not_push_the_next_one_there(
    trail: Path, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    Registry(params).promote("v1.2.0", **WHO, when=datetime(2099, 1, 1, tzinfo=UTC))

    Registry(params).promote("v1.0.0", **WHO)

    past = Registry(params).history()
    assert abs(past[-1].created - datetime.now(UTC)) < timedelta(minutes=10)
    assert Registry(params).champion() == "v1.0.0"
    assert "detector#production#6: dated in the future" in caplog.text
    assert found() == {"v1.2.0 detector#production#6: its time"}


@pytest.mark.slow
def test_a_clock_that_is_hours_ahead_keeps_the_order_and_those_after_say_their_time(
    trail: Path, params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)
    Registry(params).promote("v1.2.0", **WHO, when=ahead)
    assert "clock" not in caplog.text

    Registry(params).promote("v1.0.0", **WHO)

    assert Registry(params).history()[-1].created == ahead + timedelta(seconds=1)
    assert f"dated {(ahead + timedelta(seconds=1)).isoformat()}, to keep the order" in caplog.text
    assert found() == set()


def test_a_record_cannot_add_a_line_to_what_verify_prints(trail: Path) -> None:
    edit(ref(5), **{"from": "v1.1.0\ndetector all: everything is as it was registered"})

    text = "\n".join(fault.summary() for fault in chain.faults(NAME))

    assert "\ndetector all" not in text
    assert "v1.1.0\\ndetector all" in text


ODD = [None, 7, {"a": [1]}]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["hash_before", "from", "version", "records_since"])
def test_a_record_of_any_shape_is_a_fault_and_no_traceback(trail: Path, params: Params, key: str) -> None:
    texts = {name: sh("git", "rev-parse", name) for name in (ref(5), refusal(), "refs/tags/detector@v1.1.0!")}
    for value in ODD:
        for name, tag_id in texts.items():
            edit(name, **{key: value})
            list(chain.faults(NAME))
            Registry(params).history()
            sh("git", "update-ref", name, tag_id)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "folder", "annotated file", "the year 60000", "a broken record of a version"])
def test_a_tag_by_hand_of_any_kind_is_a_fault_and_no_traceback(trail: Path, params: Params, kind: str) -> None:
    Path("file").write_text("content")
    blob, tree = sh("git", "hash-object", "-w", "file"), sh("git", "rev-parse", "HEAD^{tree}")
    if kind == "a broken record of a version":
        edit("refs/tags/detector@v1.2.0", names=None, after=[1])
    elif kind == "the year 60000":
        rewrite(ref(5), lambda text: text.replace(str(int(day(5).timestamp())), str(60000 * 31_557_600)))
    elif kind == "annotated file":
        annotate(ref(6), "x", blob)
    else:
        sh("git", "tag", "detector#production#6", {"file": blob, "folder": tree}[kind])

    assert found() != set()
    assert Registry(params).history()
    try:
        Registry(params).list_versions(with_deprecated=True)
    except RegistryError as error:
        assert "made by hand: detector#production#" in error.what  # noqa: PT017 - GTO reads some of them
