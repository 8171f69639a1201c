"""Meeting under a name, presence, and whom hearsay may make us call, in whole nodes."""

from __future__ import annotations

from collections import defaultdict

import pytest

from whispurrnet.base.errors import LimitError, UsageError
from whispurrnet.gossip.contact import Contact
from whispurrnet.sim.world import Wire, World
from whispurrnet.stack import events, greeting
from whispurrnet.stack.config import Config
from whispurrnet.stack.reach import Reach, reach

QUIET = Config(beacon_on=False)


class Village:
    """A well at which all meet, and guests around it."""

    def __init__(self, *guests: str, config: Config = QUIET) -> None:
        self.news: dict[str, list[events.Effect]] = defaultdict(list)
        self.world = World(1, Wire(), lambda _, node, effect: self.news[node].append(effect))
        self.world.add("well", config)
        for guest in guests:
            self.world.add(guest, config)
            self.world.connect(guest, "well")
        self.world.run(5.0)

    def tell(self, node: str, event: events.Event, wait_s: float = 15.0) -> None:
        self.world.inject(node, event)
        self.world.run(self.world.now + wait_s)

    def found(self, node: str) -> list[bytes]:
        return [
            contact[0]
            for effect in self.news[node]
            if isinstance(effect, events.FoundName)
            for contact in effect.contacts
        ]

    def key(self, node: str) -> bytes:
        return self.world.nodes[node].shared.identity.proof.static_key


def test_who_knows_the_name_finds_who_is_registered_under_it() -> None:
    village = Village("anna", "ben", "cora")
    village.tell("anna", events.Register("our garden"))
    village.tell("ben", events.FindName(1, "our garden"))
    village.tell("cora", events.FindName(1, "their garden"))
    assert village.found("ben") == [village.key("anna")]
    assert village.found("cora") == []
    assert [e.done for e in village.news["cora"] if isinstance(e, events.FoundName)][-1]


def test_who_is_registered_is_found_by_whoever_asks_it() -> None:
    """With no meeting place but itself: two people on one network, and nobody else."""
    village = Village("anna")
    village.tell("well", events.Register("our well"))
    village.tell("anna", events.FindName(1, "our well"))
    assert village.found("anna") == [village.key("well")]


def test_two_who_know_the_same_many_choose_the_same_few() -> None:
    village = Village()
    for number in range(20):
        village.world.add(f"place {number}", QUIET)
    for guest, order in (("anna", range(20)), ("ben", range(19, -1, -1))):
        village.world.add(guest, QUIET)
        for number in order:
            village.world.connect(guest, f"place {number}")
    village.world.run(20.0)
    chosen = {}
    for guest in ("anna", "ben"):
        stack = village.world.nodes[guest]
        handles = stack.meeting._points("our garden")
        records = [stack.shared.roster.get(handle) for handle in handles]
        chosen[guest] = {record.static_key for record in records if record is not None}
    assert len(chosen["anna"]) == len(chosen["ben"]) == 8
    assert len(chosen["anna"] & chosen["ben"]) >= 6, "all but perhaps each other"
    village.tell("anna", events.Register("our garden"))
    village.tell("ben", events.FindName(1, "our garden"))
    assert village.found("ben") == [village.key("anna")]


def test_a_new_key_is_left_under_the_name_and_a_withdrawn_one_is_gone() -> None:
    village = Village("anna", "ben")
    village.tell("anna", events.Register("our garden"))
    village.tell("anna", events.RotateIdentity())
    village.tell("ben", events.FindName(1, "our garden"))
    assert village.found("ben")[-1] == village.key("anna")
    village.news["ben"].clear()
    village.tell("anna", events.Withdraw("our garden"))
    village.tell("ben", events.FindName(2, "our garden"))
    assert village.found("ben") == []


def test_a_node_that_is_no_meeting_place_keeps_nothing() -> None:
    village = Village("anna", "ben", config=Config(beacon_on=False, meeting_place=False))
    village.tell("anna", events.Register("our garden"))
    village.tell("ben", events.FindName(1, "our garden"))
    assert village.found("ben") == []


def test_presence_is_told_to_peers_and_to_those_who_come_later() -> None:
    village = Village("anna")
    village.tell("anna", events.SetPresence("busy", "digging"))
    (record,) = village.world.nodes["well"].roster
    assert record.presence == ("busy", "digging")
    village.world.add("ben", QUIET)
    village.world.connect("anna", "ben")
    village.world.run(village.world.now + 5.0)
    roster = village.world.nodes["ben"].roster
    record = next(record for record in roster if record.static_key == village.key("anna"))
    assert record.presence == ("busy", "digging")


@pytest.mark.parametrize(
    ("state", "note"), [("flying", ""), ("busy", "x" * (greeting.PRESENCE_NOTE_MAX + 1))]
)
def test_a_presence_that_there_is_not_is_refused(state: str, note: str) -> None:
    village = Village("anna")
    with pytest.raises(UsageError):
        village.world.nodes["anna"].handle(events.SetPresence(state, note), village.world.now)


def test_a_peer_that_tells_its_presence_without_end_is_cut_off() -> None:
    village = Village("anna")
    for n in range(40):
        village.world.inject("anna", events.SetPresence("busy", str(n)))
    village.world.run(village.world.now + 1.0)
    assert any(isinstance(e, events.PeerDown) for e in village.news["well"])


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("/ip4/127.0.0.1/tcp/1", Reach.MACHINE),
        ("/ip6/::1/tcp/1", Reach.MACHINE),
        ("/memory/x", Reach.MACHINE),
        ("/ip4/192.168.1.7/tcp/1", Reach.NETWORK),
        ("/ip6/fe80::1/tcp/1", Reach.NETWORK),
        ("/ip4/9.9.9.9/tcp/1", Reach.WORLD),
        ("/dns4/example.org/tcp/1", Reach.WORLD),
        ("nonsense", Reach.NOWHERE),
    ],
)
def test_how_far_an_address_reaches(address: str, wanted: Reach) -> None:
    assert reach(address) == wanted


def test_hearsay_does_not_make_us_call_our_own_machine() -> None:
    village = Village("anna")
    anna, now = village.world.nodes["anna"], village.world.now
    for host, called in (("127.0.0.1", False), ("10.0.9.9", True)):
        contact = Contact(bytes([called]) * 32, (f"/ip4/{host}/tcp/22",), 2_000_000_000)
        anna.shared.out.clear()
        anna.gossiping.call(contact, now)
        dials = [e for e in anna.shared.out if isinstance(e, events.Dial)]
        assert bool(dials) is called, host


def test_who_said_goodbye_for_good_is_not_called_as_a_neighbour() -> None:
    village = Village("anna", "ben", "cora")
    well = village.world.nodes["well"]
    record = next(r for r in well.roster if r.static_key == village.key("anna"))
    village.tell("well", events.Disconnect(record.handle), 200.0)
    assert record.live is None
    village.world.connect("well", "anna")
    village.world.run(village.world.now + 10.0)
    assert record.live is not None


@pytest.mark.parametrize("name", ["", "x" * 257, "\ud800"])
def test_a_name_that_cannot_be_is_refused_at_once_and_harms_nothing(name: str) -> None:
    """Also while nobody is there: else it would break the session with the first who comes."""
    village = Village()
    village.world.add("anna", QUIET)
    anna = village.world.nodes["anna"]
    for event in (events.Register(name), events.FindName(1, name)):
        with pytest.raises(UsageError):
            anna.handle(event, village.world.now)
    assert anna.meeting.names == ()
    assert anna.meeting._refs == {}
    village.world.connect("anna", "well")
    village.world.run(village.world.now + 5.0)
    assert anna.meeting.places == 1


def test_only_so_many_names_also_while_nobody_is_there() -> None:
    village = Village()
    village.world.add("anna", QUIET)
    anna, now = village.world.nodes["anna"], village.world.now
    for n in range(64):
        anna.handle(events.Register(f"garden {n}"), now)
    with pytest.raises(LimitError):
        anna.handle(events.Register("one more"), now)
    anna.handle(events.Register("garden 7"), now)
    anna.handle(events.Withdraw("garden 0"), now)
    anna.handle(events.Register("one more"), now)
    assert anna.meeting.names[-1] == "one more"
    assert anna.meeting.places == 0


def test_what_a_slow_peer_makes_us_drop_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whispurrnet.stack.outbox.FRAMES_MAX", 2)
    village = Village("anna")
    anna, now = village.world.nodes["anna"], village.world.now
    for n in range(5):
        anna.handle(events.Register(f"garden {n}"), now)
    assert anna.shared.meter.get("gossip_dropped") > 0
