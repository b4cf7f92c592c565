"""The registry in MLflow: the same verbs against a real `mlflow server` on sqlite, and what MLflow's own client sees of them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tasks.common import isolation
from tasks.common import params as params_module
from tasks.common.errors import RegistryError
from tasks.common.looks import Looks, Subject
from tasks.common.params import Params
from tasks.measure.decision import Verdict
from tasks.measure.exported import Exported, ExportedFormat, KeptFile
from tasks.registry import Registry
from tasks.registry.in_mlflow import MlflowBackend
from tasks.registry.in_mlflow.client import ENTRY
from tests import workspace as ws
from tests.api import free_port
from tests.mlflow_server import Server
from tests.registry_data import RECORD, WHO, day, the_error
from tests.workspace import sh

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="the extra [mlflow] is not installed"),
]
NUM_AT_ONCE = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("mlflow")).running() as here:
        yield here


@pytest.fixture
def params(server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A model name of its own for each test, on the server of all."""
    for key, value in isolation.environment(ws.ROOT).items():
        if key.startswith("MLFLOW_"):
            monkeypatch.setenv(key, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    values = params_module.load(ws.ROOT / "params.yaml")
    name = "m" + hashlib.md5(request.node.nodeid.encode()).hexdigest()[:12]
    return replace(values, registry=replace(values.registry, backend="mlflow", mlflow_uri=server.uri, name=name))


@pytest.fixture
def bare(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with a report, and an empty DVC cache, as the current folder."""
    root = tmp_path / "ws"
    (root / "reports").mkdir(parents=True)
    monkeypatch.chdir(root)
    sh("git", "init", "-q", "-b", "main")
    (root / "reports/report.md").write_text("the report")
    (root / ".dvc").mkdir()
    sh("git", "add", "reports")
    sh("git", "commit", "-qm", "Start")
    return root


def make_version(params: Params, content: str, files: dict[str, str] | None = None, **changes: Any) -> str:
    """A version whose weights are `content`."""
    md5 = hashlib.md5(content.encode()).hexdigest()
    cached = Path(f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}")
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(content)
    head = sh("git", "rev-parse", "HEAD")
    record = replace(RECORD, md5=md5, code=head, files=files or {"reports/report.md": ""}, **changes)
    return Registry(params).backend.add(record, head).version


def stored(server: Server, name: str) -> Path:
    """The one artifact file with that name that was written last."""
    return max(server.artifacts.rglob(name), key=lambda path: path.stat().st_mtime_ns)


@contextmanager
def failing(code: int) -> Iterator[str]:
    """The address of a server that answers everything with `code`, and to come again in an hour."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Retry-After", "3600")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refuses(what: str) -> Callable[..., None]:
    """A call of MLflow's client that fails."""

    def call(*args: object, **options: object) -> None:
        from mlflow.exceptions import MlflowException

        raise MlflowException(f"{what}: error code 503")

    return call


def at_once(num: int, work: Callable[[int], object]) -> list[object]:
    """What `work(i)` returns in threads that begin together."""
    gate = threading.Barrier(num)

    def run(i: int) -> object:
        gate.wait()
        return work(i)

    with ThreadPoolExecutor(num) as pool:
        return list(pool.map(run, range(num)))


class TestRegister:
    def test_a_run_becomes_a_version_that_mlflow_itself_shows_and_serves(
        self, root: Path, params: Params, server: Server
    ) -> None:
        (root / "stage.py").write_text(ws.STAGE + "\n# edited, not committed\n")

        version = Registry(params).register()

        assert (version.version, version.commit) == ("v1.1.0", sh("git", "rev-parse", "HEAD"))
        assert version.record is not None
        assert version.record.md5 == hashlib.md5(b"first weights").hexdigest()
        assert sh("git", "tag") == ""
        assert version.link == f"{server.uri}/#/models/{params.registry.name}/versions/1"
        with MlflowBackend(params).client() as client:
            found = client.get_model_version(params.registry.name, "1")
            run = client.get_run(found.run_id)
        assert found.description == version.record.summary()
        assert (run.data.metrics["box/mAP50"], run.data.metrics["gate/gain"]) == (0.6, pytest.approx(0.2))
        assert run.data.params["gate.min_gain"] == "0.01"
        assert {"params.yaml", "dvc.lock", "reports/decision.json", "reports/evaluation.json", "reports/report.md"} <= set(
            version.record.files
        )
        assert Registry(params).read_file(version, "reports/report.md") == b"the report of first weights"
        assert b"+# edited, not committed" in Registry(params).read_file(version, "code.patch")
        assert json.loads(Registry(params).read_file(version, "record.json"))["md5"] == version.record.md5

    def test_another_workspace_fetches_the_weights_from_the_server(
        self, bare: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = make_version(params, "one")
        other = tmp_path / "other"
        (other / ".dvc").mkdir(parents=True)
        monkeypatch.chdir(other)

        path = Registry(params).fetch(version)

        assert path == Path(f"models/registered/{params.registry.name}@v1.1.0.pt")
        assert path.read_text() == "one"
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_exported_artifacts_are_kept_with_the_version_and_come_back_elsewhere(
        self, bare: Path, params: Params, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = b"an exported network"
        digest = hashlib.sha256(content).hexdigest()
        files = {"onnx/model.onnx": KeptFile(len(content), digest)}
        listing = json.dumps([{"relpath": "onnx/model.onnx", "md5": hashlib.md5(content).hexdigest()}]).encode()
        folder = f"{hashlib.md5(listing).hexdigest()}.dir"
        for md5, own in ((hashlib.md5(content).hexdigest(), content), (folder, listing)):
            cached = bare / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_bytes(own)
        lock = {"stages": {"export": {"cmd": "python", "outs": [{"path": "models/export", "md5": folder}]}}}
        (bare / "dvc.lock").write_text(json.dumps(lock) + "\n")
        formats = {"onnx": ExportedFormat(status="kept", files=files)}
        Exported(verdict=Verdict.PROMOTE, exported=True, reason="", formats=formats).write()
        sh("git", "add", "-A", "reports", "dvc.lock")
        sh("git", "commit", "-qm", "Export")
        version = make_version(params, "one", files=dict.fromkeys(("reports/report.md", "reports/export.json", "dvc.lock"), ""))
        other = tmp_path / "other"
        (other / ".dvc").mkdir(parents=True)
        monkeypatch.chdir(other)

        found = Registry(params).artifacts(version, Path("served/here"))

        assert (found / "onnx/model.onnx").read_bytes() == content
        assert [path.name for path in found.parent.iterdir()] == ["here"]
        assert (found / "version.txt").read_text() == f"{params.registry.name}@{version}\n"
        stored(server, "model.onnx").write_bytes(b"something else")
        assert "registered was " + digest in the_error(lambda: Registry(params).artifacts(version, Path("again"))).what
        assert not Path("again").exists()
        assert "models/export/onnx/model.onnx in MLflow" in [fault.what for fault in Registry(params).verify()]

    def test_the_report_is_kept_with_the_version_and_comes_back_elsewhere(
        self, bare: Path, params: Params, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = bare / "reports/report.html"
        page.write_text('<html lang="en"><body><p>the report')
        sh("git", "add", "-Af", "reports")
        sh("git", "commit", "-qm", "Report")
        version = make_version(params, "one", files=dict.fromkeys(("reports/report.md", "reports/report.html"), ""))
        other = tmp_path / "other"
        (other / ".dvc").mkdir(parents=True)
        monkeypatch.chdir(other)

        text = Registry(params).report(version).read_text()

        assert text.endswith("</dl></aside><p>the report")
        assert f"<strong>{params.registry.name}@{version}</strong>" in text
        stored(server, "report.html").write_text("something else")
        assert "reports/report.html has the hash" in the_error(lambda: Registry(params).report(version)).what

    def test_a_version_without_artifacts_says_so(self, bare: Path, params: Params) -> None:
        Exported(verdict=Verdict.PROMOTE, exported=True, reason="", formats={}).write()
        sh("git", "add", "-A", "reports")
        sh("git", "commit", "-qm", "Export nothing")
        version = make_version(params, "one", files=dict.fromkeys(("reports/report.md", "reports/export.json"), ""))

        assert "no artifact was kept with it" in the_error(lambda: Registry(params).artifacts(version, Path("served"))).what

    def test_the_same_model_twice_is_one_version(self, root: Path, params: Params) -> None:
        assert Registry(params).register() == Registry(params).register()
        assert len(Registry(params).list_versions()) == 1

    def test_other_classes_are_a_major_step(self, bare: Path, params: Params) -> None:
        names = [("bolt", "nut"), ("nut",), ("nut",)]

        made = [make_version(params, str(i), names=names[i]) for i in range(3)]

        assert made == ["v1.1.0", "v2.2.0", "v2.3.0"]

    def test_a_model_that_somebody_logged_by_hand_is_not_a_version(self, bare: Path, params: Params) -> None:
        make_version(params, "one")
        with MlflowBackend(params).client() as client:
            own = client.get_model_version(params.registry.name, "1")
            client.create_model_version(params.registry.name, own.source, own.run_id)

        assert [v.version for v in Registry(params).list_versions()] == ["v1.1.0"]
        assert make_version(params, "two") == "v1.3.0"

    def test_a_registration_that_broke_leaves_no_version(
        self, bare: Path, params: Params, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_version(params, "one")
        with pytest.raises(FileNotFoundError):
            Registry(params).backend.add(replace(RECORD, md5="f" * 32, code="HEAD"), "HEAD")

        assert [v.version for v in Registry(params).list_versions()] == ["v1.1.0"]

    def test_ten_at_once_are_all_distinct_and_none_is_lost(self, bare: Path, params: Params) -> None:
        made = at_once(NUM_AT_ONCE, lambda i: make_version(params, f"weights {i}"))

        assert len(set(made)) == NUM_AT_ONCE
        versions = Registry(params).list_versions()
        assert {v.version for v in versions} == set(made)
        expected = {hashlib.md5(f"weights {i}".encode()).hexdigest() for i in range(NUM_AT_ONCE)}
        assert {v.record.md5 for v in versions if v.record} == expected

    def test_the_same_weights_at_once_are_one_version(self, bare: Path, params: Params) -> None:
        made = at_once(4, lambda i: make_version(params, "the same"))

        assert {v.version for v in Registry(params).list_versions()} == set(made)
        assert len(set(made)) == 1


class TestStages:
    def test_the_alias_follows_and_history_says_who_and_why(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        Registry(params).promote(one, **WHO, when=day(18))

        found = Registry(params).promote(two, approver="B", reason='any\n"characters"\0 ä', when=day(20), expected_champion=one)

        assert (found.stages, Registry(params).champion()) == (("production",), two)
        with MlflowBackend(params).client() as client:
            assert client.get_model_version_by_alias(params.registry.name, "production").version == "2"
            entry = client.get_model_version(f"{params.registry.name}.history", "2")
        assert (entry.tags["approver"], entry.tags["reason"]) == ("B", 'any "characters" ä')
        past = Registry(params).history()
        assert [(a.number, a.previous, a.version, a.approver) for a in past] == [
            (1, None, one, "A. Reviewer"),
            (2, one, two, "B"),
        ]
        assert past[1].reason == 'any\n"characters"\0 ä'
        assert past[1].report == hashlib.sha256(b"the report").hexdigest()
        on = [[a.version for a in Registry(params).history(on=date(2026, 11, n))] for n in (17, 18, 19, 20, 21)]
        assert on == [[], [one], [one], [one, two], [two]]

    def test_the_champion_again_changes_nothing(self, bare: Path, params: Params) -> None:
        one = make_version(params, "one")

        assert Registry(params).promote(one, **WHO) == Registry(params).promote(one, approver="B", reason="clicked twice")
        assert len(Registry(params).history()) == 1

    def test_a_champion_that_moved_meanwhile_is_refused(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        Registry(params).promote(one, **WHO)

        error = the_error(lambda: Registry(params).promote(two, **WHO, expected_champion=None))
        assert error.what == "the champion is v1.1.0 now, expected was none"
        assert "no version v9.0.0" in the_error(lambda: Registry(params).promote("v9.0.0", **WHO)).what

    def test_rollback_goes_back_one_each_time_past_deprecated_ones(self, bare: Path, params: Params) -> None:
        names = [make_version(params, name) for name in ("one", "two", "three", "four")]
        for name in names:
            Registry(params).promote(name, **WHO)
        Registry(params).deprecate(names[2], **WHO)

        assert Registry(params).rollback(**WHO).version == names[1]
        assert Registry(params).rollback(**WHO).version == names[0]
        assert the_error(lambda: Registry(params).rollback(**WHO)).what == "no version was champion before v1.1.0"
        assert MlflowBackend(params).alias() == "1"

    def test_a_deprecated_version_can_be_read_and_not_promoted(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        Registry(params).promote(two, **WHO)

        when = datetime(2099, 1, 2, tzinfo=UTC)
        found = Registry(params).deprecate(one, approver="A", reason="leaked images", when=when)

        assert found.deprecated == "2099-01-02 by A: leaked images"
        assert [v.version for v in Registry(params).list_versions()] == [two]
        assert len(Registry(params).list_versions(with_deprecated=True)) == 2
        assert "leaked images" in the_error(lambda: Registry(params).promote(one, **WHO)).what
        assert the_error(lambda: Registry(params).deprecate(two, **WHO)).what == "v1.2.0 is in production"

    def test_a_refusal_is_kept_once_and_moves_nothing(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        Registry(params).promote(one, **WHO)

        found = Registry(params).refuse(two, "rejected", approver="B", reason="misses\nbolts", question="run 1")
        at_once(3, lambda _: Registry(params).refuse(two, "unanswered", approver="nobody", reason="late", question="run 2"))

        assert (found.version, found.champion, found.approver, found.reason) == (two, one, "B", "misses\nbolts")
        assert Registry(params).refuse(two, "rejected", approver="C", reason="again", question="run 1") == found
        assert [(r.outcome, r.approver) for r in Registry(params).refusals(two)] == [("rejected", "B"), ("unanswered", "nobody")]
        assert Registry(params).refusals(one) == ()
        assert Registry(params).champion() == one

    def test_many_at_once_leave_one_history_in_which_each_follows_the_one_before(self, bare: Path, params: Params) -> None:
        names = [make_version(params, str(i)) for i in range(4)]

        at_once(4, lambda i: Registry(params).promote(names[i], **WHO))

        past = Registry(params).history()
        assert sorted(a.version for a in past) == names
        assert [a.previous for a in past] == [None, *(a.version for a in past[:-1])]
        assert MlflowBackend(params).alias() == past[-1].version.split(".")[1]

    def test_of_two_decisions_against_the_same_champion_one_is_refused(self, bare: Path, params: Params) -> None:
        names = [make_version(params, str(i)) for i in range(3)]
        Registry(params).promote(names[0], **WHO)

        def decide(i: int) -> str:
            try:
                return Registry(params).promote(names[i + 1], **WHO, expected_champion=names[0]).version
            except RegistryError as error:
                return error.what.partition(" now")[0]

        done = at_once(2, decide)

        winner = Registry(params).champion()
        assert sorted(map(str, done)) == sorted([str(winner), f"the champion is {winner}"])

    def test_an_alias_that_was_moved_by_hand_is_said_and_moved_back_by_the_next_change(
        self, bare: Path, params: Params, caplog: pytest.LogCaptureFixture
    ) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        Registry(params).promote(one, **WHO)
        with MlflowBackend(params).client() as client:
            client.set_registered_model_alias(params.registry.name, "production", "2")

        assert Registry(params).pin_champion() == one
        assert "the alias production names version 2, the history says 1" in caplog.text
        assert "the alias production in MLflow" in [fault.what for fault in Registry(params).verify()]
        Registry(params).promote(one, **WHO)
        assert MlflowBackend(params).alias() == "1"
        assert Registry(params).promote(two, **WHO).version == two

    def test_looks_at_the_champion_are_numbered_in_the_history_and_none_is_lost(self, bare: Path, params: Params) -> None:
        champion = make_version(params, "one", tensors="c" * 64)
        Registry(params).promote(champion, approver="A", reason="b")
        body = {"version": champion, "approver": "the gate", "reason": "why", "time": "2026-11-20T12:00:00+00:00"}

        def take(i: int) -> int:
            subject = Subject(f"candidate {i}", "split", "box.mAP50")
            return Registry(params)._look(subject).number

        assert sorted(at_once(10, take)) == list(range(1, 11))
        assert take(3) in range(1, 11)
        assert [look.number for look in Registry(params).looks()] == list(range(1, 11))
        assert not Registry(params).backend.look(Registry(params).show(champion), 5, body)
        Registry(params).pin_champion()
        assert len(Looks.read().subjects) == 10

    def test_champion_yaml_pins_the_version_and_its_weights(self, bare: Path, params: Params) -> None:
        assert Registry(params).pin_champion() is None
        Registry(params).promote(make_version(params, "one"), **WHO)

        assert Registry(params).pin_champion() == "v1.1.0"
        name = params.registry.name
        lines = Path("champion.yaml").read_text().splitlines()[1:]
        assert lines == [
            f"name: {name}",
            "version: v1.1.0",
            f"weights: models/registered/{name}@v1.1.0.pt",
            f"md5: {hashlib.md5(b'one').hexdigest()}",
        ]


class TestVerify:
    def test_one_byte_of_any_artifact_is_named(self, root: Path, params: Params, server: Server) -> None:
        Registry(params).register()
        Registry(params).promote("v1.1.0", **WHO)
        assert Registry(params).verify() == ()

        for file in ("best.pt", "report.md", "decision.json", "dvc.lock", "record.json"):
            path = stored(server, file)
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            faults = Registry(params).verify("v1.1.0")
            path.write_bytes(content)

            assert len(faults) == 1, faults
            assert file in faults[0].what
            assert "MLflow" in faults[0].what

    def test_another_metric_and_a_deleted_entry_of_the_history_are_named(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        for name in (one, two):
            Registry(params).promote(name, **WHO)
        with MlflowBackend(params).client() as client:
            client.log_metric(client.get_model_version(params.registry.name, "1").run_id, "box/mAP50", 0.61)
            client.delete_model_version(f"{params.registry.name}.history", "1")

        what = [fault.what for fault in Registry(params).verify()]

        assert "the metric box/mAP50 in MLflow" in what
        assert f"entry 1 of {params.registry.name}.history" in what
        assert Registry(params).champion() == two

    def test_an_entry_of_the_history_that_was_changed_emptied_or_made_by_hand_is_named(self, bare: Path, params: Params) -> None:
        one, two = make_version(params, "one"), make_version(params, "two")
        for version in (one, two, one):
            Registry(params).promote(version, **WHO)
        name = f"{params.registry.name}.history"

        def faults_with(number: str, change: Callable[[dict[str, Any]], object]) -> set[str]:
            with MlflowBackend(params).client() as client:
                text = client.get_model_version(name, number).tags[ENTRY]
                changed = json.loads(text)
                client.set_model_version_tag(name, number, ENTRY, str(change(changed) or json.dumps(changed)))
                found = {fault.what for fault in Registry(params).verify() if "entry" in fault.what}
                client.set_model_version_tag(name, number, ENTRY, text)
            return found

        link = "hash of the entry before"
        assert faults_with("1", lambda body: None) == set()
        assert faults_with("1", lambda body: body.update(approver="The Boss")) == {f"entry 2 (assign): {link}"}
        assert f"entry 3 (assign): {link}" in faults_with("3", lambda body: body.pop("hash_before") and None)
        assert f"entry 3 (assign): {link}" in faults_with("2", lambda body: "no JSON")
        assert faults_with("3", lambda body: body.update({"from": None})) == {"entry 3 (assign): the version before"}
        assert faults_with("3", lambda body: body.update(commit="0" * 40)) == {"entry 3 (assign): what it is about"}
        assert faults_with("3", lambda body: body.update(time="2099-01-01T00:00:00+00:00")) == {"entry 3 (assign): its time"}
        with MlflowBackend(params).client() as client:
            at = client.get_model_version(name, "3")
            client.create_model_version(name, at.source, at.run_id, {}, await_creation_for=0)
        assert {fault.what for fault in Registry(params).verify() if "entry" in fault.what} == {f"entry 4 of {name}"}


class TestErrors:
    def test_a_server_that_is_away_or_refuses_is_said_with_the_next_step(
        self, bare: Path, params: Params, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        away = replace(params, registry=replace(params.registry, mlflow_uri=None))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")

        error = the_error(lambda: Registry(away).list_versions())

        assert error.what.startswith("the MLflow server does not answer or refuses")
        assert error.fix.startswith("Start it, or correct registry.mlflow_uri")
        assert "secret" not in error.block()

    @pytest.mark.parametrize(
        ("code", "fix"), [(500, "The fault is the server's: look at its log"), (429, "The server takes no more requests")]
    )
    def test_a_server_that_fails_is_not_told_to_be_started_nor_waited_for(
        self, bare: Path, params: Params, monkeypatch: pytest.MonkeyPatch, code: int, fix: str
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
        began = time.monotonic()

        with failing(code) as uri:
            away = replace(params, registry=replace(params.registry, mlflow_uri=uri))
            error = the_error(lambda: Registry(away).list_versions())

        assert error.fix.startswith(fix)
        assert time.monotonic() - began < 20  # it says Retry-After: 3600

    def test_the_first_error_of_a_registration_counts(self, bare: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
        def goes_away(*args: object, **options: object) -> None:
            monkeypatch.setattr("mlflow.MlflowClient.set_terminated", refuses("runs/update"))
            refuses("artifacts")()

        monkeypatch.setattr("mlflow.MlflowClient.log_artifacts", goes_away)

        assert the_error(lambda: make_version(params, "one")).what.endswith("artifacts: error code 503")

    def test_after_a_rollback_without_an_answer_the_history_is_named(
        self, bare: Path, params: Params, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("one", "two"):
            Registry(params).promote(make_version(params, name), **WHO)
        monkeypatch.setattr("mlflow.MlflowClient.set_registered_model_alias", refuses("alias"))

        error = the_error(lambda: Registry(params).rollback(**WHO))

        assert Registry(params).champion() == "v1.1.0"
        assert "history` first: if it was recorded, another rollback goes one further back" in error.fix

    def test_no_address_at_all_is_said(self, bare: Path, params: Params) -> None:
        nowhere = replace(params, registry=replace(params.registry, mlflow_uri=None))

        assert the_error(lambda: Registry(nowhere).champion()).what == "no MLflow server is named"

    def test_a_missing_file_of_a_version_is_said(self, bare: Path, params: Params) -> None:
        version = Registry(params).show(make_version(params, "one"))

        assert "MLflow" in the_error(lambda: Registry(params).read_file(version, "reports/none.md")).what


def test_the_verbs_print_the_same_words_for_both_backends(root: Path, params: Params) -> None:
    def verb(*args: str, code: int = 0) -> str:
        settings = [f"registry.{key}={getattr(params.registry, key)}" for key in ("backend", "mlflow_uri", "name")]
        command = [sys.executable, "-m", "tasks.registry", *args, *(part for text in settings for part in ("--set", text))]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == code, result.stderr
        return result.stdout.strip()

    who = ("--approver", "A. Reviewer", "--reason", "holds")
    assert verb("register").startswith(f"{params.registry.name}@v1.1.0  ")
    assert verb("promote", "v1.1.0", *who).endswith("[production]")
    assert verb("history").endswith("v1.1.0  A. Reviewer: holds")
    assert verb("verify") == f"{params.registry.name} all: everything is as it was registered"
    assert f"/#/models/{params.registry.name}/versions/1" in verb("show", "v1.1.0")
    assert verb("page") == "runs/history.html"
    assert "since" in (root / "runs/history.html").read_text().partition("Champion</dt>")[2][:200]
    assert "its reports/evaluation.npz cannot be read" in verb("diff", "v1.1.0", "v1.1.0")
