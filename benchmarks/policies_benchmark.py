"""
What policies cost: conditions over all queues, beside the official evaluator; machines; contacts.

The conditions are ten that read thirty signals, with durations, texts, arithmetic and all of the
signs; every evaluator's results are first asserted to be the same.
"""

import datetime
from collections.abc import Callable
from typing import Final

import numpy as np
from cel_expr_python import cel

from adapters.policy_source.checker import CelChecker
from adapters.policy_source.reading import read_policies
from benchmarks.settings import Settings
from benchmarks.tables import Goals, Table, figure, ratio
from benchmarks.timing import compare, pin, repeated
from engine.kernels.policy_steps import Seen
from engine.policy.arms import is_taken
from engine.policy.checked import Kind
from engine.policy.classification import Classifier
from engine.policy.columns import PlainEvaluator
from engine.policy.compiled import CompiledRelief, CompiledRouting
from engine.policy.expression import Expression, compile_expression
from engine.policy.lowering import CompiledEvaluator
from engine.policy.program import Frame, Program, Trigger
from engine.policy.signals import CONTACT_SIGNALS, QUEUE_SIGNALS, scope_of
from engine.policy.trigger import TriggerMachines
from engine.policy.values import Values, condition
from engine.policy.vocabulary import Vocabulary

_SEED: Final = 1
_CONDITIONS: Final = (
    "breach_risk_5m >= 0.5 || queue.estimated_wait > duration('2m')",
    "breach_risk_5m <= 0.25 && queue.estimated_wait < duration('1m')",
    "breach_risk_10m >= 0.4 && target.breach_risk_10m < 0.3 && target.is_open",
    "queue.waiting > queue.agents_available * 2 && queue.oldest_wait > duration('45s')",
    "queue.channel == 'voice' && queue.service_level_15m < 0.8 || queue.priority >= 3",
    "forecast.load_30m > 0.95 && (forecast.contacts_p90_30m - forecast.contacts_30m) > 20.0",
    "busyness in ['busy', 'overloaded'] && time.weekday < 6 && time.hour >= 8 && time.hour < 20",
    "anomaly.surge && anomaly.excess > 10.0 && !anomaly.silence",
    "double(queue.abandoned_5m) > double(queue.received_5m) * 0.1 && queue.received_5m >= 10",
    "queue.id.startsWith('sales-') && queue.occupancy_30m > 0.85 && queue.aht_30m < duration('6m')",
)
_ELIGIBLE: Final = (
    "contact.tier != 'vip' && contact.channel == 'voice' && contact.wait > duration('12s') && "
    "!(contact.attributes.product in ['loan', 'card']) && contact.estimated_wait > duration('1m')"
)
_CONTACT: Final[Values] = {
    "contact.tier": "basic",
    "contact.channel": "voice",
    "contact.wait": 30_000,
    "contact.estimated_wait": 90_000,
    "contact.attributes": {"product": "account", "line": "7"},
}
_TYPES: Final = {
    Kind.BOOL: cel.Type.BOOL,
    Kind.INT: cel.Type.INT,
    Kind.DOUBLE: cel.Type.DOUBLE,
    Kind.STRING: cel.Type.STRING,
    Kind.DURATION: cel.Type.DURATION,
    Kind.STRINGS: cel.Type.List(cel.Type.STRING),
    Kind.ATTRIBUTES: cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
}
_RELIEF: Final = """
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {{name: p{number}}}
spec:
  match: {{queues: ["*"]}}
  enter: {{when: breach_risk_5m > 0.5, for: 10s}}
  exit: {{when: breach_risk_5m < 0.2, for: 10s}}
  actions: [{{open_agents: {{group: east}}}}]
"""
_RULE: Final = """
    - name: r{number}
      when: contact.tier == "t{number}" && contact.channel == "chat" && time.hour >= 8
      to: {{queue: q{number}}}"""
_ROUTING: Final = """
apiVersion: headgate/v1
kind: RoutingPolicy
metadata: {name: entry}
spec:
  default: {queue: general}
  rules:"""


def run(settings: Settings) -> list[Table]:
    """Time conditions, machines and what is asked of a contact."""
    pin(0)
    queues = int(settings.value("queues"))
    checker = CelChecker()
    scope = scope_of(QUEUE_SIGNALS, {})
    compiled = [compile_expression(text, scope, checker) for text in _CONDITIONS]
    program = Program([Trigger("p", expression) for expression in compiled], Vocabulary())
    frame = _drawn(program, compiled, queues)
    plain, kernel = PlainEvaluator(program), CompiledEvaluator(program)
    assert (plain.evaluate(frame) == kernel.evaluate(frame)).all()
    some = min(queues, int(settings.value("official_queues")))
    official = _Official(program, compiled, frame, some)
    assert (official.evaluate() == kernel.evaluate(frame)[:, :some]).all()

    cases: dict[str, Callable[[], object]] = {
        "compiled": lambda: kernel.evaluate(frame),
        "NumPy": lambda: plain.evaluate(frame),
        "official, a row at a time": official.evaluate,
    }
    taken = compare(
        {name: repeated(case) for name, case in cases.items()}, settings.rounds, settings.round_s
    )
    taken["official, a row at a time"] = [
        value * queues / some for value in taken["official, a row at a time"]
    ]
    floor = taken["compiled"]
    rows = [
        [name, figure(found, 1e3), figure(found, 1e9 / queues / 10), figure(ratio(found, floor))]
        for name, found in taken.items()
    ]
    goals = Goals()
    limit = settings.goals["conditions_ms"]
    goals.at_most("10 conditions each second", limit, [1e3 * value for value in floor], "ms")
    title = f"10 conditions over {queues:,} queues, one core"
    columns = ("evaluator", "ms", "ns per condition and queue", "× compiled")
    return [
        Table(title, columns, rows),
        _machines(settings, queues),
        _contacts(settings, goals),
        goals.table(),
    ]


def _machines(settings: Settings, queues: int) -> Table:
    """Machines of policies that match every queue, in a second in which a tenth are met."""
    checker = CelChecker()
    generator = np.random.default_rng(_SEED)
    count = int(settings.value("policies"))
    text = "---".join(_RELIEF.format(number=number) for number in range(count))
    found = [item.compiled for item in read_policies("p", text, checker).policies]
    policies = [item for item in found if isinstance(item, CompiledRelief)]
    assert len(policies) == count
    machines = TriggerMachines(policies, [f"q{row}" for row in range(queues)])
    truths = (generator.random((2 * count, queues)) < 0.1).astype(np.int8)
    seen = Seen(truths, np.zeros(queues, np.int64), np.zeros(machines.count, np.int64))
    clock = iter(range(0, 1 << 50, 1_000))

    def step() -> None:
        machines.step(seen, next(clock))

    taken = compare({"step": repeated(step)}, settings.rounds, settings.round_s)["step"]
    row = [
        f"{count} policies × {queues:,} queues",
        figure(taken, 1e3),
        figure(taken, 1e9 / machines.count),
    ]
    return Table("A second of trigger machines", ("machines", "ms", "ns each"), [row])


def _contacts(settings: Settings, goals: Goals) -> Table:
    """What is asked of one contact, in Python."""
    checker = CelChecker()
    scope = scope_of(CONTACT_SIGNALS, {})
    eligible = condition(compile_expression(_ELIGIBLE, scope, checker))
    environment = cel.NewEnv(variables={name: _TYPES[kind] for name, kind in scope.items()})
    expression = environment.compile(_ELIGIBLE)
    values = _as_cel(_CONTACT)
    assert eligible(_CONTACT) == 1
    assert expression.eval(data=values).value() is True
    rules = int(settings.value("rules"))
    text = _ROUTING + "".join(_RULE.format(number=number) for number in range(rules))
    (found,) = read_policies("p", text, checker).policies
    assert isinstance(found.compiled, CompiledRouting)
    classifier = Classifier(found.compiled)
    routed: Values = {**_CONTACT, "time.hour": 9}
    assert classifier.classify("c", routed).rule == ""
    cases: dict[str, Callable[[], object]] = {
        "eligible, five terms": lambda: eligible(_CONTACT),
        "the same, official": lambda: expression.eval(data=values).value(),
        "belongs to a share": lambda: is_taken("contact-1234567", "voice-surge", 0.3),
        f"classified past {rules} rules": lambda: classifier.classify("c", routed),
    }
    taken = compare(
        {name: repeated(case) for name, case in cases.items()}, settings.rounds, settings.round_s
    )
    micros = [1e6 * value for value in taken["eligible, five terms"]]
    goals.at_most("eligibility of a contact", settings.goals["eligible_us"], micros, "µs")
    rows = [[name, figure(found, 1e6)] for name, found in taken.items()]
    return Table("Asked of one contact, µs", ("what", "µs"), rows)


class _Official:
    """The official evaluator over rows of a frame, with values as Python has them at hand."""

    def __init__(
        self, program: Program, compiled: list[Expression], frame: Frame, queues: int
    ) -> None:
        scope = scope_of(QUEUE_SIGNALS, {})
        environment = cel.NewEnv(variables={name: _TYPES[kind] for name, kind in scope.items()})
        self._expressions = [environment.compile(item.text) for item in compiled]
        names = sorted({name for item in compiled for name in item.names})
        self._rows = [
            {name: _value(program, frame, (name, scope[name]), queue) for name in names}
            for queue in range(queues)
        ]

    def evaluate(self) -> np.ndarray:
        """(n_conditions, n_queues) 0 or 1."""
        return np.array(
            [
                [expression.eval(data=row).value() for row in self._rows]
                for expression in self._expressions
            ],
            np.int8,
        )


def _value(program: Program, frame: Frame, name: tuple[str, Kind], queue: int) -> object:
    key, kind = name
    column = frame.column(key if not key.startswith("target.") else f"p/{key}")
    assert column is not None
    held = column[queue].item()
    if kind is Kind.STRING:
        return program.vocabulary.texts[held]
    if kind is Kind.DURATION:
        return datetime.timedelta(milliseconds=held)
    return bool(held) if kind is Kind.BOOL else held


def _as_cel(values: Values) -> dict[str, object]:
    """Values of a contact for the official evaluator; its whole numbers are durations."""
    return {
        name: datetime.timedelta(milliseconds=value) if isinstance(value, int) else value
        for name, value in values.items()
    }


def _drawn(program: Program, compiled: list[Expression], queues: int) -> Frame:
    """A frame of random values, such that each condition is met by some queues."""
    generator = np.random.default_rng(_SEED)
    kinds = scope_of(QUEUE_SIGNALS, {})
    frame = program.frame(queues)
    channels = [program.vocabulary.code(text) for text in ("voice", "chat", "email")]
    grades = [program.vocabulary.code(text) for text in ("idle", "normal", "busy", "overloaded")]
    ids = [program.vocabulary.code(f"{('sales', 'help')[row % 2]}-{row}") for row in range(queues)]
    for name in sorted({name for item in compiled for name in item.names}):
        column = frame.column(name if not name.startswith("target.") else f"p/{name}")
        assert column is not None
        kind = kinds[name]
        if name == "queue.id":
            column[:] = ids
        elif kind is Kind.STRING:
            column[:] = generator.choice(channels if name == "queue.channel" else grades, queues)
        elif kind is Kind.BOOL:
            column[:] = generator.integers(0, 2, queues)
        elif kind is Kind.DURATION:
            column[:] = generator.integers(0, 400_000, queues)
        elif kind is Kind.INT:
            column[:] = generator.integers(0, 24, queues)
        else:
            column[:] = generator.random(queues) * (60.0 if "contacts" in name else 1.0)
    return frame
