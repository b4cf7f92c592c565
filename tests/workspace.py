"""A throw-away git and DVC workspace with the shape of the real dvc.yaml and stages that take no time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tasks.common.lineage import Lineage
from tasks.common.looks import Looks
from tests import warm

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    "DVC_NO_ANALYTICS": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # `git status` leaves the index alone
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "SHELL": "/bin/sh",  # as where nobody is logged in: DVC runs stages with it, and dash replaces itself only at `exec`
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "A User",
    "GIT_AUTHOR_EMAIL": "user@example.org",
    "GIT_COMMITTER_NAME": "A User",
    "GIT_COMMITTER_EMAIL": "user@example.org",
    "PYTHONPATH": str(ROOT),
}

STAGE = '''"""Every stage in miniature: `python stage.py NAME`. Files in control/ decide what happens."""
import json, pathlib, sys
name, control = sys.argv[1], pathlib.Path("control")
def read(key, default):
    file = control / key
    return file.read_text().strip() if file.exists() else default
def write(path, text):
    path = pathlib.Path(path); path.parent.mkdir(parents=True, exist_ok=True); path.write_text(text)
candidate = float(read("candidate", "0.6"))
reference = read("reference", "baseline")
tensors = {reference: read("reference_tensors", ""), "candidate": read("tensors", "")}
split = {"name": "test", "sha256": read("split", "0" * 64), "images": 1, "instances": 1, "dataset": "data/sample"}
if name == "sample":
    write("data/sample/data.yaml", "train: images/train\\nval: images/val\\ntest: images/test\\nnames: [bolt, nut]\\n")
    for split in ("train", "val", "test"):
        write(f"data/sample/images/{split}/0.png", split); write(f"data/sample/labels/{split}/0.txt", "")
elif name == "finetune":
    write("models/finetune/best.pt", read("weights", "first weights"))
    write("models/finetune/training.json", "{}")
elif name == "evaluate":
    from tasks.measure.files import Scores
    models = {reference: {"box": {"mAP50": 0.5}}, "candidate": {"box": {"mAP50": candidate, "per_class": []}}}
    for model, digest in tensors.items():
        models[model]["tensors_sha256"] = digest
    names = tuple(read("names", "bolt nut").split())
    Scores(task="segment", reference=reference, split=split, names=names, models=models).write()
    write("reports/evaluation.npz", "statistics " + read("weights", ""))
elif name == "gate":
    from tasks.measure.decision import Decision, Level, Reign, Verdict
    figures = {"reference": 0.5, "candidate": candidate, "gain": candidate / 0.5 - 1, "threshold": 0.01}
    said = {"verdict": Verdict(read("verdict", "PROMOTE")), "metric": "box.mAP50", "reasons": ("because",), **figures}
    parts = {"evidence": None, "guards": (), "metrics": {}, "per_class": {}, "slices": (), "split": split}
    champion = pathlib.Path("champion.yaml").read_text().partition("version: ")[2].split()[0]
    level = Level(0.005, float(read("lower_bound", "0.1")))
    reign = None if champion == "null" else Reign(champion, 1, 0.2, level, level)
    Decision(reference_model=reference, confidence=0.95, tensors_sha256=tensors, reign=reign, **said, **parts).write()
elif name == "report":
    write("reports/report.md", "the report of " + read("weights", "first weights"))
    write("reports/report.html", '<html lang="zh"><body><p>' + read("weights", "first weights"))
'''

DVC_YAML = {
    "stages": {
        "sample": {"cmd": "python stage.py sample", "outs": ["data/sample"]},
        "finetune": {"cmd": "python stage.py finetune", "deps": ["data/sample", "control"], "outs": ["models/finetune"]},
        "evaluate": {
            "cmd": "python stage.py evaluate",
            "deps": ["models/finetune", "champion.yaml", "control"],
            "outs": [{"reports/evaluation.json": {"cache": False}}, "reports/evaluation.npz"],
        },
        "gate": {
            "cmd": "python stage.py gate",
            "deps": ["reports/evaluation.json", "control"],
            "params": ["gate"],
            "metrics": [{"reports/decision.json": {"cache": False}}],
        },
        "report": {
            "cmd": "python stage.py report",
            "deps": ["reports/decision.json", "reports/evaluation.json"],
            "outs": [{"reports/report.md": {"cache": False}}, "reports/report.html"],
        },
    },
    "artifacts": {"detector": {"path": "models/finetune/best.pt", "type": "model", "desc": "The candidate of a run"}},
}


def sh(*args: str, cwd: Path | None = None) -> str:
    """Standard output of a program that must succeed."""
    result = subprocess.run(args, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{args}: {result.stdout}{result.stderr}"
    return result.stdout.strip()


def dvc(*args: str, cwd: Path | None = None) -> str:
    return sh(warm.python("dvc"), "-m", "dvc", *args, cwd=cwd)


def make_workspace(root: Path) -> Path:
    """A committed repository in `root`, whose stages have not run."""
    root.mkdir(parents=True)
    sh("git", "init", "-q", "-b", "main", cwd=root)
    dvc("init", "-q", cwd=root)
    (root / "dvc.yaml").write_text(yaml.safe_dump(DVC_YAML, sort_keys=False))
    (root / "stage.py").write_text(STAGE)
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (root / "champion.yaml").write_text("name: detector\nversion: null\n")
    (root / "looks.json").write_bytes(Looks(None).encode())
    (root / "lineage.json").write_bytes(Lineage(None).encode())
    (root / ".dvcignore").write_text("*.cache\n*.npy\n")
    (root / ".gitignore").write_text("/reports/*\n/models/registered/\n/.site-cache/\n")
    (root / "control").mkdir()
    (root / "control" / "candidate").write_text("0.6")
    sh("git", "add", "-A", cwd=root)
    sh("git", "commit", "-qm", "Start", cwd=root)
    return root


def set_control(root: Path, **values: str) -> None:
    """Choose what the stages do: weights, candidate (its metric), verdict, names, split, reference, tensors of either model."""
    for key, value in values.items():
        (root / "control" / key).write_text(value)


def run_stages(root: Path, **control: str) -> None:
    """`dvc repro` in `root`."""
    set_control(root, **control)
    dvc("repro", "-q", cwd=root)


def built_workspace(root: Path, template: Path) -> Path:
    """A workspace whose stages have run, copied from one that is made once in `template`."""
    if not template.exists():
        run_stages(make_workspace(template))
        sh("git", "add", "-A", cwd=template)
        sh("git", "commit", "-qm", "Run", cwd=template)
    shutil.copytree(template, root, symlinks=True)
    return root


def add_dvc_remote(root: Path, remote: Path) -> None:
    """What `dvc remote add --default store REMOTE` writes."""
    with (root / ".dvc" / "config").open("a") as config:
        config.write(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {remote}\n")


def add_git_remote(root: Path, remote: Path) -> None:
    """A bare repository at `remote`, as `origin` of `root`, with branch main."""
    sh("git", "init", "-q", "--bare", "-b", "main", str(remote))
    sh("git", "remote", "add", "origin", str(remote), cwd=root)
    sh("git", "push", "-q", "origin", "main", cwd=root)


def untouchables(root: Path) -> dict[str, str]:
    """What a registration must leave as it was: branch, index, status and the bytes of the working tree."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and ".git" not in p.parts and ".dvc" not in p.parts)
    return {
        "status": sh("git", "status", "--porcelain", "--ignored", cwd=root),
        "head": sh("git", "rev-parse", "HEAD", cwd=root) + (root / ".git" / "HEAD").read_text(),
        "branches": sh("git", "for-each-ref", "refs/heads", "refs/remotes", cwd=root),
        "staged": sh("git", "ls-files", "--stage", cwd=root),
        "index": (root / ".git" / "index").read_bytes().hex(),
        "files": json.dumps({str(f.relative_to(root)): f.read_bytes().hex() for f in files if "__pycache__" not in f.parts}),
    }
