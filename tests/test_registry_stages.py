"""Promotion, rollback, history, deprecation and verification, with real git and DVC remotes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tasks.common import git
from tasks.common import params as params_module
from tasks.common.params import Params
from tasks.registry import Fault, Registry
from tasks.registry import record as rec
from tasks.registry.stages import line_of
from tests import workspace as ws
from tests.registry_data import NUM_CLONES, RECORD, WHO, at_once, clone_here, day, make_version, the_error
from tests.workspace import sh


@pytest.fixture
def params() -> Params:
    return params_module.load(ws.ROOT / "params.yaml")


def test_a_record_of_an_earlier_release_still_decodes() -> None:
    head, _, body = rec.encode("detector", "v1.0.0", replace(RECORD, code="c", files={"a": "b"})).partition("\n\n")
    old = {key: value for key, value in json.loads(body).items() if key not in {"code", "files"}}

    assert rec.decode(f"{head}\n\n{json.dumps(old)}") == RECORD


@pytest.mark.slow
class TestPromote:
    def test_the_tag_says_who_why_and_on_which_evidence_and_gto_reads_it(
        self, bare: Path, params: Params, tmp_path: Path
    ) -> None:
        first, second = make_version(params, "one"), make_version(params, "two")
        Registry(params).promote(first, **WHO, when=day(18))

        found = Registry(params).promote(f"detector@{second}", **WHO, when=day(20))

        assert (found.version, found.stages, Registry(params).champion()) == (second, ("production",), second)
        message = sh(
            "git", "for-each-ref", "--format=%(contents)", "refs/tags/detector#production#2", cwd=tmp_path / "origin.git"
        )
        head, _, body = message.partition("\n\n")
        assert head == "detector@v1.1.0 to production: the gain holds on every slice"
        assert json.loads(body) == {
            "version": "v1.1.0",
            "from": "v1.0.0",
            "to": "production",
            "approver": "A. Reviewer",
            "reason": "the gain holds on every slice",
            "time": "2026-11-20T12:00:00+00:00",
            "rollback": False,
            "decision": "decision of two",
            "report": "report of two",
            "via": "command line",
            "authenticated": False,
            "hash_before": sh("git", "rev-parse", "refs/tags/detector#production#1"),
            "version_tag": sh("git", "rev-parse", "refs/tags/detector@v1.1.0"),
            "records_since": {},
        }
        assert sh("gto", "show", "detector#production", "--version") == "v1.1.0"

    def test_the_champion_again_changes_nothing(self, bare: Path, params: Params) -> None:
        version = make_version(params, "one")
        Registry(params).promote(version, **WHO)

        again = Registry(params).promote(version, approver="Another", reason="clicked twice", expected_champion=None)

        assert again.stages == ("production",)
        assert [(a.number, a.approver) for a in Registry(params).history()] == [(1, "A. Reviewer")]

    def test_a_reason_of_any_characters_survives(self, bare: Path, params: Params) -> None:
        reason = 'first line\n\n{"approver": "forged"}\0 Prüfung'

        Registry(params).promote(make_version(params, "one"), approver="A", reason=reason)

        assert [(a.approver, a.reason) for a in Registry(params).history()] == [("A", reason)]

    def test_an_unknown_version_and_an_empty_reason_are_refused(self, bare: Path, params: Params) -> None:
        make_version(params, "one")

        assert "no version v9.0.0" in the_error(lambda: Registry(params).promote("v9.0.0", **WHO)).what
        error = the_error(lambda: Registry(params).promote("v1.0.0", approver="A", reason=" "))
        assert error.what == "the reason is empty"
        assert Registry(params).history() == ()

    def test_a_champion_that_moved_meanwhile_elsewhere_is_refused(
        self, bare: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        versions = [make_version(params, name) for name in ("one", "two", "three")]
        Registry(params).promote(versions[0], **WHO)
        monkeypatch.chdir(clone_here(tmp_path, "clone"))
        Registry(params).promote(versions[1], **WHO)
        monkeypatch.chdir(bare)

        error = the_error(lambda: Registry(params).promote(versions[2], **WHO, expected_champion=versions[0]))

        assert error.what == "the champion is v1.1.0 now, expected was v1.0.0"
        assert Registry(params).promote(versions[2], **WHO, expected_champion="v1.1.0").stages == ("production",)
        assert [(a.previous, a.version) for a in Registry(params).history()] == [
            (None, "v1.0.0"),
            ("v1.0.0", "v1.1.0"),
            ("v1.1.0", "v1.2.0"),
        ]

    def test_a_number_that_was_taken_between_reading_and_pushing_is_left_to_its_owner(
        self, bare: Path, params: Params, tmp_path: Path
    ) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        clone = clone_here(tmp_path, "clone")
        hook = bare / ".git/hooks/pre-push"
        hook.write_text(f"#!/bin/sh\nrm $0\nunset GIT_DIR\ncd {clone} && git fetch -q --tags && gto assign detector"
                        f" --version {one} --stage production --push\n")  # fmt: skip
        hook.chmod(0o755)

        Registry(params).promote(two, **WHO)

        past = Registry(params).history()
        assert [(a.number, a.previous, a.version) for a in past] == [(1, None, one), (2, one, two)]
        assert past[0].approver == "A User"
        assert sh("git", "tag", "-l", "*#*", cwd=tmp_path / "origin.git").split() == [a.tag for a in past]

    def test_a_version_that_the_remote_lacks_is_refused_and_says_what_to_push(self, bare: Path, params: Params) -> None:
        make_version(replace(params, registry=replace(params.registry, push=False)), "here alone")

        error = the_error(lambda: Registry(params).promote("v1.0.0", **WHO))

        assert (error.what, error.where) == ("this version is not on the remote", "detector@v1.0.0")
        assert Registry(params).history() == ()

    def test_what_was_promoted_without_the_remote_is_pushed_with_the_next(
        self, bare: Path, params: Params, tmp_path: Path
    ) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        Registry(replace(params, registry=replace(params.registry, push=False))).promote(one, **WHO)

        Registry(params).promote(two, **WHO)

        tags = sh("git", "tag", "-l", "*#*", cwd=tmp_path / "origin.git").split()
        assert tags == ["detector#production#1", "detector#production#2"]

    def test_many_at_once_leave_one_history_without_a_gap(self, bare: Path, params: Params, tmp_path: Path) -> None:
        versions = [make_version(params, str(i)) for i in range(6)]
        clones = [clone_here(tmp_path, f"clone{i}") for i in range(6)]

        assert at_once(clones, lambda i: Registry(params).promote(versions[i], **WHO)) == [0] * 6

        sh("git", "fetch", "-q", "--tags", "origin")
        past = Registry(params).history()
        assert [a.number for a in past] == [1, 2, 3, 4, 5, 6]
        assert sorted(a.version for a in past) == versions
        assert [a.previous for a in past[1:]] == [a.version for a in past[:-1]]
        assert sorted({a.created for a in past}) == [a.created for a in past]


@pytest.mark.slow
class TestRollback:
    def test_it_goes_back_one_champion_each_time_in_seconds(self, bare: Path, params: Params) -> None:
        for name in ("one", "two", "three"):
            Registry(params).promote(make_version(params, name), **WHO)
        started = time.monotonic()

        assert Registry(params).rollback(approver="On call", reason="misses bolts").version == "v1.1.0"
        assert time.monotonic() - started < 10
        assert Registry(params).rollback(approver="On call", reason="so does this").version == "v1.0.0"
        error = the_error(lambda: Registry(params).rollback(approver="On call", reason="and this"))
        assert error.what == "no version was champion before v1.0.0"
        assert [(a.previous, a.version, a.is_rollback) for a in Registry(params).history()[-2:]] == [
            ("v1.2.0", "v1.1.0", True),
            ("v1.1.0", "v1.0.0", True),
        ]
        assert sh("gto", "show", "detector@v1.0.0", "--json").count('"production"') > 0

    def test_without_a_champion_it_is_refused(self, bare: Path, params: Params) -> None:
        assert the_error(lambda: Registry(params).rollback(**WHO)).what == "there is no champion yet"

    def test_a_deprecated_version_is_passed_over(self, bare: Path, params: Params) -> None:
        for name in ("one", "two", "three"):
            Registry(params).promote(make_version(params, name), **WHO)
        Registry(params).deprecate("v1.1.0", **WHO)

        assert Registry(params).rollback(**WHO).version == "v1.0.0"

    def test_a_promotion_by_name_of_an_older_version_can_be_undone(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        for version in (one, two, one):
            Registry(params).promote(version, **WHO)

        assert Registry(params).rollback(**WHO).version == two


class TestHistory:
    @pytest.mark.slow
    def test_a_day_names_every_version_that_was_in_production_then(self, bare: Path, params: Params) -> None:
        for name, when in (("one", day(18)), ("two", day(20)), ("three", day(22))):
            Registry(params).promote(make_version(params, name), **WHO, when=when)

        def on(number: int) -> list[str]:
            return [a.version for a in Registry(params).history(on=date(2026, 11, number))]

        assert [on(n) for n in (17, 18, 19, 20, 21, 22, 30)] == [
            [],
            ["v1.0.0"],
            ["v1.0.0"],
            ["v1.0.0", "v1.1.0"],
            ["v1.1.0"],
            ["v1.1.0", "v1.2.0"],
            ["v1.2.0"],
        ]

    @pytest.mark.slow
    def test_time_never_runs_backwards(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        Registry(params).promote(one, **WHO, when=day(20))

        assert "is before 2026-11-20T12:00:01+00:00" in the_error(lambda: Registry(params).promote(two, **WHO, when=day(20))).what

    def test_another_stage_has_its_own_history(self, bare: Path, params: Params) -> None:
        one = make_version(params, "one")
        Registry(replace(params, registry=replace(params.registry, stage="staging"))).promote(one, **WHO)

        assert Registry(params).history() == ()
        assert Registry(params).champion() is None

    @pytest.mark.slow
    def test_a_rollback_takes_away_what_it_undid(self, bare: Path, params: Params) -> None:
        for name in ("one", "two"):
            Registry(params).promote(make_version(params, name), **WHO)
        Registry(params).rollback(**WHO)

        assert line_of(Registry(params).history()) == ["v1.0.0"]


@pytest.mark.slow
class TestDeprecate:
    def test_it_is_listed_as_such_and_gto_hides_it_and_it_cannot_be_promoted(
        self, bare: Path, params: Params, tmp_path: Path
    ) -> None:
        make_version(params, "one")
        make_version(params, "two")

        later = datetime(2099, 1, 2, tzinfo=UTC)
        found = Registry(params).deprecate("v1.0.0", approver="A", reason="trained on leaked images", when=later)

        assert found.deprecated == "2099-01-02 by A: trained on leaked images"
        assert Registry(params).deprecate("v1.0.0", **WHO) == found
        assert [v.version for v in Registry(params).list_versions()] == ["v1.1.0"]
        listed = Registry(params).list_versions(with_deprecated=True)
        assert [(v.version, bool(v.deprecated), v.record is not None) for v in listed] == [
            ("v1.0.0", True, True),
            ("v1.1.0", False, True),
        ]
        assert "v1.0.0" not in sh("gto", "show", "detector")
        assert "deregistration" in sh("gto", "history", "detector")
        assert "detector@v1.0.0!" in sh("git", "tag", cwd=tmp_path / "origin.git").split()
        assert "leaked images" in the_error(lambda: Registry(params).promote("v1.0.0", **WHO)).what
        assert make_version(params, "three") == "v1.2.0"

    def test_what_gto_deprecated_counts_too(self, bare: Path, params: Params) -> None:
        make_version(params, "one")
        sh("gto", "deprecate", "detector", "v1.0.0")

        assert "A User" in str(Registry(params).show("v1.0.0").deprecated)

    def test_a_time_before_the_registration_is_refused(self, bare: Path, params: Params) -> None:
        make_version(params, "one")

        assert "is before" in the_error(lambda: Registry(params).deprecate("v1.0.0", **WHO, when=day(1))).what
        assert Registry(params).show("v1.0.0").deprecated is None

    def test_the_champion_is_refused(self, bare: Path, params: Params) -> None:
        Registry(params).promote(make_version(params, "one"), **WHO)

        assert the_error(lambda: Registry(params).deprecate("v1.0.0", **WHO)).what == "v1.0.0 is in production"


@pytest.mark.slow
class TestVerify:
    def test_an_untouched_version_has_no_fault_and_pins_what_it_should(self, shared: Path, params: Params) -> None:
        version = Registry(params).register()
        Registry(params).promote("v1.0.0", **WHO)
        Registry(params).fetch("v1.0.0")

        assert Registry(params).verify() == Registry(params).verify("v1.0.0") == ()
        assert version.record is not None
        assert version.record.code == sh("git", "rev-parse", "HEAD")
        assert set(version.record.files) >= {
            "params.yaml",
            "dvc.yaml",
            "dvc.lock",
            "champion.yaml",
            "reports/evaluation.json",
            "reports/decision.json",
            "reports/report.md",
        }
        assert version.record.files["dvc.lock"] == hashlib.sha256((shared / "dvc.lock").read_bytes()).hexdigest()
        assert Registry(params).history()[0].report == version.record.files["reports/report.md"]
        sh("gto", "deprecate", "detector", "v1.0.0")
        assert Registry(params).verify() == ()

    def test_one_byte_in_any_copy_is_named(self, shared: Path, params: Params, tmp_path: Path) -> None:
        version = Registry(params).register()
        assert version.record is not None
        Registry(params).promote("v1.0.0", **WHO)
        copy = Registry(params).fetch("v1.0.0")
        md5 = version.record.md5
        report = sh("git", "rev-parse", "detector@v1.0.0:reports/report.md")
        statistics = hashlib.md5(Path("reports/evaluation.npz").read_bytes()).hexdigest()
        image = hashlib.md5(b"train").hexdigest()
        places = {
            "models/finetune/best.pt in the DVC cache": Path(f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"),
            "models/finetune/best.pt on the DVC remote": tmp_path / f"store/files/md5/{md5[:2]}/{md5[2:]}",
            "models/finetune/best.pt as models/registered/detector@v1.0.0.pt": copy,
            "reports/evaluation.npz in the DVC cache": Path(f".dvc/cache/files/md5/{statistics[:2]}/{statistics[2:]}"),
            "data/sample/images/train/0.png in the DVC cache": Path(f".dvc/cache/files/md5/{image[:2]}/{image[2:]}"),
        }
        for place, path in places.items():
            assert [fault.what for fault in with_one_byte_changed(path, lambda: Registry(params).verify())] == [place]

        loose = Path(f".git/objects/{report[:2]}/{report[2:]}")
        changed = zlib.compress(zlib.decompress(loose.read_bytes()).replace(b"first", b"First"))
        faults = with_one_byte_changed(loose, lambda: Registry(params).verify(), changed)
        assert [fault.what for fault in faults] == [
            "reports/report.md in the commit (git's hash)",
            "reports/report.md in the commit",
        ]
        assert Registry(params).verify() == ()

    @pytest.mark.parametrize("path", ["reports/report.md", "reports/decision.json", "reports/evaluation.json", "dvc.lock"])
    def test_a_tag_that_was_moved_to_another_commit_is_found(self, shared: Path, params: Params, path: str) -> None:
        Registry(params).register()
        text = git.git("for-each-ref", "--format=%(contents)", "refs/tags/detector@v1.0.0")
        sh("git", "checkout", "-q", "detector@v1.0.0")
        content = (shared / path).read_bytes()
        (shared / path).write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if path != "dvc.lock" else content + b"\n")
        sh("git", "commit", "-qam", "Forge")
        sh("git", "tag", "-f", "-a", "-m", text, "detector@v1.0.0")

        faults = Registry(params).verify("v1.0.0")

        assert {fault.what for fault in faults} == {"the tag detector@v1.0.0 here", f"{path} in the commit"}

    def test_weights_that_are_nowhere_and_another_data_version_are_found(
        self, shared: Path, params: Params, tmp_path: Path
    ) -> None:
        version = Registry(params).register()
        assert version.record is not None
        for folder in (Path(".dvc/cache"), tmp_path / "store"):
            (folder / f"files/md5/{version.record.md5[:2]}/{version.record.md5[2:]}").unlink()
        forged = rec.encode("detector", "v1.0.0", replace(version.record, data_version="0" * 32))
        sh("git", "tag", "-f", "-a", "-m", forged, "detector@v1.0.0", "detector@v1.0.0^{}")

        found = {fault.what: fault.found for fault in Registry(params).verify()}

        assert found.pop("the tag detector@v1.0.0 here")
        assert found.pop("models/finetune/best.pt in the DVC cache or on the DVC remote") == "nothing"
        assert found == {"data version of data/sample in the commit": version.record.data_version}

    def test_what_the_cache_lacks_is_said_and_no_fault(
        self, shared: Path, params: Params, caplog: pytest.LogCaptureFixture
    ) -> None:
        Registry(params).register()
        assert Registry(params).verify() == ()
        assert "not hashed" not in caplog.text
        out = Path("data/sample/data.yaml")
        md5 = hashlib.md5(out.read_bytes()).hexdigest()
        (shared / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}").unlink()

        assert Registry(params).verify() == ()
        assert caplog.messages[-1].splitlines()[1:] == ["data/sample of v1.0.0"]

    def test_a_version_made_by_hand_and_one_of_an_earlier_release_are_said_to_pin_less(
        self, shared: Path, params: Params, caplog: pytest.LogCaptureFixture
    ) -> None:
        version = Registry(params).register()
        assert version.record is not None
        old = rec.encode("detector", "v1.1.0", replace(version.record, files={}, code=""))
        sh("git", "tag", "-a", "-m", old, "detector@v1.1.0", "detector@v1.0.0^{}")
        sh("gto", "register", "detector", "HEAD", "--version", "v1.2.0")

        assert Registry(params).verify() == ()
        assert "detector@v1.1.0 is of an earlier release" in caplog.text
        assert "detector@v1.2.0 was registered by hand" in caplog.text


@pytest.mark.slow
def test_the_verbs_print_text_and_json_and_verify_ends_with_1(shared: Path) -> None:
    def verb(*args: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "tasks.registry", *args]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == code, result.stderr
        return result.stdout.strip()

    who = ("--approver", "A. Reviewer", "--reason", "holds")
    verb("register")
    assert verb("history") == "no version of detector was in production"
    assert verb("promote", "v1.0.0", *who).endswith("[production]")
    ws.run_stages(shared, weights="second weights")
    verb("register")
    assert verb("promote", "v1.1.0", *who, "--expected-champion", "v1.3.0", code=1) == ""
    assert json.loads(verb("promote", "v1.1.0", *who, "--json", "--expected-champion", "v1.0.0"))["stages"] == ["production"]
    assert json.loads(verb("rollback", *who, "--json"))["version"] == "v1.0.0"
    assert [a["version"] for a in json.loads(verb("history", "--json"))] == ["v1.0.0", "v1.1.0", "v1.0.0"]
    assert verb("history").splitlines()[1].endswith("v1.0.0 -> v1.1.0  A. Reviewer: holds")
    assert verb("history", "--on", "2001-01-01") == "no version of detector was in production"
    ws.dvc("artifacts", "get", ".", "detector", "--stage", "production", "-o", "served.pt")
    assert (shared / "served.pt").read_text() == "first weights"
    assert "deprecated" in verb("deprecate", "v1.1.0", *who)
    first, second = verb("list").splitlines()
    assert re.search(r"\[production\]  promoted \d{4}-\d\d-\d\d by A\. Reviewer$", first)
    assert "by A. Reviewer: holds" in second
    assert verb("verify") == "detector all: everything is as it was registered"
    md5 = hashlib.md5(b"second weights").hexdigest()
    cached = shared / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    cached.chmod(0o644)
    cached.write_text("second weightz")
    assert verb("verify", "v1.0.0", "--json") == "[]"
    assert verb("verify", code=1).startswith("v1.1.0  models/finetune/best.pt in the DVC cache: pinned")


@pytest.mark.slow
@pytest.mark.nightly
def test_many_clones_that_register_at_once_get_distinct_numbers_and_none_is_lost(
    bare: Path, params: Params, tmp_path: Path
) -> None:
    clones = [clone_here(tmp_path, f"clone{i}") for i in range(NUM_CLONES)]

    assert at_once(clones, lambda i: make_version(params, f"weights {i}")) == [0] * NUM_CLONES

    sh("git", "fetch", "-q", "--tags", "origin")
    versions = Registry(params).list_versions()
    assert [v.version for v in versions] == [f"v1.{i}.0" for i in range(NUM_CLONES)]
    expected = {hashlib.md5(f"weights {i}".encode()).hexdigest() for i in range(NUM_CLONES)}
    assert {v.record.md5 for v in versions if v.record} == expected


def with_one_byte_changed(path: Path, call: Callable[[], tuple[Fault, ...]], changed: bytes | None = None) -> tuple[Fault, ...]:
    """What `call` returns while one byte of `path` is another, or while it holds `changed`."""
    before = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(changed or before[:-1] + bytes([before[-1] ^ 1]))
    try:
        return call()
    finally:
        path.write_bytes(before)
