"""A scenario: what a simulation consists of, as a TOML file says it.

    name = "lossy"
    nodes = 20
    duration_s = 30.0
    [wire]
    loss = 0.05
    [[work]]
    kind = "whisper"
    count = 100

Every key has a default and a bound. An unknown key is an error that names the file, the path and
the nearest known key; a wrong value is an error that names the path. `[node]` holds settings of
the stack itself, by section: `[node.channel]` with `heartbeat_s = 5.0`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from whispurrnet.base.errors import ConfigError
from whispurrnet.sim.wire import Share, Span, Wire
from whispurrnet.stack.config import Config

C = TypeVar("C", bound=msgspec.Struct)
Count = Annotated[int, Meta(ge=1)]

STAMP_BYTES = 16
"""A message of a workload is at least so long: it carries its number."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every part of a scenario is: frozen, by name, closed."""


class Mesh(Part, frozen=True):
    """How the nodes come together."""

    calls: Annotated[int, Meta(ge=0)] = 4
    """How many others each node calls at its start."""
    friends: bool = False
    """Whether these are wanted for themselves, and called for ever; otherwise they are a way into
    the mesh, which then chooses neighbours by itself."""
    stagger_s: Span = 1.0
    """Over how long the nodes start."""
    network: bool = True
    """Whether they share a network secret."""
    lan: bool = False
    """Whether they also announce themselves to all others, as on one local network."""


class Nat(Part, frozen=True):
    """Which share of the nodes stands behind which NAT; the rest behind none."""

    full_cone: Share = 0.0
    restricted: Share = 0.0
    port_restricted: Share = 0.0
    symmetric: Share = 0.0
    relays: Annotated[int, Meta(ge=0)] = 0
    """How many of the rest are relays; all that stand behind a NAT ask them for a place."""


class Churn(Part, frozen=True):
    """Who goes, and who comes back."""

    crash_share: Share = 0.0
    """How many stop at once, for good."""
    crash_at_s: Span = 10.0
    silent: bool = False
    """Whether those who stop leave links that nobody closes."""
    every_s: Span = 0.0
    """How often one more honest node stops, on average; 0: never."""
    away_s: Span = 10.0
    """After how long that one starts anew, as somebody else."""


class Hostile(Part, frozen=True):
    """Which share of the nodes misbehaves, and how (see `sim.adversary`)."""

    liar: Share = 0.0
    flooder: Share = 0.0
    eclipser: Share = 0.0
    replayer: Share = 0.0
    eavesdropper: Share = 0.0
    black_hole: Share = 0.0
    from_s: Span = 0.0
    """When they begin."""
    prefixes: Count = 5
    """In how many networks (/24) they are; each honest node is in its own."""


class Partition(Part, frozen=True):
    """For a while some nodes cannot speak to the others."""

    from_s: Span = 10.0
    until_s: Span = 20.0
    share: Share = 0.5
    """How many are on the smaller side."""
    one_way: bool = False
    """They still hear the others, but are not heard."""


class Work(Part, frozen=True):
    """Messages that honest nodes send."""

    kind: Literal["whisper", "resonance", "broadcast", "emergency"] = "whisper"
    count: Count = 100
    from_s: Span = 0.0
    """When the first is sent, after `settle_s`."""
    every_s: Span = 0.1
    """How long after one the next is sent, on average."""
    size_bytes: Annotated[int, Meta(ge=STAMP_BYTES)] = 64
    intent: str = "sim/heart"
    """What a resonance is about."""
    listeners: Share = 1.0
    """Which share of the nodes listens to that intent."""
    strength: Share = 1.0
    priority: Annotated[int, Meta(ge=0, le=10)] = 5
    ttl_s: Annotated[float, Meta(gt=0)] = 60.0
    signed: bool = False
    latency_p99_max_s: Span | None = None
    """In place of the one in `expect`."""


class Expect(Part, frozen=True):
    """What must hold at the end; what is left out is not asked."""

    delivery_min: Share | None = None
    """Of all that was sent, the least share that must have arrived."""
    worst_min: Share | None = None
    """The same of each single message."""
    latency_p99_max_s: Span | None = None
    payloads_max: Span | None = None
    """How often a node may get the body of one message that spreads, on average."""
    connected_min: Share | None = None
    """Which share of the honest nodes must be in one piece."""


class Scenario(Part, frozen=True):
    """Everything that a run depends on, with the code."""

    name: str = "unnamed"
    seed: int = 1
    nodes: Annotated[int, Meta(ge=2, le=100_000)] = 10
    settle_s: Span = 5.0
    """How long the nodes have to find each other before the work begins."""
    duration_s: Annotated[float, Meta(gt=0)] = 30.0
    """How long all of it takes, in simulated seconds."""
    wire: Wire = Wire()
    mesh: Mesh = Mesh()
    nat: Nat = Nat()
    churn: Churn = Churn()
    hostile: Hostile = Hostile()
    partition: tuple[Partition, ...] = ()
    work: tuple[Work, ...] = ()
    expect: Expect = Expect()
    node: dict[str, Any] = {}
    """Settings of the stack of every node."""


def load(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ConfigError: The file cannot be read, a key is unknown, or a value is wrong.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: cannot be read ({reason}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    return from_tree(tree, str(path))


def from_tree(tree: Mapping[str, Any], origin: str = "scenario") -> Scenario:
    """A scenario from what a TOML file holds.

    Raises:
        ConfigError: A key is unknown, or a value is wrong; names `origin` and the path.
    """
    _refuse_unknown(tree, Scenario, origin, "")
    scenario: Scenario = _convert(tree, Scenario, origin, "")
    open_share = 1.0
    for kind in (scenario.nat, scenario.hostile):
        shares = [
            value for name, value in _fields(kind) if name not in {"from_s", "prefixes", "relays"}
        ]
        if sum(shares) > 1.0 + 1e-9:
            section = type(kind).__name__.lower()
            raise ConfigError(f"{origin}: the shares in `{section}` are more than 1 together")
        open_share -= sum(shares)
    if scenario.nat.relays > round(scenario.nodes * open_share):
        raise ConfigError(f"{origin}: `nat.relays` is more than the honest nodes in the open")
    for number, cut in enumerate(scenario.partition):
        if cut.until_s < cut.from_s:
            raise ConfigError(f"{origin}: `partition[{number}].until_s` is before its from_s")
    configure(Config(), scenario.node, origin, "node")  # so that a wrong one is told now
    return scenario


def configure(config: C, tree: Mapping[str, Any], origin: str, path: str) -> C:
    """A configuration of a stack with some settings changed, by section.

    Raises:
        ConfigError: There is no such setting, or a value is wrong.
    """
    hints = get_type_hints(type(config), include_extras=True)
    changes: dict[str, Any] = {}
    for key, value in tree.items():
        here = f"{path}.{key}"
        if key not in hints:
            raise ConfigError(f"{origin}: unknown key `{here}`{_nearest(here, hints, path)}")
        current = getattr(config, key)
        if isinstance(current, msgspec.Struct) and isinstance(value, Mapping):
            changes[key] = configure(current, value, origin, here)
        else:
            changes[key] = _convert(value, hints[key], origin, here)
    return msgspec.structs.replace(config, **changes)


def _fields(part: msgspec.Struct) -> list[tuple[str, Any]]:
    return [(name, getattr(part, name)) for name in part.__struct_fields__]


def _refuse_unknown(tree: Mapping[str, Any], kind: type, origin: str, path: str) -> None:
    hints = get_type_hints(kind, include_extras=True)
    for key, value in tree.items():
        here = f"{path}{key}"
        if key not in hints:
            raise ConfigError(
                f"{origin}: unknown key `{here}`{_nearest(here, hints, path.rstrip('.'))}"
            )
        inner = _struct_in(hints[key])
        if inner is None:
            continue
        if isinstance(value, Mapping):
            _refuse_unknown(value, inner, origin, f"{here}.")
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, Mapping):
                    _refuse_unknown(item, inner, origin, f"{here}[{number}].")


def _struct_in(hint: Any) -> type | None:
    """The structure that a hint stands for, or holds several of."""
    for kind in (hint, *getattr(hint, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return kind
    return None


def _nearest(name: str, known: Iterable[str], path: str) -> str:
    """A hint to the known key that is most like one, to end a message with."""
    names = {f"{path}.{key}" if path else key: None for key in known}
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(names)}"


def _convert(value: object, kind: Any, origin: str, path: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, TypeError) as error:
        reason, _, where = str(error).partition(" - at `$")
        where = (path + where.rstrip("`")).lstrip(".")
        raise ConfigError(f"{origin}: `{where}` is wrong: {reason}") from None
