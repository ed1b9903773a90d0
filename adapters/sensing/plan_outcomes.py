"""What plans have come to, as messages of the contract."""

from engine.sensing.sensing import Sensing
from headgate.v1 import plan_pb2
from headgate.v1 import telemetry_service_pb2 as pb


def plan_outcomes_message(sensing: Sensing) -> pb.GetPlanOutcomesResponse:
    """What events and business volumes have brought against what was planned."""
    events = sensing.parts.model.events
    message = pb.GetPlanOutcomesResponse()
    for realised in events.realised():
        told = message.events.add(
            event_id=realised.event_id,
            label=realised.kind,
            planned=realised.planned,
            brought=realised.brought,
            counted=realised.counted,
            is_over=realised.is_over,
        )
        if realised.ratio == realised.ratio:
            told.ratio = realised.ratio
    for label, (ratio, count) in sorted(events.uplifts.kinds().items()):
        message.labels.add(label=label, ratio=ratio, events=count)
    for driver_id in sorted(sensing.parts.model.drivers.known()):
        message.drivers.extend(_driver_messages(sensing, driver_id))
    for plan_id, why in sorted(sensing.plans.unusable.items()):
        message.unusable.add(plan_id=plan_id, why=why)
    return message


def _driver_messages(sensing: Sensing, driver_id: str) -> list[plan_pb2.DriverOutcome]:
    drivers = sensing.parts.model.drivers
    found = drivers.contact_rate(driver_id)
    messages = []
    for place, row in enumerate(found.row.tolist()):
        key = sensing.directory.rows.keys[row]
        message = plan_pb2.DriverOutcome(
            driver_id=driver_id,
            queue_id=key.name if key is not None else "",
            share=float(found.share[place]),
            share_deviation=float(found.share_error[place]),
            faults=drivers.faults(driver_id),
        )
        if found.per_10k[place] == found.per_10k[place]:
            message.contacts_per_10000 = float(found.per_10k[place])
            message.deviation = float(found.error[place])
        messages.append(message)
    return messages
