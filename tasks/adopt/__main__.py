"""`python -m tasks.adopt PATH`, or `python -m tasks.adopt --resplit`; `--help` lists the options."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path

from tasks import adopt
from tasks.adopt.options import Options
from tasks.adopt.recognise import FORMATS
from tasks.common import isolation, params, root, stage
from tasks.common.errors import ParamsError

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    """Adopt an export, or mend the splits of a dataset; exits 1 on a user's error."""
    args = _parser().parse_args(argv)
    stage.log_to_terminal()
    typed_in = root.enter()
    isolation.apply()
    with stage.user_errors():
        values = params.load(overrides=args.set)
        if args.path is None:
            if not args.resplit:
                raise ParamsError("no export is named", where="PATH", fix="Write python -m tasks.adopt /path/to/export.")
            folder = adopt.DATA / args.name if args.name else Path(values.data.path)
            adopt.mend_splits(folder, values, write=args.write)
            return
        try:
            adopt.run(_options(args, typed_in), values)
        except KeyboardInterrupt:
            log.error("stopped: the dataset is as it was before")
            sys.exit(130)


def _options(args: argparse.Namespace, typed_in: Path) -> Options:
    for name in ("val", "test"):
        if (share := getattr(args, name)) is not None and not 0 < share < 0.5:
            raise ParamsError(f"expected a share between 0 and 0.5, got {share}", where=f"--{name}", fix=f"Write --{name} 0.1.")
    if args.write:
        raise ParamsError(
            "--write is for --resplit without a PATH", where="--write", fix="Leave it out: an export is adopted at once."
        )
    source = (typed_in / args.path).resolve()
    stem = source.name if source.is_dir() else args.path.stem
    name = args.name or re.sub(r"[^\w.-]+", "-", stem).strip("-.").lower()
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise ParamsError(f"{name!r} cannot be the name of a folder below data/", where="--name", fix="Write --name my-set.")
    if args.classes is not None and not args.classes.replace(",", "").strip():
        raise ParamsError("it names no class", where="--classes", fix="Write --classes nut,bolt.")
    classes = None if args.classes is None else [part.strip() for part in args.classes.split(",") if part.strip()]
    return Options(
        source=source, name=name, format=args.format, images=args.images and (typed_in / args.images).resolve(),
        as_kind=args.as_kind, classes=classes, group=args.group, seed=args.seed,
        val=args.val, test=args.test, draw=args.draw, resplit=args.resplit, link=args.link, discard_edits=args.discard_edits,
        dry_run=args.dry_run, write_params=args.write_params,
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tasks.adopt", description=(adopt.__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("path", nargs="?", type=Path, metavar="PATH", help="folder or .zip of an export; it is not changed")
    add(
        "--name",
        metavar="NAME",
        help="the dataset becomes data/NAME; by default the name of PATH, and of data.path for --resplit",
    )
    add("--images", type=Path, metavar="FOLDER", help="where the images are, if the export came without them")
    add("--format", choices=FORMATS, help="read it so; by default told by content")
    add("--as", dest="as_kind", choices=("boxes", "polygons"), help="make all labels one of these")
    add("--classes", metavar="A,B,C", help="use these classes alone, in this order")
    add(
        "--group",
        metavar="COLUMN|REGEX",
        help="images that stay together: a column of metadata.csv, or what one (group) finds in the path",
    )
    add("--val", type=float, metavar="SHARE", help="share of images in split val, where it is drawn (0.1)")
    add("--test", type=float, metavar="SHARE", help="in split test (enough to see gate.min_gain, at most 0.2)")
    add("--seed", type=int, metavar="N", help="of the draw (0)")
    add("--draw", action="store_true", help="draw the splits although the export has some; for a new dataset")
    add("--resplit", action="store_true", help="mend splits that leak; without PATH those of a dataset in use, which is listed")
    add("--write", action="store_true", help="with --resplit alone: do it")
    add(
        "--link",
        choices=("auto", "copy", "hard"),
        default="auto",
        help="share the images' blocks where the disk can, copy, or hard links",
    )
    add("--discard-edits", action="store_true", help="overwrite labels that were changed in data/NAME")
    add("--dry-run", action="store_true", help="say what would be done, and write nothing")
    add("--write-params", action="store_true", help="put the suggestions into params.yaml")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a parameter for this call")
    return parser


if __name__ == "__main__":
    main()
