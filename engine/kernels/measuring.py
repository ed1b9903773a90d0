"""What a simulated floor is measured by: counts, sums and integrals over time, per batch."""

import math

from engine.kernels.boundary import Table, open_agents, open_contacts
from engine.kernels.compilation import kernel
from engine.kernels.floor_columns import (
    ABANDONED,
    ABANDONED_WAIT,
    ABANDONED_WITHIN,
    ANSWERED,
    ANSWERED_WAIT,
    ANSWERED_WITHIN,
    BATCH,
    BATCH_ENDS,
    BATCH_LENGTH,
    BATCHES,
    BUSY,
    BUSY_AREA,
    DIVERTING_AREA,
    IN_HAND,
    IN_HAND_AREA,
    NOW,
    SIGNED_IN_AREA,
    THRESHOLDS_MAX,
    WAIT_BINS,
    WAITED,
    WAITING_AREA,
    open_answered_by,
    open_floor_agents,
    open_floor_contacts,
    open_group_tallies,
    open_groups,
    open_moments,
    open_run,
    open_streams,
    open_tallies,
)

_BINS_PER_OCTAVE = 64.0


@kernel
def wait_bin(wait_ms: int) -> int:
    """Bin of a wait: 64 to an octave, the last for anything longer. O(1)."""
    return min(int(math.log2(max(wait_ms, 1)) * _BINS_PER_OCTAVE), WAIT_BINS - 1)


@kernel
def tally_row(floor: Table, batch: int, stream: int) -> int:
    """Row of a stream's tallies in a batch. O(1)."""
    return batch * open_streams(floor).arrived.shape[0] + stream


@kernel
def count(floor: Table, contact: int, what: int) -> None:
    """Count a contact in the batch it arrived in; probes and warm-up are not counted. O(1)."""
    contacts = open_floor_contacts(floor)
    count_in(floor, contacts.batch[contact], contacts.stream[contact], what)


@kernel
def count_in(floor: Table, batch: int, stream: int, what: int) -> None:
    """Count something of a stream in a batch, -1 for none. O(1)."""
    if batch >= 0:
        open_tallies(floor).counts[tally_row(floor, batch, stream), what] += 1


@kernel
def measure_answer(floor: Table, contact: int, group: int, wait_ms: int) -> None:
    """Note an answered contact's wait, or a probe's. O(thresholds)."""
    contacts = open_floor_contacts(floor)
    batch, stream = contacts.batch[contact], contacts.stream[contact]
    if contacts.attempt[contact] < 0:
        open_moments(floor).wait_ms[contacts.number[contact]] = wait_ms
    if batch < 0:
        return
    tallies = open_tallies(floor)
    row = tally_row(floor, batch, stream)
    tallies.counts[row, ANSWERED] += 1
    tallies.total_ms[row, ANSWERED_WAIT] += wait_ms
    if contacts.has_waited[contact]:
        tallies.waits[row, wait_bin(wait_ms)] += 1
    threshold_ms = open_run(floor).threshold_ms
    for place in range(THRESHOLDS_MAX):
        if wait_ms <= threshold_ms[place]:
            tallies.counts[row, ANSWERED_WITHIN + place] += 1
    groups = open_groups(floor).signed_in.shape[0]
    open_answered_by(floor).contacts[tally_row(floor, batch * groups + group, stream)] += 1


@kernel
def measure_abandonment(floor: Table, contact: int, wait_ms: int) -> None:
    """Note the wait of a contact that left. O(thresholds)."""
    contacts = open_floor_contacts(floor)
    batch, stream = contacts.batch[contact], contacts.stream[contact]
    if batch < 0:
        return
    tallies = open_tallies(floor)
    row = tally_row(floor, batch, stream)
    tallies.counts[row, ABANDONED] += 1
    tallies.total_ms[row, ABANDONED_WAIT] += wait_ms
    threshold_ms = open_run(floor).threshold_ms
    for place in range(THRESHOLDS_MAX):
        if wait_ms <= threshold_ms[place]:
            tallies.counts[row, ABANDONED_WITHIN + place] += 1


@kernel
def has_begun_to_wait(floor: Table, contact: int) -> None:
    """Note, once, that a contact was not offered at once. O(1)."""
    contacts = open_floor_contacts(floor)
    if contacts.has_waited[contact] == 0:
        contacts.has_waited[contact] = 1
        count(floor, contact, WAITED)


@kernel
def look_at_stream(floor: Table, stream: int) -> None:
    """Bring the stream's integrals up to now; call before what they are over changes. O(1)."""
    streams = open_streams(floor)
    scalar = open_run(floor).scalar
    since_ms = scalar[NOW] - streams.seen_ms[stream]
    streams.seen_ms[stream] = scalar[NOW]
    if scalar[BATCH] >= 0 and since_ms > 0:
        total_ms = open_tallies(floor).total_ms[tally_row(floor, scalar[BATCH], stream)]
        total_ms[WAITING_AREA] += float(since_ms * streams.waiting[stream])
        total_ms[DIVERTING_AREA] += float(since_ms * streams.is_diverting[stream])


@kernel
def look_at_group(floor: Table, group: int) -> None:
    """The same for the agents signed in of a group. O(1)."""
    groups = open_groups(floor)
    scalar = open_run(floor).scalar
    since_ms = scalar[NOW] - groups.seen_ms[group]
    groups.seen_ms[group] = scalar[NOW]
    if scalar[BATCH] >= 0 and since_ms > 0:
        row = scalar[BATCH] * groups.signed_in.shape[0] + group
        area_ms = open_group_tallies(floor).area_ms[row]
        area_ms[SIGNED_IN_AREA] += float(since_ms * groups.signed_in[group])


@kernel
def look_at_agent(table: Table, floor: Table, agent: int) -> None:
    """The same for what an agent holds; call after it changed: it held what was last seen. O(1)."""
    agents = open_floor_agents(floor)
    scalar = open_run(floor).scalar
    since_ms = scalar[NOW] - agents.seen_ms[agent]
    held = agents.holds[agent]
    agents.seen_ms[agent] = scalar[NOW]
    if scalar[BATCH] >= 0 and since_ms > 0 and held > 0:
        row = scalar[BATCH] * open_groups(floor).signed_in.shape[0] + agents.group[agent]
        area_ms = open_group_tallies(floor).area_ms[row]
        area_ms[BUSY_AREA] += float(since_ms)
        area_ms[IN_HAND_AREA] += float(since_ms * held)
    holds = open_agents(table).contact_count[agent]
    agents.holds[agent] = holds
    scalar[IN_HAND] += holds - held
    scalar[BUSY] += (1 if holds > 0 else 0) - (1 if held > 0 else 0)


@kernel
def look_at_all(table: Table, floor: Table) -> None:
    """Bring every integral up to now. O(streams + groups + agents)."""
    for stream in range(open_streams(floor).arrived.shape[0]):
        look_at_stream(floor, stream)
    for group in range(open_groups(floor).signed_in.shape[0]):
        look_at_group(floor, group)
    for agent in range(open_floor_agents(floor).group.shape[0]):
        look_at_agent(table, floor, agent)


@kernel
def end_batch(table: Table, floor: Table) -> None:
    """Close the running batch, or the warm-up, and begin the next. As `look_at_all`."""
    look_at_all(table, floor)
    scalar = open_run(floor).scalar
    scalar[BATCH] += 1
    if scalar[BATCH] == scalar[BATCHES]:
        scalar[BATCH] = -1
        scalar[BATCH_ENDS] = 1 << 62
    else:
        scalar[BATCH_ENDS] += scalar[BATCH_LENGTH]


@kernel
def contacts_waiting(floor: Table, probe: int) -> int:
    """Contacts that no agent has accepted, those of the probe's stream aside. O(streams)."""
    waiting = open_streams(floor).waiting
    total = 0
    for stream in range(waiting.shape[0]):
        if stream != probe:
            total += waiting[stream]
    return total


@kernel
def waited_ms(table: Table, contact: int, now_ms: int) -> int:
    """How long a contact has waited, milliseconds. O(1)."""
    return now_ms - open_contacts(table).received_ms[contact]
