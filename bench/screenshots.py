"""The pictures of docs/screens: what a person looks at, from one run.

    git clone . ../shown && cd ../shown && make run && python -m tasks.registry promote v1.0.0 --approver Ada --reason "First"
    # change sample.num_train in params.yaml to 760 and `make run` again
    python -m bench.screenshots ../shown

Pages at 1440 and 390 px, light and dark, as they begin; the question of flow `promote`, with its form, in the old UI of Prefect
and in the new one. The server of `make serve` runs in the workspace for as long as it takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tests.api import free_port
from tests.serving import Served, browser_tab

SCREENS = Path("docs/screens")
PAGES = {
    "report": "reports/report.html",
    "errors": "runs/errors.html",
    "validation": "reports/validation.html",
    "review": "reports/review.html",
    "history": "runs/history.html",
}
SIZES = {1440: 900, 390: 844}
"""Width and height of the windows, pixels."""
SCHEMES = ("light", "dark")


class Shown(Served):
    """A workspace with a finished run, in which `make serve` will run."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self.log, self.user, self.newest, self.process = root, log, None, "", None
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment: Mapping[str, str] = {**os.environ, "PREFECT_SERVER_API_PORT": str(port)}


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    root, target = parser.parse_args().workspace.resolve(), SCREENS.resolve()
    target.mkdir(exist_ok=True)
    for command in (["tasks.report", "--errors"], ["tasks.registry", "page"]):
        subprocess.run([sys.executable, "-m", *command], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=True)
    with browser_tab() as tab:
        for name, page in PAGES.items():
            tab.goto((root / page).as_uri())
            for width, height in SIZES.items():
                for scheme in SCHEMES:
                    tab.set_viewport_size({"width": width, "height": height})
                    tab.emulate_media(color_scheme=scheme)
                    tab.screenshot(path=target / f"{name}-{width}-{scheme}.png")
        with tempfile.TemporaryDirectory() as folder:
            shown = Shown(root, Path(folder) / "serve.log")
            shown.begin()
            try:
                shown.ready()
                take_question(shown, tab, target)
            finally:
                shown.end()
    for picture in target.glob("*.png"):
        Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)  # a third of the size


def take_question(shown: Shown, tab: Any, target: Path) -> None:
    """The run that waits, and its question, in both UIs."""
    run = shown.start()
    shown.question(run, 1)
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.emulate_media(color_scheme="light")
    for ui, path in (("old", ""), ("new", "/v2")):
        tab.goto(f"{shown.url}{path}/runs/flow-run/{run}")
        button = tab.get_by_role("button", name="Resume" if ui == "old" else "Open menu")
        button.wait_for()
        tab.wait_for_timeout(3000)  # the graph of the run moves until then
        tab.screenshot(path=target / f"run-{ui}.png")
        button.click()
        if ui == "new":
            tab.get_by_role("menuitem", name="Resume").click()
        tab.get_by_role("dialog").get_by_text("go into production?").wait_for()
        tab.wait_for_timeout(1000)
        tab.screenshot(path=target / f"question-{ui}.png")
    shown.post(f"/flow_runs/{run}/set_state", state={"type": "CANCELLED"}, force=True)


if __name__ == "__main__":
    main()
