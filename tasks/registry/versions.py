"""Read the versions and stages that the registry knows."""

from __future__ import annotations

from tasks.common.champion import read_pin
from tasks.common.errors import RegistryError, WorkspaceError
from tasks.common.params import Params
from tasks.common.paths import CHAMPION
from tasks.registry.backend import chosen
from tasks.registry.record import Version


def refresh(params: Params) -> None:
    """Read what others have registered and promoted since.

    Raises:
        RegistryError: the git remote cannot be reached.
    """
    chosen(params).refresh(params)


def list_versions(params: Params, *, with_deprecated: bool = False) -> tuple[Version, ...]:
    """The versions of registry.name, oldest number first; those that were deprecated only where asked for.

    Raises:
        WorkspaceError: the backend is git, and there is no git repository here.
        RegistryError: a tag that GTO cannot read, or MLflow does not answer.
    """
    return chosen(params).list_versions(params, with_deprecated=with_deprecated)


def show(params: Params, version: str) -> Version:
    """One version, deprecated or not, named `v1.2.0` or `NAME@v1.2.0`.

    Raises:
        RegistryError: there is no such version.
    """
    name = params.registry.name
    wanted = version.removeprefix(f"{name}@")
    versions = list_versions(params, with_deprecated=True)
    for found in versions:
        if found.version == wanted:
            return found
    known = ", ".join(v.version for v in versions[-5:]) or "none"
    fix = f"Name another; {text}." if (text := doubt(params)) else "Name another: `python -m tasks.registry list`."
    raise RegistryError(f"no version {wanted} of {name}; known: {known}", where=f"{name}@{wanted}", fix=fix)


def doubt(params: Params) -> str:
    """Why there may be versions that are not known here, and the command that tells; empty where nothing says so."""
    if text := chosen(params).doubt(params):
        return text
    pinned = unknown_champion(params)
    return f"{CHAMPION} names {pinned}, which is not known here: bring it from where it was registered" if pinned else ""


def unknown_champion(params: Params) -> str | None:
    """The version that champion.yaml names, if it is not known here, not even as a deprecated one.

    A champion.yaml that was cut off names none: it is written anew.
    """
    try:
        pin = read_pin()
    except WorkspaceError:
        return None
    pinned: str | None = pin["version"] if "md5" in pin else None
    known = {found.version for found in list_versions(params, with_deprecated=True)} if pinned else set[str]()
    return None if pinned in known else pinned


def champion(params: Params) -> str | None:
    """The version that is in stage registry.stage now, such as v1.2.0; None where there is none."""
    return chosen(params).champion(params)


def read_file(params: Params, version: Version, path: str) -> bytes:
    """The bytes of a file that the version keeps, such as reports/report.md.

    Raises:
        RegistryError: the version keeps no such file.
    """
    return chosen(params).read_file(params, version, path)
