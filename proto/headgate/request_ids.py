"""Request ids: what makes a write that is sent twice one write."""

import uuid
from typing import Any

from headgate.v1 import routing_service_pb2


def ensure_id(request: Any) -> None:
    """Give a write that has no request id one of its own."""
    if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
        request.request_id = uuid.uuid4().hex


def with_ids(request: Any) -> Any:
    """A copy in which every write has a request id, those of a batch as well."""
    copy = type(request)()
    copy.CopyFrom(request)
    ensure_id(copy)
    if isinstance(copy, routing_service_pb2.RouteBatchRequest):
        for item in copy.requests:
            ensure_id(item)
    return copy
