"""The backend git: versions are tags that GTO, DVC and plain git can read; no server."""

from tasks.registry.in_git.doubt import doubt
from tasks.registry.in_git.history import assignments
from tasks.registry.in_git.refusals import refusals, refuse
from tasks.registry.in_git.register import add, finish
from tasks.registry.in_git.stages import assign, share, withdraw
from tasks.registry.in_git.tags import catch_up
from tasks.registry.in_git.tags import fetch_tags as refresh
from tasks.registry.in_git.verify import check, stored_weights
from tasks.registry.in_git.versions import champion, list_versions
from tasks.registry.in_git.weights import copy_export, copy_weights, read_file

HOLDER = "the commit"

__all__ = [
    "HOLDER",
    "add",
    "assign",
    "assignments",
    "catch_up",
    "champion",
    "check",
    "copy_export",
    "copy_weights",
    "doubt",
    "finish",
    "list_versions",
    "read_file",
    "refresh",
    "refusals",
    "refuse",
    "share",
    "stored_weights",
    "withdraw",
]
