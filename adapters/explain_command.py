"""`headgate explain`: why a contact is where it is, in words."""

import asyncio

import click
import grpc.aio

from adapters.complaints import refused, wrong_address
from adapters.engine_options import EngineAt
from adapters.exit_code import ExitCode
from adapters.one_call import not_answered
from headgate.v1.decision_service_pb2 import ExplainRequest


def explain_contact(contact_id: str, agent_id: str, engine: EngineAt, cell: str) -> int:
    """Print the explanation; returns the exit code."""
    if (wrong := wrong_address(engine.address)) is not None:
        return refused(wrong)
    request = ExplainRequest(cell=cell, contact_id=contact_id, agent_id=agent_id)
    try:
        sentences = asyncio.run(_ask(engine, request))
    except grpc.aio.AioRpcError as error:
        return not_answered(error, engine.address)
    for sentence in sentences:
        click.echo(sentence)
    return int(ExitCode.STOPPED)


async def _ask(engine: EngineAt, request: ExplainRequest) -> list[str]:
    async with engine.client() as client:
        return list((await client.call(client.decisions.Explain, request)).sentences)
