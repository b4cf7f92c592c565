"""Servers of labelling tools, which take bundles straight into their projects."""

from __future__ import annotations

import logging

from tasks.annotate.servers.types import Server
from tasks.annotate.types import ImagesBy, Tool
from tasks.common.errors import DatasetError


def require(tool: Tool, images: ImagesBy) -> None:
    """Refuse bundles that cannot go straight to a server.

    Raises:
        DatasetError: the tool has no server, or that one does not take images by their place.
    """
    by_hand = "bring the bundle in by hand: docs/annotate.md"
    if tool == "coco":
        what = "a bundle goes straight to a server of Label Studio or CVAT, not of coco"
        raise DatasetError(what, where="--to", fix=f"Leave `--to` out, and {by_hand}")
    if tool == "cvat" and images != "copy":
        what = f"images go straight into CVAT as copies, not by {images}"
        raise DatasetError(what, where="--to", fix=f"Ask without `--images`; or without `--to`, and {by_hand}")


def connect(tool: Tool, url: str) -> Server:
    """The server of a tool at `url`; nothing is asked of it yet.

    Raises:
        WorkspaceError: the environment has no token, or a package is missing.
    """
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it would tell of each try
    if tool == "cvat":
        from tasks.annotate.servers.cvat import Cvat

        return Cvat(url)
    from tasks.annotate.servers.labelstudio import LabelStudio

    return LabelStudio(url)
