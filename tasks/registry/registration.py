"""Turn a finished run into a version: data first, then its files, then the version."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from tasks.common import dvc, dvcfiles, dvcpipeline, git
from tasks.common.errors import RegistryError
from tasks.common.paths import CANDIDATE, DECISION, REPORT
from tasks.measure.decision import Decision
from tasks.measure.files import Scores
from tasks.registry.candidate import candidate_md5, describe, evidence, files_of, require_up_to_date, require_verdict
from tasks.registry.looks import Counting
from tasks.registry.record import Version

log = logging.getLogger(__name__)


class Registration(Counting):
    """The part of the registry that makes versions."""

    def register(self, *, allow_inconclusive: bool = False) -> Version:
        """The version of the candidate, made now unless the same weights are a version already.

        The order is: weights, data and evidence to the DVC remote; files to where the registry keeps them; the version. Whatever
        fails, nothing points to something that is not there, and the same call made again finishes the work.

        Raises:
            RegistryError: the verdict does not allow it, the run is not up to date, weights are not in the DVC cache, or
                a remote refuses; or the same weights were a version that was deprecated.
            WorkspaceError: no repository or commit, or DVC's lock is held.
        """
        git.require_repository()
        code = git.head()
        settings = dvcfiles.settings()
        md5 = candidate_md5(settings)
        self.backend.catch_up()
        if same := self._version_of(md5):
            log.info("%s has these weights already", same.tag)
            return self.backend.finish(same, partial(self._store, settings))
        self.record_looks()
        require_verdict(Decision.read().verdict, allow_inconclusive)
        require_up_to_date(self.params.flow.lock_wait_s)
        record = describe(self.params, md5)
        self._store(settings)
        commit = git.commit_workspace(evidence(self.params), f"Run of {self.name}: {record.summary()}")
        return self.backend.add(replace(record, code=code, files=files_of(commit)), commit)

    def registered(self) -> Version | None:
        """The version that the candidate of the last run is already, as far as is known here; None for one that was withdrawn."""
        same = self._same(dvcfiles.file_md5(dvcfiles.settings().cache, CANDIDATE))
        return next((version for version in reversed(same) if not version.deprecated), None)

    def _version_of(self, md5: str) -> Version | None:
        """The newest version with the candidate's weights: the same file, or the same tensors in another one.

        Raises:
            RegistryError: that version was withdrawn.
        """
        same = self._same(md5)
        if not same:
            return None
        if usable := [version for version in same if not version.deprecated]:
            return usable[-1]
        what = f"these weights are {same[-1].version}, which was deprecated {same[-1].deprecated}"
        raise RegistryError(what, where=same[-1].tag, fix="Change the data or params.yaml, so that another model comes of it.")

    def _same(self, md5: str | None) -> list[Version]:
        """The versions with these weights, oldest first: the same file, or the same tensors in another one."""
        tensors = Scores.read().candidate.get("tensors_sha256")
        recorded = [(version, version.record) for version in self.list_versions(with_deprecated=True) if version.record]
        return [version for version, record in recorded if record.md5 == md5 or (tensors and record.tensors == tensors)]

    def _store(self, settings: dvcfiles.Settings) -> None:
        """Push weights, data and cached evidence to the DVC remote, or say that they are stored locally only."""
        if not settings.remotes:
            alone = self.params.data.path if self.backend.KEEPS_WEIGHTS else CANDIDATE.as_posix()
            fix = "`dvc remote add --default NAME URL`"
            log.warning("%s is stored locally only: no DVC remote is configured (%s)", alone, fix)
        elif self.params.registry.push:
            outs = dvcfiles.locked_outputs()
            makers = {outs[path.as_posix()].stage for path in (DECISION, REPORT) if path.as_posix() in outs}
            lock_wait_s = self.params.flow.lock_wait_s
            dvc.run(["push", *dvcpipeline.built_from(sorted(makers))], lock_wait_s=lock_wait_s, on_line=log.debug)
