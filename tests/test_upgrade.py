"""A newer Ratchet merged into a repository of 27 November 2026, whose params.yaml a user had edited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tasks.common import params
from tasks.common.errors import ParamsError
from tasks.common.params import Params
from tasks.common.params.upgrade import ADDED, GONE
from tasks.common.yaml import load_yaml
from tests import checkout
from tests.environment import ENVIRONMENT
from tests.workspace import sh

ROOT = Path(__file__).parents[1]
OLD = "8c8d0a1"
"""The last commit of 27 November 2026."""
EDITED: dict[str, dict[str, object]] = {
    **checkout.SMALL,
    "export": {"formats": []},
    "registry": {"push": False},
    "gate": {"min_gain": 0.02, "confidence": None},
    "validate": {"max_rows_drop": 0.25},
}


@pytest.fixture
def old_params(tmp_path: Path) -> Path:
    if subprocess.run(["git", "cat-file", "-e", OLD], cwd=ROOT, check=False, capture_output=True).returncode:
        pytest.skip(f"this clone lacks the history back to {OLD}")
    path = tmp_path / "params.yaml"
    path.write_text(sh("git", "show", f"{OLD}:params.yaml", cwd=ROOT) + "\n")
    return path


def keys(values: Mapping[str, Any], kind: Any = Params, head: str = "") -> set[str]:
    """The keys of a params.yaml, those of a section as `section.key`."""
    found = set()
    for name, value in values.items():
        inner = get_type_hints(kind).get(name) if is_dataclass(kind) else None
        found |= keys(value, inner, f"{head}{name}.") if is_dataclass(inner) else {f"{head}{name}"}
    return found


def test_every_key_that_came_or_went_since_is_known(old_params: Path) -> None:
    old, new = keys(load_yaml(old_params)), keys(load_yaml(ROOT / "params.yaml"))

    assert new - old == set(ADDED)
    assert old - new == set(GONE)


def test_a_new_key_is_taken_as_it_ships(old_params: Path) -> None:
    shipped = load_yaml(ROOT / "params.yaml")

    assert {key: shipped[key.partition(".")[0]][key.partition(".")[2]] for key in ADDED} == ADDED
    assert params.load(old_params).gate.reign_budget == 0.2


def test_the_file_of_then_is_read_and_what_changed_is_named(old_params: Path) -> None:
    notes = params.upgrade_notes(old_params)

    assert "gate.reign_budget is new, taken as 0.2: write it down, or choose another value" in notes
    assert [note.split()[0] for note in notes] == [*ADDED, *GONE]
    assert params.upgrade_notes(ROOT / "params.yaml") == []


def test_what_went_cannot_be_set_and_a_typo_is_still_refused_with_its_line(old_params: Path) -> None:
    with pytest.raises(ParamsError, match="unknown key"):
        params.load(old_params, ["report.conf=0.5"])
    old_params.write_text(old_params.read_text().replace("  min_gain:", "  min_gian:"))
    with pytest.raises(ParamsError, match=r"line \d+: gate.min_gian: unknown key. Did you mean min_gain") as error:
        params.load(old_params)
    assert "gate.min_gain: missing key" in error.value.what


@pytest.mark.slow
@pytest.mark.nightly
def test_versions_and_champion_of_then_serve_todays_code(old_params: Path, tmp_path: Path) -> None:
    """Both releases run for real: two small runs, with the merge of the second in between, params.yaml kept as it was."""
    today, user = checkout.make(tmp_path / "today", {}), tmp_path / "user"
    sh("git", "clone", "-q", "--no-checkout", str(ROOT), str(user))
    python = (sys.executable, "-m")

    def git(*args: str) -> str:
        return sh("git", *args, cwd=user)

    git("checkout", "-q", "-B", "main", OLD)
    git("remote", "remove", "origin")
    checkout.set_params(user, EDITED)
    git("commit", "-qam", "Our values")
    before = git("show", "HEAD:params.yaml")
    outcome = checkout.run(user, sys.executable, "-m", "flows.improve")
    assert "v1.0.0" in outcome
    checkout.run(user, sys.executable, "-m", "tasks.registry", "promote", "v1.0.0", "--approver", "A. User", "--reason", "first")

    git("add", "-A")
    git("commit", "-qm", "The first run")
    git("fetch", "-q", str(ROOT), "HEAD")
    subprocess.run(["git", "merge", "-q", "--no-edit", "FETCH_HEAD"], cwd=user, env=ENVIRONMENT, check=False)
    for path in git("ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (today / path).is_file() and path != "params.yaml":  # what is not committed here yet, too
            (user / path).parent.mkdir(parents=True, exist_ok=True)
            (user / path).write_bytes((today / path).read_bytes())
    (user / "params.yaml").write_text(before)
    git("add", "-A")
    git("commit", "-qm", "Merge today's Ratchet")

    listing = checkout.run(user, *python, "tasks.registry", "list")
    assert "v1.0.0" in listing
    assert "A. User" in listing
    for verb in ("show", "verify", "fetch"):
        checkout.run(user, *python, "tasks.registry", verb, "v1.0.0")
    outcome = checkout.run(user, *python, "flows.improve")
    assert outcome.count("gate.reign_budget is new, taken as 0.2") == 1
    assert "soup has no effect any more" in outcome
    assert "v1.0.0" in checkout.run(user, *python, "tasks.registry", "list")
    assert "Nothing changed since the last run" in checkout.run(user, *python, "flows.improve")
