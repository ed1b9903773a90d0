"""What `headgate policy` has an engine do."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import click
import grpc.aio

from adapters.complaints import complain, refused, wrong_address
from adapters.engine_options import EngineAt
from adapters.exit_code import ExitCode
from adapters.one_call import not_answered
from adapters.policy_files.folder import texts_of
from headgate.client import Client
from headgate.errors import details_of, reason_of
from headgate.v1 import policy_pb2 as told
from headgate.v1 import policy_service_pb2 as pb

T = TypeVar("T")


class Place(NamedTuple):
    """Which engine, and which of its cells."""

    engine: EngineAt
    cell: str


class Why(NamedTuple):
    """Who does something and why; the author counts where callers do not prove who they are."""

    author: str
    reason: str


class Piece(NamedTuple):
    """
    A policy of a file.

    Attributes
    ----------
    line
        How many lines of the file come before it.
    """

    file: Path
    text: str
    line: int


def publish_files(paths: Sequence[Path], place: Place, stage: tuple[str, float], why: Why) -> int:
    """Publish the policies of files, one after the other; returns the exit code."""
    pieces: list[Piece] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return refused(f"{path}: {getattr(error, 'strerror', None) or 'no UTF-8 text'}")
        pieces += _pieces(path, text)
    if not pieces:
        return refused("no policy in the files")

    async def publish(client: Client) -> int:
        for piece in pieces:
            request = pb.PublishPolicyRequest(
                cell=place.cell,
                text=piece.text,
                stage=told.PolicyStage.Value(f"POLICY_STAGE_{stage[0].upper()}"),
                share=stage[1],
                author=why.author,
                reason=why.reason,
            )
            try:
                reply = await client.call(client.policies.PublishPolicy, request)
            except grpc.aio.AioRpcError as error:
                if reason_of(error) == "POLICY_INVALID":
                    return _invalid(piece, error)
                if reason_of(error) != "VERSION_IN_FORCE":
                    raise
                click.echo(f"{piece.file}: unchanged")
                continue
            click.echo(f"{piece.file}: {_in_force(reply.policy)}")
            for finding in reply.findings:
                line = finding.line + piece.line
                complain(f"{piece.file}:{line}:{finding.column}: warning: {finding.message}")
        return int(ExitCode.STOPPED)

    return _done(place, publish)


def _pieces(path: Path, text: str) -> Iterator[Piece]:
    begin = 0
    for piece in texts_of(text):
        begin = text.index(piece, begin)
        yield Piece(path, piece, text.count("\n", 0, begin))
        begin += len(piece)


def _invalid(piece: Piece, error: grpc.aio.AioRpcError) -> int:
    """Say what is wrong with a text, where it stands in its file; returns the exit code."""
    for field, message in details_of(error).items():
        _, line, column = field.split(":")
        complain(f"{piece.file}:{int(line) + piece.line}:{column}: error: {message}")
    return int(ExitCode.SETTINGS)


def diff_file(path: Path, place: Place, version: int) -> int:
    """Say how a file differs from what is in force; returns the exit code."""
    try:
        pieces = list(_pieces(path, path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        return refused(f"{path}: {getattr(error, 'strerror', None) or 'no UTF-8 text'}")

    async def diff(client: Client) -> int:
        from adapters.policy_source.checking import what_it_says

        exit_code = ExitCode.STOPPED
        for piece in pieces:
            request = pb.DiffPolicyRequest(
                cell=place.cell,
                name=what_it_says(piece.text)[0],
                from_version=version,
                to_text=piece.text,
            )
            reply = await client.call(client.policies.DiffPolicy, request)
            for change in reply.changes:
                click.echo(f"# {change.path}: {change.before or '-'} -> {change.after or '-'}")
            click.echo(reply.unified, nl=False)
            if reply.unified:
                exit_code = ExitCode.DIFFERENT
        return int(exit_code)

    return _done(place, diff)


def roll_back(name: str, place: Place, version: int, why: Why) -> int:
    """Take a step back; returns the exit code."""

    async def rollback(client: Client) -> int:
        request = pb.RollbackPolicyRequest(
            cell=place.cell, name=name, version=version, author=why.author, reason=why.reason
        )
        reply = await client.call(client.policies.RollbackPolicy, request)
        click.echo(_in_force(reply.policy))
        return int(ExitCode.STOPPED)

    return _done(place, rollback)


def retire(name: str, place: Place, why: Why) -> int:
    """Take a policy out of force; returns the exit code."""

    async def take_out(client: Client) -> int:
        request = pb.RetirePolicyRequest(
            cell=place.cell, name=name, author=why.author, reason=why.reason
        )
        reply = await client.call(client.policies.RetirePolicy, request)
        click.echo(_in_force(reply.policy))
        return int(ExitCode.STOPPED)

    return _done(place, take_out)


def override(scope: tuple[str, str], place: Place, said: tuple[str, int], why: Why) -> int:
    """Say what policies do, for so many milliseconds; returns the exit code."""

    async def say(client: Client) -> int:
        word, for_ms = said
        request = pb.OverridePolicyRequest(
            cell=place.cell,
            policy=scope[0],
            queue_id=scope[1],
            what=told.PolicySwitch.Value(f"POLICY_SWITCH_{word.upper().replace('-', '_')}"),
            until_ms=int(time.time() * 1_000) + for_ms if for_ms else 0,
            author=why.author,
            reason=why.reason,
        )
        await client.call(client.policies.OverridePolicy, request)
        return int(ExitCode.STOPPED)

    return _done(place, say)


def _done(place: Place, work: Callable[[Client], Awaitable[int]]) -> int:
    """Have something done; returns its exit code, or the one that says why it could not be."""
    return answered(place, work)


def answered(place: Place, work: Callable[[Client], Awaitable[T]]) -> T | int:
    """What an engine answers, or the exit code that says why it does not."""
    if (wrong := wrong_address(place.engine.address)) is not None:
        return refused(wrong)

    async def run() -> T:
        async with place.engine.client() as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except grpc.aio.AioRpcError as error:
        if reason_of(error):
            # The engine has answered: no.
            is_overload = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            if not is_overload and error.code() != grpc.StatusCode.UNAVAILABLE:
                return refused(f"{error.details()}")
        return not_answered(error, place.engine.address)


def _in_force(policy: told.Policy) -> str:
    """What is in force of a policy, in a line."""
    rollout = policy.rollout
    parts = [f"version {rollout.active_version} active"] if rollout.active_version else []
    if rollout.trial_version:
        stage = told.PolicyStage.Name(rollout.trial_stage).removeprefix("POLICY_STAGE_").lower()
        share = f" of {rollout.canary_share:.1%}" if rollout.canary_share else ""
        parts.append(f"version {rollout.trial_version} {stage}{share}")
    return f"{policy.name}: {', '.join(parts) or 'nothing in force'}"
