"""A server for a team: a string that everybody must have, and PostgreSQL."""

from __future__ import annotations

import base64
import secrets
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from tests import checkout, postgres
from tests.serving import FIRST, Served, browser_tab, choose, fill, require_in_sight, serving, submit

pytestmark = pytest.mark.slow
USER = ("ratchet", secrets.token_hex(16))  # not in this file, which the checkout holds
AUTH = ":".join(USER)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster | None]:
    """PostgreSQL; None where it is not installed, and then the server below is on SQLite."""
    with postgres.cluster(tmp_path_factory.mktemp("postgres")) if postgres.binaries() else nullcontext() as here:
        yield here


@pytest.fixture(scope="module")
def served(database: postgres.Cluster | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {"PREFECT_SERVER_API_AUTH_STRING": AUTH}
    if database:
        settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.url
    with serving(tmp_path_factory.mktemp("serve"), settings, USER) as here:
        yield here


@pytest.mark.parametrize("user", [None, ("ratchet", "wrong")], ids=["nobody", "a wrong string"])
def test_the_api_refuses_those_without_the_string(served: Served, user: tuple[str, str] | None) -> None:
    for path in ("/work_pools/ratchet", "/deployments/name/promote/detector-promote"):
        assert httpx.get(f"{served.url}/api{path}", auth=user).status_code == httpx.codes.UNAUTHORIZED


def test_deploy_wants_the_string_too(served: Served) -> None:
    command = ["env", f"PREFECT_API_URL={served.url}/api", sys.executable, "-m", "flows.deploy"]

    refused = checkout.run(served.root, *command, ok=False)
    accepted = checkout.run(served.root, "env", f"PREFECT_API_AUTH_STRING={AUTH}", *command[1:])

    assert "error: the Prefect server refuses us: 401 Unauthorized" in refused
    assert "PREFECT_API_AUTH_STRING" in refused
    assert "Traceback" not in refused
    assert f"to {served.url}/api" in accepted
    assert AUTH not in refused + accepted


def test_a_person_logs_in_approves_and_the_version_becomes_champion(served: Served) -> None:
    version = served.register("good weights")
    run = served.start()
    served.question(run, 1)
    with browser_tab() as page:
        page.goto(f"{served.url}/v2/runs/flow-run/{run}")
        page.get_by_placeholder("admin:pass").fill(AUTH)
        page.get_by_role("button", name="Login").click()
        page.get_by_role("button", name="Open menu").click()
        page.get_by_role("menuitem", name="Resume").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text(f"Shall detector@{version} go into production?").wait_for()
        require_in_sight(dialog, *FIRST)
        choose(page, "approve")
        fill(dialog, "Ada Lovelace", "The gain is real")
        submit(served, dialog, run, "Resume")

    served.wait(run, "Promoted")
    assert served.champion() == f"detector@{version}"


def test_the_runs_are_in_postgresql(served: Served, database: postgres.Cluster | None) -> None:
    if database is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    run = served.start()
    served.wait(run, "Unchanged" if served.champion() == "detector@v1.1.0" else "Suspended")

    rows = database.run("psql", "--tuples-only", "--no-align", "--command", "select id, state_type from flow_run", "prefect")

    assert run in rows
    assert not list(served.root.glob(".prefect/*.db"))


def test_no_secret_is_in_a_log_the_database_a_file_or_a_tag(served: Served, database: postgres.Cluster | None) -> None:
    served.wait(served.start(), "Unchanged" if served.champion() == "detector@v1.1.0" else "Suspended")
    files = [file for file in served.root.rglob("*") if file.is_file() and ".venv" not in file.parts]
    places = {str(file): file.read_bytes() for file in [*files, served.log]}
    places["git"] = checkout.run(served.root, "git", "log", "--all", "-p").encode()
    places["tags"] = checkout.run(served.root, "git", "for-each-ref", "--format=%(contents)").encode()
    if database:
        places["database"] = database.run("pg_dump", "prefect").encode()

    for secret in (USER[1], base64.b64encode(AUTH.encode()).decode(), postgres.PASSWORD):
        assert [place for place, content in places.items() if secret.encode() in content] == []
    assert b"Ada Lovelace" in places["tags"] or not Path("/usr/bin/chromium").exists()
