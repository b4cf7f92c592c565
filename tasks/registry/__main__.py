"""`python -m tasks.registry VERB [--json]`; `--help` lists the verbs."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tasks.common import isolation, params, root, stage
from tasks.common.errors import PipelineError
from tasks.common.paths import HISTORY
from tasks.common.text import line
from tasks.measure.exported import Exported
from tasks.registry import Assignment, Look, Refusal, Registry, Version

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    """Run one verb; results go to standard output, everything else to standard error. `verify` ends with 1 on a fault."""
    args = _parser().parse_args(argv)
    stage.log_to_terminal()
    logging.getLogger().setLevel(logging.INFO)
    typed_in = root.enter()
    isolation.apply()
    if getattr(args, "to", None):
        args.to = Path(os.path.relpath(typed_in / args.to))
    with stage.user_errors():
        content, text = _do(args, Registry(params.load(overrides=args.set)))
        print(json.dumps(content, indent=2, ensure_ascii=False, default=_spell) if args.json else text)  # noqa: T201 - the result
    if args.verb == "verify" and content:
        sys.exit(1)


def _do(args: argparse.Namespace, registry: Registry) -> tuple[Any, str]:
    """The result of a verb, as data and as text."""
    name = registry.name
    match args.verb:
        case "list":
            versions = registry.list_versions(with_deprecated=True)
            if versions and (text := registry.doubt()):
                log.warning(text)
            promoted = {assignment.version: assignment for assignment in registry.history()}
            lines = "\n".join(_listed(v, promoted.get(v.version)) for v in versions)
            return [_data(v) for v in versions], lines or _none(args, registry, f"no version of {name} yet")
        case "fetch" | "artifacts" | "report":
            path = _written(args, registry)
            return {"path": str(path)}, str(path)
        case "champion":
            current = registry.pin_champion() if args.pin else registry.champion()
            text = f"{name}@{current}" if current else _none(args, registry, f"{name} has no champion yet")
            return {"name": name, "version": current}, text
        case "history" | "page" | "diff":
            return _history(args, registry)
        case "verify":
            faults = registry.verify(args.version)
            good = f"{name} {args.version}: everything is as it was registered"
            if not registry.list_versions(with_deprecated=True):
                good = f"{name} has no version yet: nothing to verify"
            return [asdict(fault) for fault in faults], "\n".join(fault.summary() for fault in faults) or good
        case _:
            version = _version(args, registry)
            return _shown(version, registry) if args.verb == "show" else (_data(version), version.summary())


def _written(args: argparse.Namespace, registry: Registry) -> Path:
    """Where a verb has put what it brings of a version."""
    match args.verb:
        case "fetch":
            return registry.fetch(args.version)
        case "artifacts":
            return registry.artifacts(args.version, args.to)
        case _:
            return registry.report(args.version, args.to)


def _history(args: argparse.Namespace, registry: Registry) -> tuple[Any, str]:
    """What became of the versions: as lines, as a page, or of two of them side by side."""
    match args.verb:
        case "page":
            from tasks.history import page

            page.write(registry)
            return {"path": str(HISTORY)}, str(HISTORY)
        case "diff":
            from tasks.history import diff

            both, path = diff.write(registry, args.version, args.other)
            return diff.content(both, path), diff.console(both, path)
    past = _past(registry, args.on)
    none = f"no version of {registry.name} was in {registry.stage}"
    rows = [event.summary() for event in past] + [text for text in (registry.budget(),) if text and args.on is None]
    text = "\n".join(rows) or _none(args, registry, none)
    return [asdict(event) for event in past], text


def _version(args: argparse.Namespace, registry: Registry) -> Version:
    """The result of a verb that names or makes one version."""
    match args.verb:
        case "show":
            return registry.show(args.version)
        case "register":
            return registry.register(allow_inconclusive=args.allow_inconclusive)
        case "rollback":
            return registry.rollback(approver=args.approver, reason=args.reason)
        case "deprecate":
            return registry.deprecate(args.version, approver=args.approver, reason=args.reason)
        case _:
            expected = {} if args.expected_champion is None else {"expected_champion": args.expected_champion}
            return registry.promote(args.version, approver=args.approver, reason=args.reason, **expected)


def _listed(version: Version, promoted: Assignment | None) -> str:
    """The version in one line, with the last time that it was put into the stage."""
    if promoted is None:
        return version.summary()
    return f"{version.summary()}  {line(f'promoted {promoted.created:%Y-%m-%d} by {promoted.approver}')}"


def _none(args: argparse.Namespace, registry: Registry, sure: str) -> str:
    """`sure`, or where the registry may know more than this clone: that nothing is known here, and what to do."""
    if not (text := registry.doubt()):
        return sure
    text = f"{registry.name} is not known here, which is not the same as none: {text}"
    if args.json:
        log.warning(text)
    return text


def _past(registry: Registry, on: date | None) -> list[Assignment | Refusal | Look]:
    """What was put into the stage, what was refused and what the gate looked at, in the order of time."""
    events: list[Refusal | Look] = [*registry.refusals(), *registry.backend.looks()]
    of_day = [event for event in events if on in {None, event.created.date()}]
    return sorted([*registry.history(on=on), *of_day], key=lambda event: event.created)


def _shown(version: Version, registry: Registry) -> tuple[dict[str, Any], str]:
    refusals, formats = registry.refusals(version.version), _formats(version, registry)
    lines = "".join(f"\nrefused    {refusal.summary()}" for refusal in refusals)
    words = ", ".join(formats) if formats else "none was kept"
    lines = f"\nartifacts  {words}{lines}"
    return _data(version) | {"artifacts": formats, "refusals": [asdict(refusal) for refusal in refusals]}, _page(version) + lines


def _formats(version: Version, registry: Registry) -> list[str]:
    """The export formats that `artifacts` brings of the version."""
    try:
        exported = registry.result(version, Exported)
    except PipelineError:  # it keeps no export.json: it was made by hand, or by an early release
        return []
    return [name for name, entry in exported.formats.items() if entry.status == "kept"]


def _data(version: Version) -> dict[str, Any]:
    return {"tag": version.tag, **asdict(version)}


def _spell(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


def _page(version: Version) -> str:
    rows = {"version": version.tag, "commit": version.commit, "created": version.created, "stages": ", ".join(version.stages)}
    rows |= {"deprecated": version.deprecated or "", "page": version.link}
    if record := version.record:
        rows |= {
            "verdict": record.summary(),
            "weights": f"{record.weights}, md5 {record.md5}",
            "data": f"{record.data}, version {record.data_version[:12]}",
            "parent": record.parent or "none",
            "code": record.code,
            "model": f"{record.task}; {', '.join(record.names)}",
            "new": ", ".join(record.new_names),
            "libraries": ", ".join(f"{name} {number}" for name, number in record.libraries.items()),
            "evidence": ", ".join(f"{path} {digest[:12]}" for path, digest in record.files.items()),
        }
        rows |= {kind: "  ".join(f"{k} {v:.4f}" for k, v in values.items()) for kind, values in record.metrics.items()}
    return "\n".join(f"{key:10} {line(value)}" for key, value in rows.items() if value)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the result as JSON")
    common.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter for this call"
    )
    version_argument = argparse.ArgumentParser(add_help=False)
    version_argument.add_argument("version", metavar="vX.Y.Z")
    why = argparse.ArgumentParser(add_help=False)
    why.add_argument("--approver", required=True, help="who decides")
    why.add_argument("--reason", required=True, help="why")
    parser = argparse.ArgumentParser(prog="python -m tasks.registry", description="The versions of the model.")
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, words: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return verbs.add_parser(name, parents=[*parents, common], help=words)

    verb("list", "every version, a line each")
    verb("show", "one version", version_argument)
    verb("page", "every version, what it gained and who decided, as runs/history.html")
    verb("diff", "two versions side by side, with the images on which they differ", version_argument).add_argument(
        "other", metavar="vX.Y.Z"
    )
    verb("register", "make the candidate a version").add_argument(
        "--allow-inconclusive", action="store_true", help="register a candidate whose gain is not proven"
    )
    verb("promote", "put a version into production", version_argument, why).add_argument(
        "--expected-champion", metavar="vX.Y.Z", help="refuse where another version is the champion by now"
    )
    verb("rollback", "back to the champion before the present one", why)
    verb("deprecate", "withdraw a version: it can be read and not promoted", version_argument, why)
    on = verb("history", "what was in production, was refused or was looked at, newest last: time, versions, who and why")
    on.add_argument("--on", type=date.fromisoformat, metavar="YYYY-MM-DD", help="on that day alone (UTC)")
    audit = verb("verify", "hash again everything that a version pins; exit code 1 where something differs")
    audit.add_argument("version", nargs="?", default="all", metavar="vX.Y.Z", help="all by default")
    verb("fetch", "weights to models/registered/", version_argument)
    out = verb("artifacts", "the exported artifacts and the model card of a version, to a new folder")
    out.add_argument("version", nargs="?", metavar="vX.Y.Z", help="the champion by default")
    out.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    page = verb("report", "the report of a version as one page, with who promoted it and when", version_argument)
    page.add_argument("--to", type=Path, metavar="FILE", help="runs/reports/NAME@vX.Y.Z.html by default")
    verb("champion", "the version in production").add_argument(
        "--pin", action="store_true", help="also write champion.yaml and fetch its weights"
    )
    return parser


if __name__ == "__main__":
    main()
