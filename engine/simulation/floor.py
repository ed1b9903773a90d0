"""A scenario laid out in columns beside a cell of the engine, ready to run."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.commands import AgentSkill, Requirements, SkillRequirement, UpsertAgent, UpsertQueue
from engine.engine import Engine
from engine.kernels import floor_columns as c
from engine.kernels.boundary import address_table
from engine.kernels.columns import W_IDLE, W_LOAD, W_PREFERRED, W_SKILL, W_TURN, Element
from engine.kernels.drawing import mixed
from engine.kernels.simulated_time import NEEDS_CONTACTS, NEEDS_REDIALS, begin, simulate
from engine.lifecycle import Channel, Strategy, WrapUpMode
from engine.limits import EFFECTS_PER_CALL, NEVER_MS, Limits
from engine.simulation.columns import grown, laid_out
from engine.simulation.laws import LawTable
from engine.simulation.scenario import Arrivals, Scenario, SimulatedQueue, Stream

# Engine time at which every simulation starts; above 0, because 0 stands for never happened.
START_MS: Final = 1_000_000_000
_CONTACTS_FIRST: Final = 1_024
_REDIALS_FIRST: Final = 2 * EFFECTS_PER_CALL
# Seeds and replications are spread over the keys by an odd stride.
_STRIDE: Final = 0x9E3779B97F4A7C15


class Floor:
    """
    One floor: a cell, and what surrounds it.

    Parameters
    ----------
    scenario
        What to lay out; checked before.
    replication
        Which of the scenario's runs: each has draws of its own.
    """

    def __init__(self, scenario: Scenario, replication: int = 0) -> None:
        self.scenario = scenario
        self.streams = list(scenario.streams)
        self.groups = list(scenario.groups)
        self.engine = Engine(Limits(contacts_max=2_000_000, ended_max=0))
        self._laws = LawTable()
        self._define_queues()
        agents = self._define_agents()
        self.columns = self._lay_out(agents)
        self._table = address_table(self.columns, c.FLOOR_LAYOUTS)
        self.engine.take_group()
        self._untouched = _copies(self.engine.cell.store.columns), _copies(self.columns)
        self._begin(replication)

    def reset(self, replication: int) -> None:
        """Go back to the opening of the doors, for a run with other draws."""
        cell, floor = self._untouched
        _restore(self.engine.cell.store.columns, cell)
        _restore(self.columns, floor)
        self._begin(replication)

    def _begin(self, replication: int) -> None:
        seed = (self.scenario.seed * 1_000_003 + replication) * _STRIDE % (1 << 64)
        self.columns.run.key[0] = mixed(np.uint64(seed))
        begin(self.engine.cell.store.table, self._table)

    def run(self, events_max: int) -> bool:
        """Let so many events happen at most; whether there are more before the end."""
        while True:
            code = simulate(self.engine.cell.store.table, self._table, events_max)
            if code == NEEDS_CONTACTS:
                self._grow_contacts()
            elif code == NEEDS_REDIALS:
                self._grow_redials()
            else:
                return bool(code)

    @property
    def events(self) -> int:
        """Events so far."""
        return int(self.columns.run.scalar[c.EVENTS])

    @property
    def share_done(self) -> float:
        """Share of the time that has passed, 0 to 1."""
        passed_ms = self.columns.run.scalar[c.NOW] - START_MS
        return min(float(passed_ms) / self.scenario.horizon.length, 1.0)

    def _define_queues(self) -> None:
        wraps_up = {stream.queue for stream in self.scenario.streams.values() if stream.wrap_up}
        for name, queue in self.scenario.queues.items():
            self.engine.apply(_queue_command(name, queue, name in wraps_up), START_MS)
            if queue.weights is not None:
                row = self.engine.cell.queues.slots.row_of(name)
                weight = self.engine.cell.store.columns.queues.weight[row]
                weight[W_PREFERRED] = queue.weights.preferred
                weight[W_SKILL] = queue.weights.skill
                weight[W_IDLE] = queue.weights.idle
                weight[W_LOAD] = queue.weights.load
                weight[W_TURN] = queue.weights.turn

    def _define_agents(self) -> list[tuple[int, float]]:
        """Define every agent, offline; returns group and slowness by row."""
        agents = []
        for number, group in enumerate(self.scenario.groups.values()):
            command = UpsertAgent(
                "",
                queue_ids=group.queues,
                skills=tuple(AgentSkill(name, level) for name, level in group.skills.items()),
                tags=group.tags,
                capacity=group.capacity,
                missed_offers_max=-1,
            )
            for place in range(group.agents_max):
                agent_id = f"{self.groups[number]}/{place}"
                self.engine.apply(command._replace(agent_id=agent_id), START_MS)
                agents.append((number, 1.0 / group.speed))
        return agents

    def _lay_out(self, agents: list[tuple[int, float]]) -> c.FloorColumns:
        horizon = self.scenario.horizon
        streams = len(self.streams)
        steps: list[tuple[float, float]] = []
        recorded: list[int] = []
        stream_columns = self._streams(steps, recorded)
        groups = self._groups()
        handling = self._handling()
        moments = laid_out(
            c.Moments,
            len(horizon.moments),
            at_ms=[START_MS + round(at) for at in horizon.moments],
            probe=-1 if horizon.probe is None else self.streams.index(horizon.probe),
        )
        overflows = self._overflows()
        queues = list(self.scenario.queues.values())
        changes = self._changes()
        contacts = self._contacts()
        tallied = horizon.batches * streams
        return c.FloorColumns(
            distributions=laid_out(
                c.Distributions,
                len(self._laws.rows),
                **_transposed(("form", "scale", "shape", "first", "length"), self._laws.rows),
            ),
            points=laid_out(
                c.Points,
                len(self._laws.points),
                **_transposed(("cumulative", "value_ms"), self._laws.points),
            ),
            steps=laid_out(c.Steps, len(steps), **_transposed(("until_ms", "per_ms"), steps)),
            recorded=laid_out(c.Recorded, len(recorded), at_ms=recorded),
            streams=stream_columns,
            groups=groups,
            agents=laid_out(
                c.FloorAgents,
                len(agents),
                seen_ms=START_MS,
                **_transposed(("group", "slowness"), agents),
            ),
            handling=handling,
            overflows=overflows,
            queue_rules=laid_out(
                c.QueueRules,
                len(queues),
                skill=[queue.weights.skill if queue.weights else 0.0 for queue in queues],
                skill_per_waiting=[queue.skill_per_waiting for queue in queues],
            ),
            changes=changes,
            moments=moments,
            contacts=contacts,
            redials=laid_out(
                c.Redials, _REDIALS_FIRST, free=np.arange(_REDIALS_FIRST)[::-1].copy()
            ),
            tallies=laid_out(c.Tallies, tallied),
            group_tallies=laid_out(c.GroupTallies, horizon.batches * len(self.groups)),
            answered_by=laid_out(c.AnsweredBy, tallied * len(self.groups)),
            run=self._run(contacts.free.size),
        )

    def _streams(self, steps: list[tuple[float, float]], recorded: list[int]) -> c.Streams:
        shared = sorted({
            stream.busyness.group for stream in self.scenario.streams.values() if stream.busyness
        })  # fmt: skip
        columns = laid_out(c.Streams, len(self.streams), clock_ms=float(START_MS))
        columns.cycle_start_ms[:] = START_MS
        columns.seen_ms[:] = START_MS
        columns.factor[:] = 1.0
        columns.divert_from[:] = columns.divert_until[:] = -1
        for row, stream in enumerate(self.scenario.streams.values()):
            columns.class_row[row] = self._class_row(stream)
            columns.max_wait_ms[row] = 0
            columns.patience[row] = self._laws.row(stream.patience)
            columns.wrap_up[row] = self._laws.row(stream.wrap_up)
            self._lay_arrivals(columns, row, stream.arrivals, steps, recorded)
            if stream.busyness is not None:
                columns.busyness[row] = self._laws.row(stream.busyness.gamma)
                columns.busyness_group[row] = shared.index(stream.busyness.group)
            if stream.divert is not None:
                columns.divert_from[row] = stream.divert.from_waiting
                if stream.divert.until_waiting is not None:
                    columns.divert_until[row] = stream.divert.until_waiting
                columns.divert_share[row] = stream.divert.accepted
                if stream.divert.to is not None:
                    columns.divert_to[row] = self.streams.index(stream.divert.to)
            if stream.redial is not None:
                columns.redial_share[row] = stream.redial.share
                columns.redial_delay[row] = self._laws.row(stream.redial.after)
            columns.initial[row] = stream.initial
        return columns

    def _lay_arrivals(
        self,
        columns: c.Streams,
        row: int,
        arrivals: Arrivals,
        steps: list[tuple[float, float]],
        recorded: list[int],
    ) -> None:
        columns.first_step[row] = len(steps)
        columns.first_recorded[row] = len(recorded)
        if arrivals.recorded is not None:
            recorded += [START_MS + round(at) for at in arrivals.recorded]
            columns.recorded_count[row] = len(arrivals.recorded)
        elif arrivals.per_minute is not None:
            steps.append((np.inf, arrivals.per_minute / 60_000.0))
        else:
            steps += [(step.until, step.per_minute / 60_000.0) for step in arrivals.steps or ()]
        columns.step_count[row] = len(steps) - columns.first_step[row]
        columns.cycle_ms[row] = round(arrivals.repeat or 0)

    def _class_row(self, stream: Stream) -> int:
        asked = Requirements(
            tuple(SkillRequirement(item.skill, item.proficiency_min) for item in stream.skills),
            tags=stream.tags,
        )
        cell = self.engine.cell
        row = cell.classes.row_of(
            cell.queue_row(stream.queue), asked, Channel[stream.channel.upper()], stream.priority
        )
        # Never without a contact, so that its row is not given away.
        cell.store.columns.classes.references[row] += 1
        return row

    def _groups(self) -> c.Groups:
        columns = laid_out(c.Groups, len(self.groups), seen_ms=START_MS)
        columns.hands_back[: len(self.groups)] = [
            group.leaving == "hand_back" for group in self.scenario.groups.values()
        ]
        first = 0
        for row, group in enumerate(self.scenario.groups.values()):
            columns.first_agent[row], columns.agent_count[row] = first, group.agents_max
            first += group.agents_max
            if group.speeds:
                points = [(0.0, speed) for speed in group.speeds]
                columns.first_speed[row], columns.speed_count[row] = self._laws.add_points(points)
        return columns

    def _handling(self) -> c.Handling:
        rows = [
            self._laws.row(group.handle_time.get(name, stream.handle_time))
            for group in self.scenario.groups.values()
            for name, stream in self.scenario.streams.items()
        ]
        return laid_out(c.Handling, len(rows), law=rows)

    def _overflows(self) -> c.Overflows:
        rules = [
            (row, self.engine.cell.queue_row(rule.queue), rule.from_waiting, rule.keep_idle)
            for row, group in enumerate(self.scenario.groups.values())
            for rule in group.overflow
        ]
        names = ("group", "queue", "from_waiting", "keep_idle")
        return laid_out(c.Overflows, len(rules), **_transposed(names, rules))

    def _changes(self) -> c.Changes:
        changes = sorted(
            (START_MS + round(step.at), row, step.agents)
            for row, group in enumerate(self.scenario.groups.values())
            for step in group.steps
        )
        columns = laid_out(
            c.Changes, len(changes), **_transposed(("at_ms", "group", "agents"), changes)
        )
        if not changes:
            columns.at_ms[0] = NEVER_MS
        return columns

    def _contacts(self) -> c.FloorContacts:
        rows = _CONTACTS_FIRST
        while rows <= sum(stream.initial for stream in self.scenario.streams.values()):
            rows *= 2
        self._require_rows(rows)
        return laid_out(c.FloorContacts, rows, free=np.arange(rows)[::-1].copy())

    def _run(self, contact_rows: int) -> c.Run:
        horizon = self.scenario.horizon
        run = laid_out(c.Run, 0)
        scalar = np.zeros(c.RUN_SCALARS, np.int64)
        end_ms = START_MS + round(horizon.length)
        warm_ms = START_MS + round(horizon.warm_up)
        scalar[c.NOW] = START_MS
        scalar[c.ENDS] = NEVER_MS if horizon.until_empty else end_ms
        scalar[c.ARRIVALS_END] = end_ms
        scalar[c.BATCH_LENGTH] = (end_ms - warm_ms) // horizon.batches
        scalar[c.BATCHES] = horizon.batches
        scalar[c.BATCH] = 0 if warm_ms == START_MS else -1
        scalar[c.BATCH_ENDS] = warm_ms if warm_ms > START_MS else warm_ms + scalar[c.BATCH_LENGTH]
        scalar[c.OVERFLOW_RULES] = sum(
            len(group.overflow) for group in self.scenario.groups.values()
        )
        scalar[c.HAS_GROWING_WEIGHTS] = any(
            queue.skill_per_waiting for queue in self.scenario.queues.values()
        )
        scalar[c.TRUNKS] = NEVER_MS if self.scenario.trunks is None else self.scenario.trunks
        scalar[c.FREE_CONTACTS] = contact_rows
        scalar[c.FREE_REDIALS] = _REDIALS_FIRST
        scalar[c.ANSWER_LAW] = self._laws.row(self.scenario.answers.after)
        threshold_ms = np.full(c.THRESHOLDS_MAX, -1, np.int64)
        threshold_ms[: len(self.scenario.thresholds)] = np.round(self.scenario.thresholds)
        return run._replace(
            scalar=scalar,
            share=np.array([self.scenario.answers.accepted]),
            key=np.zeros(1, np.uint64),
            threshold_ms=threshold_ms,
        )

    def _require_rows(self, rows: int) -> None:
        self.engine.cell.store.require("contacts", rows)
        self.engine.cell.store.require_effects(4 * EFFECTS_PER_CALL)

    def _grow_contacts(self) -> None:
        contacts = self.columns.contacts
        old = contacts.number.size
        self._require_rows(2 * old)
        contacts = grown(contacts, 2 * old)
        free = int(self.columns.run.scalar[c.FREE_CONTACTS])
        contacts.free[free : free + old] = np.arange(old, 2 * old)[::-1]
        self.columns.run.scalar[c.FREE_CONTACTS] += old
        self._replace(self.columns._replace(contacts=contacts))

    def _grow_redials(self) -> None:
        redials = self.columns.redials
        old = redials.number.size
        redials = grown(redials, 2 * old)
        free = int(self.columns.run.scalar[c.FREE_REDIALS])
        redials.free[free : free + old] = np.arange(old, 2 * old)[::-1]
        self.columns.run.scalar[c.FREE_REDIALS] += old
        self._replace(self.columns._replace(redials=redials))

    def _replace(self, columns: c.FloorColumns) -> None:
        self.columns = columns
        self._table = address_table(columns, c.FLOOR_LAYOUTS)


def _queue_command(name: str, queue: SimulatedQueue, wraps_up: bool) -> UpsertQueue:
    return UpsertQueue(
        name,
        service_level_within_ms=round(queue.service_level_within),
        strategy=Strategy[queue.strategy.upper()],
        offer_timeout_ms=round(queue.offer_timeout),
        wrap_up_mode=WrapUpMode.UNTIL_ENDED if wraps_up else WrapUpMode.NONE,
        max_wait_ms=-1 if queue.max_wait is None else round(queue.max_wait),
        max_length=queue.max_length,
        reoffer_delay_ms=round(queue.reoffer_delay),
        reoffer_delay_only_agent_ms=min(1_000, round(queue.reoffer_delay)),
        priority_age_ms=round(queue.priority_age),
    )


_Copies = list[list[NDArray[Element]]]


def _copies(columns: Sequence[Sequence[NDArray[Element]]]) -> _Copies:
    return [[column.copy() for column in group] for group in columns]


def _restore(columns: Sequence[Sequence[NDArray[Element]]], copies: _Copies) -> None:
    """Put values back; rows that came after the copy are as new, and free."""
    for group, kept in zip(columns, copies, strict=True):
        for column, copy in zip(group, kept, strict=True):
            column[tuple(slice(extent) for extent in copy.shape)] = copy


def _transposed(names: tuple[str, ...], rows: Sequence[tuple[float, ...]]) -> dict[str, ArrayLike]:
    """Rows as columns by name."""
    if not rows:
        return {}
    return dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
