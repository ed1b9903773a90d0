"""Policies as texts of files, and what is read of them."""

from adapters.policy_source.checker import CelChecker
from adapters.policy_source.reading import FileRead, read_policies
from engine.policy.compiled import Compiled, CompiledRelief, CompiledRouting

CHECKER = CelChecker()

DIVERSION = """\
apiVersion: headgate/v1
kind: DiversionPolicy
metadata: {name: voice-surge}
spec:
  mode: auto
  precedence: 10
  match: {queues: [billing, "sales-*"]}
  params:
    on: {value: 0.5, min: 0.1, max: 0.9, description: enter at this risk}
    off: {value: 0.25, min: 0.05, max: 0.9}
    longest: {value: 3m}
  enter:
    when: breach_risk_5m >= params.on || queue.estimated_wait > params.longest
    for: 30s
  exit:
    when: breach_risk_5m <= params.off && queue.estimated_wait < duration("1m")
    for: 1m
  eligible: contact.tier != "vip" && contact.wait > duration("12s")
  actions:
    - offer_choice:
        options:
          - wait: {}
          - callback: {within: 4h}
          - other_channel: {channel: chat, queue: billing-chat}
    - notify: {webhook: ops}
  share: {just_enough: {risk_max: 0.2}}
"""

OVERFLOW = """\
apiVersion: headgate/v1
kind: OverflowPolicy
metadata: {name: lisbon-to-porto}
spec:
  match: {queues: [lisbon]}
  enter: {when: queue.waiting > 4}
  actions: [{overflow: {queue: porto}}]
"""

ROUTING = """\
apiVersion: headgate/v1
kind: RoutingPolicy
metadata: {name: entry}
spec:
  params: {old: {value: 3}}
  rules:
    - name: vip
      when: contact.tier == "vip"
      to: {queue: gold, priority: 10, requirements: {skills: {french: 3}}}
    - name: cards
      when: contact.attributes.product == "card" && time.hour < 18
      split:
        - {percent: 20, to: {queue: cards-new}}
        - {percent: 80, to: {queue: cards}}
    - name: returning
      when: contact.returns >= params.old
      to: {queue: gold, preferred_agent_attribute: last_agent}
  default: {queue: general}
"""


def read(text: str) -> FileRead:
    """What a file of this text holds."""
    return read_policies("p.yaml", text, CHECKER)


def compiled(text: str) -> Compiled:
    """The one policy of a text, which must be sound."""
    found = read(text)
    assert found.problems == [], "\n".join(map(str, found.problems))
    return found.policies[0].compiled


def relief(text: str) -> CompiledRelief:
    """The same, of a diversion or overflow policy."""
    found = compiled(text)
    assert isinstance(found, CompiledRelief)
    return found


def routing(text: str) -> CompiledRouting:
    """The same, of a routing policy."""
    found = compiled(text)
    assert isinstance(found, CompiledRouting)
    return found


def problems(text: str) -> list[str]:
    """Problems of a text, each as `line:col: message`."""
    found = read(text).problems
    return [f"{item.place.line}:{item.place.column}: {item.message}" for item in found]
