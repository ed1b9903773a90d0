"""
A folder whose policies are published as its files change.

A file's text is published once, as it is first seen: what somebody does to the policy afterwards
stays done, over restarts too, until the file is changed again. A file that is broken changes
nothing, and one that is gone takes out of force what it published and nobody else has since.
"""

import asyncio
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Final

import structlog
from google.protobuf.message import Message

from adapters.calls import ask
from adapters.clock import wall_ms
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused
from adapters.methods import Method
from adapters.policy_checks import check
from adapters.policy_files.folder import (
    FolderRead,
    Look,
    PolicyText,
    look_at,
    read_sources,
    sorted_out,
)
from adapters.policy_files.metrics import PolicyFileMetrics
from engine.engine import Engine
from engine.limits import ID_BYTES_MAX
from engine.policies import PolicyStepKind, PublishPolicy, RetirePolicy
from engine.policy.findings import Severity
from engine.state.policies import KeptPolicy
from headgate.v1 import policy_service_pb2 as pb

_log = structlog.get_logger(__name__)

# Who has published what comes out of a file.
AUTHOR: Final = "file"
_EVERY_S: Final = 1.0
_GONE: Final = "the file is gone"


class PolicyFiles:
    """
    The files of one cell.

    Parameters
    ----------
    folder
        Where they are; for the cell's own folder in it see `folder_of`.
    cell
        Where policies are published.
    metrics
        What is told of it.
    """

    def __init__(self, folder: Path, cell: DispatchLoop, metrics: PolicyFileMetrics) -> None:
        self._folder = folder
        self._cell = cell
        self._metrics = metrics
        self._seen: Look | None = None
        # Queues as they were when a file had errors: one may have been missing.
        self._queues_then = -1
        self._must_retry = False
        self._told: list[str] = []

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except (CallRefused, OSError) as error:
                # The cell is loading, or the folder is being replaced: what is in force stays.
                self._must_retry = True
                self._tell_once([str(error)])
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """
        Read the files where any has changed since the last look, and publish what is new.

        Raises
        ------
        OSError
            The folder cannot be read; nothing has changed.
        CallRefused
            The cell does not take calls now.
        """
        seen = await asyncio.to_thread(look_at, self._folder)
        queues = self._cell.engine.cell.queues.changes
        has_new_queues = bool(self._told) and queues != self._queues_then
        if seen == self._seen and not self._must_retry and not has_new_queues:
            return
        self._queues_then = queues
        self._must_retry = True
        sources, unread = await asyncio.to_thread(read_sources, self._folder, list(seen))
        checked = await check(self._cell.engine, sources)
        read = sorted_out(checked, sources, unread)
        self._tell(read)
        await self._publish(read)
        self._seen, self._must_retry = seen, False

    def _tell(self, read: FolderRead) -> None:
        errors = [str(item) for item in read.remarks if item.severity is Severity.ERROR]
        self._metrics.errors.inc(len(errors))
        self._metrics.broken.set(len(read.broken))
        if not errors:
            self._metrics.loaded.set(wall_ms() / 1_000)
        self._tell_once(errors)
        for item in read.remarks:
            if item.severity is Severity.WARNING:
                _log.warning("policy_file_warning", cell=self._cell.cell, finding=str(item))

    def _tell_once(self, errors: list[str]) -> None:
        """Log errors, but not the same ones at every look."""
        if errors != self._told:
            for error in errors:
                _log.error("policy_file_broken", cell=self._cell.cell, error=error)
        self._told = errors

    async def _publish(self, read: FolderRead) -> None:
        policies = self._cell.engine.cell.policies
        for policy in read.policies:
            if _is_new(policies.find(policy.name), policy):
                publish = PublishPolicy(
                    policy.name,
                    author=AUTHOR,
                    reason=_reason_of(policy.file),
                    kind=policy.kind,
                    text=policy.text,
                )
                self._metrics.published.inc(await self._is_applied(publish, policy.file))
        present = {policy.name for policy in read.policies}
        broken = {_reason_of(file) for file in read.broken}
        for name in policies.names():
            kept = policies.find(name)
            if kept is not None and name not in present and _is_gone(kept, broken):
                await self._is_applied(RetirePolicy(name, AUTHOR, _GONE), "")

    async def _is_applied(self, command: PublishPolicy | RetirePolicy, file: str) -> bool:
        """
        Have the cell run a command, beside the calls of others; False where it refuses it for good.
        """

        def run(engine: Engine, _request: Message, now_ms: int) -> Message:
            engine.apply(command, now_ms)
            return pb.PublishPolicyResponse()

        method = Method("PolicyService", "PublishPolicy", pb.PublishPolicyRequest, run, True)
        request = pb.PublishPolicyRequest(name=command.name, request_id=uuid.uuid4().hex)
        try:
            await ask(self._cell, method, request)
        except CallRefused as refused:
            if refused.retry_after_ms:
                raise
            self._metrics.errors.inc()
            _log.error("policy_file_refused", cell=self._cell.cell, file=file, error=str(refused))
            return False
        what = "policy_published" if isinstance(command, PublishPolicy) else "policy_retired"
        _log.info(what, cell=self._cell.cell, policy=command.name, file=file)
        return True


def folder_of(directory: str, cell: str) -> Path:
    """Folder of a cell's files: the one called as the cell, or else the directory itself."""
    own = Path(directory) / cell
    return own if own.is_dir() else Path(directory)


def _reason_of(file: str) -> str:
    """Name of a file, as far as a reason has room."""
    return Path(file).name.encode()[-ID_BYTES_MAX:].decode(errors="ignore")


def _is_new(kept: KeptPolicy | None, policy: PolicyText) -> bool:
    """Whether a file says something that has not been published yet."""
    if kept is None:
        return True
    steps = kept.head.steps
    if steps and (steps[-1].kind, steps[-1].author) == (PolicyStepKind.RETIRED, AUTHOR):
        return True
    active = kept.versions.get(kept.head.rollout.active)
    if active is not None and active.text == policy.text:
        return False
    ours = [version for version in kept.versions.values() if version.author == AUTHOR]
    return not ours or ours[-1].text != policy.text


def _is_gone(kept: KeptPolicy, broken: Collection[str]) -> bool:
    """Whether what is in force came out of a file that is there no longer."""
    active = kept.versions.get(kept.head.rollout.active)
    return active is not None and active.author == AUTHOR and active.reason not in broken
