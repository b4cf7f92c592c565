"""`python -m tasks.annotate ask`, `send` and `take`; `--help` lists the options."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import get_args

from tasks import annotate
from tasks.annotate import Options
from tasks.annotate.types import RULES, ImagesBy, Tool
from tasks.common import isolation, params, root, stage
from tasks.common.errors import ParamsError
from tasks.common.params import Params

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    """Ask, or take the answers; exits 1 on a user's error."""
    args = _parser().parse_args(argv)
    stage.log_to_terminal()
    typed_in = root.enter()
    isolation.apply()
    with stage.user_errors():
        values = params.load(overrides=args.set)
        try:
            if args.verb == "ask":
                _ask(args, typed_in, values)
            elif args.verb == "send":
                _send(_below(typed_in, args.bundle), args.to, values)
            else:
                _take(args, typed_in, values)
        except KeyboardInterrupt:
            log.error("stopped: the dataset is as it was before")
            sys.exit(130)


def _ask(args: argparse.Namespace, typed_in: Path, values: Params) -> None:
    options = _options(args, typed_in)
    if args.to is None:
        annotate.ask(options, values)
        return
    from tasks.annotate import project, servers

    servers.require(args.tool, options.images)
    place = project.find(args.to, values.registry.name, args.tool)  # before the minutes that a list may take
    project.send(annotate.ask(options, values), place)


def _send(bundle: Path, to: str, values: Params) -> None:
    from tasks.annotate import project, servers
    from tasks.annotate.bundle import Bundle

    opened = Bundle.open(bundle)
    servers.require(opened.tool, opened.images)
    project.send(bundle, project.find(to, values.registry.name, opened.tool))


def _take(args: argparse.Namespace, typed_in: Path, values: Params) -> None:
    from tasks.annotate import project, take

    named = args.bundle and _below(typed_in, args.bundle)
    is_url = "://" in args.answers
    source = args.answers if is_url else _below(typed_in, Path(args.answers))
    if is_url or project.Project.of_bundle(source):
        if named or args.partial:
            fix = "Leave `--bundle` and `--partial` out."
            raise ParamsError("a project knows its bundles, and gives what was submitted", where=str(source), fix=fix)
        project.take(str(source), values, split=args.split)
    else:
        take.run(source, values, named=named, split=args.split, is_partial=args.partial)


def _options(args: argparse.Namespace, typed_in: Path) -> Options:
    images, prefix = args.images[0], " ".join(args.images[1:])
    if images not in get_args(ImagesBy) or len(args.images) > 2:
        fix = "Write `--images copy`, `--images path [FOLDER]` or `--images url PREFIX`."
        raise ParamsError(f"it says {' '.join(args.images)!r}", where="--images", fix=fix)
    if (images == "url") != bool(prefix) and images != "path":
        fix = "Write `--images url PREFIX`." if images == "url" else "Write `--images copy` alone."
        raise ParamsError(f"`{images}` {'needs' if images == 'url' else 'takes no'} prefix", where="--images", fix=fix)
    if args.num is not None and args.num < 1:
        raise ParamsError(f"expected a number of images, got {args.num}", where="--num", fix="Write `--num 50`.")
    if args.images_from and args.what not in ("uncertain", "gate"):
        fix = "Leave it out: this list has images of its own."
        raise ParamsError(f"`{args.what}` takes no folder of images", where="--images-from", fix=fix)
    return Options(
        what=args.what, tool=args.tool, num=args.num, out=args.out and _below(typed_in, args.out), images=images,
        prefix=str(typed_in / prefix) if images == "path" and prefix else prefix,
        images_from=args.images_from and _below(typed_in, args.images_from), seed=args.seed, is_blank=args.blank,
        is_sent=args.to is not None,
    )  # fmt: skip


def _below(typed_in: Path, path: Path) -> Path:
    """A path that was typed in the folder `typed_in`, relative to the checkout where it lies below it."""
    full = typed_in / path
    return full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tasks.annotate", description=(annotate.__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    ask = verbs.add_parser("ask", help="choose images, and write them as a bundle for a labelling tool")
    add = ask.add_argument
    add("--what", required=True, choices=list(RULES), help="the list: see docs/annotate.md")
    add("--tool", required=True, choices=get_args(Tool), help="who reads the bundle")
    add(
        "--to",
        metavar="URL",
        help="the tool's server or a project there: straight into it, by the token in LABEL_STUDIO_API_KEY or CVAT_ACCESS_TOKEN",
    )
    add("--num", type=int, metavar="N", help=f"images ({annotate.NUM}; for gate as many as the last decision needs)")
    add("--out", type=Path, metavar="FOLDER", help="the bundle's folder; by default a new one below runs/annotate")
    add(
        "--images", nargs="+", default=["copy"], metavar="HOW",
        help="copy (default); path [FOLDER]: as they lie below FOLDER; url PREFIX: PREFIX and the path in the checkout",
    )  # fmt: skip
    add("--images-from", type=Path, metavar="FOLDER", help="choose from these images, for uncertain and gate")
    add("--seed", type=int, default=0, metavar="N", help="of the draw for the gate (0)")
    add("--blank", action="store_true", help="draw no detections of the champion on images without labels")
    send = verbs.add_parser("send", help="bring a bundle into a project on its tool's server, or go on where that stopped")
    send.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    send.add_argument("--to", required=True, metavar="URL", help="the server, or a project there")
    take = verbs.add_parser("take", help="read the answers, and write them into the dataset")
    words = "what the tool exported, a file, a folder or a .zip; or a bundle that was sent, or the URL of its project"
    take.add_argument("answers", metavar="ANSWERS", help=words)
    take.add_argument("--bundle", type=Path, metavar="FOLDER", help="the bundle that they answer; by default found by its images")
    take.add_argument("--split", choices=("train", "val", "test"), help="of new images, where the list allows it")
    take.add_argument("--partial", action="store_true", help="leave images that are not in the export as they are")
    for verb in (ask, send, take):
        verb.add_argument(
            "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter for this call"
        )
    return parser


if __name__ == "__main__":
    main()
