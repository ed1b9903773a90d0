"""The columns a scenario is laid out in, and the cell it defines its queues and agents in."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from engine.commands import RelaxationStep, Requirements, SkillRequirement, UpsertAgent, UpsertQueue
from engine.definitions import AgentSkill, ScoreWeights
from engine.engine import Engine
from engine.kernels import floor_columns as c
from engine.kernels.columns import W_SKILL
from engine.lifecycle import Channel, QueueOrder, Strategy, WrapUpMode
from engine.limits import EFFECTS_PER_CALL, NEVER_MS
from engine.simulation.columns import laid_out
from engine.simulation.laws import LawTable
from engine.simulation.scenario import Arrivals, Asked, Scenario, SimulatedQueue, Stream

# Engine time at which every simulation starts; above 0, because 0 stands for never happened.
START_MS: Final = 1_000_000_000
_CONTACTS_FIRST: Final = 256
_REDIALS_FIRST: Final = 2 * EFFECTS_PER_CALL


class Layout:
    """
    Lays one scenario out.

    Parameters
    ----------
    scenario
        What to lay out; checked before.
    engine
        An empty engine; gets the scenario's queues and agents.
    """

    def __init__(self, scenario: Scenario, engine: Engine) -> None:
        self._scenario = scenario
        self._engine = engine
        self._names = list(scenario.streams)
        self._laws = LawTable()

    def columns(self) -> c.FloorColumns:
        """
        Everything beside the cell's columns, as it is before the doors open.

        Raises
        ------
        CommandRefused
            The engine does not take a queue or an agent: names and sizes are bounded there alone.
        """
        self._define_queues()
        agents = self._define_agents()
        horizon = self._scenario.horizon
        streams = len(self._names)
        steps: list[tuple[float, float]] = []
        recorded: list[int] = []
        stream_columns = self._streams(steps, recorded)
        groups = self._groups()
        handling = self._handling()
        moments = laid_out(
            c.Moments,
            len(horizon.moments),
            at_ms=[START_MS + round(at) for at in horizon.moments],
            probe=-1 if horizon.probe is None else self._names.index(horizon.probe),
        )
        overflows = self._overflows()
        queues = list(self._scenario.queues.values())
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
                skill=self._engine.cell.store.columns.queues.weight[: len(queues), W_SKILL],
                skill_per_waiting=[queue.skill_per_waiting for queue in queues],
            ),
            changes=changes,
            moments=moments,
            contacts=contacts,
            redials=laid_out(
                c.Redials, _REDIALS_FIRST, free=np.arange(_REDIALS_FIRST)[::-1].copy()
            ),
            tallies=laid_out(c.Tallies, tallied),
            group_tallies=laid_out(c.GroupTallies, horizon.batches * len(self._scenario.groups)),
            answered_by=laid_out(c.AnsweredBy, tallied * len(self._scenario.groups)),
            run=self._run(contacts.free.size),
        )

    def _define_queues(self) -> None:
        wraps_up = {stream.queue for stream in self._scenario.streams.values() if stream.wrap_up}
        for name, queue in self._scenario.queues.items():
            self._engine.apply(_queue_command(name, queue, name in wraps_up), START_MS)

    def _define_agents(self) -> list[tuple[int, float]]:
        """Define every agent, offline; returns group and slowness by row."""
        agents = []
        for number, (name, group) in enumerate(self._scenario.groups.items()):
            command = UpsertAgent(
                "",
                queue_ids=group.queues,
                skills=tuple(AgentSkill(name, level) for name, level in group.skills.items()),
                tags=group.tags,
                capacity=group.capacity,
                missed_offers_max=-1,
            )
            for place in range(group.agents_max):
                agent_id = f"{name}/{place}"
                self._engine.apply(command._replace(agent_id=agent_id), START_MS)
                agents.append((number, 1.0 / group.speed))
        return agents

    def _streams(self, steps: list[tuple[float, float]], recorded: list[int]) -> c.Streams:
        shared = sorted({
            stream.busyness.group for stream in self._scenario.streams.values() if stream.busyness
        })  # fmt: skip
        columns = laid_out(c.Streams, len(self._names), clock_ms=float(START_MS))
        columns.cycle_start_ms[:] = START_MS
        columns.seen_ms[:] = START_MS
        columns.factor[:] = 1.0
        columns.divert_from[:] = columns.divert_until[:] = -1
        for row, stream in enumerate(self._scenario.streams.values()):
            columns.class_row[row] = self._class_row(stream)
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
                    columns.divert_to[row] = self._names.index(stream.divert.to)
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
        cell = self._engine.cell
        row = cell.classes.row_of(
            cell.queue_row(stream.queue),
            _requirements(stream),
            Channel[stream.channel.upper()],
            stream.priority,
            tuple(
                RelaxationStep(round(step.after), _requirements(step), step.priority)
                for step in stream.relaxation
            ),
        )
        # Never without a contact, so that its row is not given away.
        cell.store.columns.classes.references[row] += 1
        return row

    def _groups(self) -> c.Groups:
        columns = laid_out(c.Groups, len(self._scenario.groups), seen_ms=START_MS)
        columns.hands_back[: len(self._scenario.groups)] = [
            group.leaving == "hand_back" for group in self._scenario.groups.values()
        ]
        first = 0
        for row, group in enumerate(self._scenario.groups.values()):
            columns.first_agent[row], columns.agent_count[row] = first, group.agents_max
            first += group.agents_max
            if group.speeds:
                points = [(0.0, speed) for speed in group.speeds]
                columns.first_speed[row], columns.speed_count[row] = self._laws.add_points(points)
        return columns

    def _handling(self) -> c.Handling:
        rows = [
            self._laws.row(group.handle_time.get(name, stream.handle_time))
            for group in self._scenario.groups.values()
            for name, stream in self._scenario.streams.items()
        ]
        return laid_out(c.Handling, len(rows), law=rows)

    def _overflows(self) -> c.Overflows:
        rules = [
            (row, self._engine.cell.queue_row(rule.queue), rule.from_waiting, rule.keep_idle)
            for row, group in enumerate(self._scenario.groups.values())
            for rule in group.overflow
        ]
        names = ("group", "queue", "from_waiting", "keep_idle")
        return laid_out(c.Overflows, len(rules), **_transposed(names, rules))

    def _changes(self) -> c.Changes:
        changes = sorted(
            (START_MS + round(step.at), row, step.agents)
            for row, group in enumerate(self._scenario.groups.values())
            for step in group.steps_until(self._scenario.horizon.length)
        )
        columns = laid_out(
            c.Changes, len(changes), **_transposed(("at_ms", "group", "agents"), changes)
        )
        if not changes:
            columns.at_ms[0] = NEVER_MS
        return columns

    def _contacts(self) -> c.FloorContacts:
        rows = _CONTACTS_FIRST
        while rows <= sum(stream.initial for stream in self._scenario.streams.values()):
            rows *= 2
        self._engine.cell.store.require("contacts", rows)
        return laid_out(c.FloorContacts, rows, free=np.arange(rows)[::-1].copy())

    def _run(self, contact_rows: int) -> c.Run:
        horizon = self._scenario.horizon
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
            len(group.overflow) for group in self._scenario.groups.values()
        )
        scalar[c.HAS_GROWING_WEIGHTS] = any(
            queue.skill_per_waiting for queue in self._scenario.queues.values()
        )
        scalar[c.TRUNKS] = NEVER_MS if self._scenario.trunks is None else self._scenario.trunks
        scalar[c.FREE_CONTACTS] = contact_rows
        scalar[c.FREE_REDIALS] = _REDIALS_FIRST
        scalar[c.ANSWER_LAW] = self._laws.row(self._scenario.answers.after)
        threshold_ms = np.full(c.THRESHOLDS_MAX, -1, np.int64)
        threshold_ms[: len(self._scenario.thresholds)] = np.round(self._scenario.thresholds)
        return run._replace(
            scalar=scalar,
            share=np.array([self._scenario.answers.accepted]),
            key=np.zeros(1, np.uint64),
            threshold_ms=threshold_ms,
        )


def _requirements(asked: Asked) -> Requirements:
    skills = (SkillRequirement(item.skill, item.proficiency_min) for item in asked.skills)
    return Requirements(tuple(skills), tags=asked.tags)


def _queue_command(name: str, queue: SimulatedQueue, wraps_up: bool) -> UpsertQueue:
    return UpsertQueue(
        name,
        service_level_within_ms=round(queue.service_level_within),
        order=QueueOrder[queue.order.upper()],
        priority=queue.priority,
        strategy=Strategy[queue.strategy.upper()],
        weights=ScoreWeights(**queue.weights.model_dump()),
        starvation_bound_ms=round(queue.starvation_bound),
        offer_timeout_ms=round(queue.offer_timeout),
        wrap_up_mode=WrapUpMode.UNTIL_ENDED if wraps_up else WrapUpMode.NONE,
        max_wait_ms=-1 if queue.max_wait is None else round(queue.max_wait),
        max_length=queue.max_length,
        reoffer_delay_ms=round(queue.reoffer_delay),
        reoffer_delay_only_agent_ms=min(1_000, round(queue.reoffer_delay)),
        priority_age_ms=round(queue.priority_age),
        matching_window_ms=round(queue.matching_window),
    )


def _transposed(names: tuple[str, ...], rows: Sequence[tuple[float, ...]]) -> dict[str, ArrayLike]:
    """Rows as columns by name."""
    if not rows:
        return {}
    return dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
