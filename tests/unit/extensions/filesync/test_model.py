"""The model of one folder: what it hears, what it asks for, and what it does not believe."""

from __future__ import annotations

import msgspec
import pytest

from whispurrnet.base.errors import ProtocolError
from whispurrnet.base.machine import Tick
from whispurrnet.extensions.filesync import status
from whispurrnet.extensions.filesync.model import Model
from whispurrnet.extensions.filesync.model_events import (
    Applied,
    Apply,
    Config,
    Down,
    Effect,
    Found,
    Gone,
    Index,
    Look,
    NotApplied,
    Save,
    SaveIndex,
    Scanned,
    SendIndex,
    Sent,
    Stage,
    Staged,
    StageFailed,
    Unshared,
    Unstage,
    Up,
)
from whispurrnet.extensions.filesync.peers import Remote
from whispurrnet.extensions.filesync.record import DEVICES_MAX, File

X, Y = b"x" * 32, b"y" * 32
THEM = Up(7, 2, "bob", 0)


def theirs(path: str, oid: bytes, seq: int, history: dict[int, int] | None = None) -> File:
    history = history or {2: 1}
    device = max(history)
    pairs = tuple(sorted(history.items()))
    return File(path, oid, 5 if oid else 0, False, 10, pairs, device, history[device], seq)


def found(path: str, oid: bytes, base: int = 0) -> Scanned:
    return Scanned((Found(path, oid, 5, False, 1, base),))


def of(effects: list[Effect], kind: type) -> list[Effect]:
    return [effect for effect in effects if type(effect) is kind]


def met(*files: File, **config: int) -> Model:
    model = Model(Config(**config), 1)
    model.handle(THEM, 0.0)
    if files:
        model.handle(Index(7, False, files[-1].seq, files), 0.0)
    return model


def test_what_is_found_is_saved_before_it_is_told() -> None:
    model = met()
    effects = model.handle(found("a", X), 0.0)
    assert [type(effect) for effect in effects] == [Save, SendIndex]
    assert effects[1].files == effects[0].files  # type: ignore[union-attr]
    assert not of(model.handle(found("b", Y), 0.0), SendIndex)  # one part at a time
    assert of(model.handle(Sent(7), 0.0), SendIndex)
    assert not model.handle(Sent(7), 0.0)
    assert not model.handle(found("a", X, 1), 0.0)


def test_a_version_is_staged_then_applied_then_told() -> None:
    model = Model(Config(), 1)
    model.handle(THEM, 0.0)
    effects = model.handle(Index(7, False, 1, (theirs("d/a", X, 1),)), 0.0)
    assert effects == [SaveIndex(2, False, 1, (theirs("d/a", X, 1),)), Stage(X, 5, "", (7,))]
    (apply,) = model.handle(Staged(X), 0.0)
    assert isinstance(apply, Apply)
    assert apply.expected is None
    assert [type(e) for e in model.handle(Applied("d/a"), 0.0)] == [Save, Unstage, SendIndex]
    assert status.settled(model)
    (gone,) = of(model.handle(Index(7, False, 2, (theirs("d/a", b"", 2, {2: 2}),)), 0.0), Apply)
    assert gone.expected is model.index.files["d/a"]  # type: ignore[union-attr]


def test_what_was_seen_of_an_older_version_is_looked_at_again() -> None:
    model = met()
    model.handle(found("a", X), 0.0)
    assert model.handle(found("a", Y), 0.0) == [Look("a")]
    assert model.handle(Scanned((), (Gone("a", 2, 0),)), 0.0) == [Look("a")]
    assert model.index.files["a"].oid == X
    model.handle(Scanned((), (Gone("a", 2, 1),)), 0.0)
    assert not model.index.files["a"].live


def test_what_is_seen_while_it_is_changed_is_looked_at_afterwards() -> None:
    model = met(theirs("a", X, 1))
    model.handle(Staged(X), 0.0)
    assert not model.handle(found("a", Y), 0.0)
    assert Look("a") in model.handle(NotApplied("a", "it is being changed here"), 0.0)
    model.handle(found("a", Y), 0.0)
    assert model.index.files["a"].oid == Y
    assert model.plan.wants["a"].keep


def test_what_fails_is_tried_again_later_and_later() -> None:
    model = met(theirs("a", X, 1))
    now = 0.0
    for wait_s in (1.0, 2.0, 4.0):
        model.handle(StageFailed(X, "bob is busy"), now)
        assert status.items(model)[0].reason == "bob is busy; it is tried again"
        assert model.deadline == now + wait_s
        assert not model.handle(Tick(), now + wait_s - 0.1)
        now += wait_s
        assert of(model.handle(Tick(), now), Stage)


def test_a_rename_needs_no_transfer_and_the_old_file_goes_last() -> None:
    model = met()
    model.handle(found("old", X), 0.0)
    files = (theirs("new", X, 1), theirs("old", b"", 2, {1: 1, 2: 1}))
    effects = model.handle(Index(7, False, 2, files), 0.0)
    assert of(effects, Stage) == [Stage(X, 5, "old", (7,))]
    assert not of(effects, Apply)
    applies = of(model.handle(Staged(X), 0.0), Apply)
    assert [apply.file.path for apply in applies] == ["new", "old"]  # type: ignore[union-attr]


def test_a_file_stands_aside_for_a_folder() -> None:
    model = met()
    model.handle(found("d", X), 0.0)
    (apply,) = of(model.handle(Index(7, False, 1, (theirs("d/a", Y, 1),)), 0.0), Apply)
    assert isinstance(apply, Apply)
    assert not apply.file.live
    assert apply.keep_as.startswith("d.conflict-")
    assert "is a file here" in status.items(model)[0].reason
    assert of(model.handle(Applied("d"), 0.0), Stage)
    assert model.index.files[apply.keep_as].oid == X


@pytest.mark.parametrize(
    "path", ["../up", "/etc/passwd", "a/../../b", "a\0b", "CON", ".whispurr/x", "a//b", "x" * 300]
)
def test_names_that_lead_elsewhere_are_never_asked_for(path: str) -> None:
    model = met(theirs(path, X, 1))
    assert not model.plan.applying
    (item,) = status.items(model)
    assert item.reason
    assert not of(model.handle(Staged(X), 0.0), Apply)


def test_names_that_differ_in_case_only() -> None:
    model = met(theirs("READme", X, 1))
    model.handle(Staged(X), 0.0)
    model.handle(Applied("READme"), 0.0)
    model.handle(found("readme", Y), 0.0)
    assert "upper and lower case" in model.unshared.peek("readme")  # type: ignore[operator]
    model.handle(Index(7, False, 2, (theirs("ReadMe", Y, 2),)), 0.0)
    assert {item.path for item in status.items(model)} == {"readme", "ReadMe"}
    effects = model.handle(Scanned((), (Gone("READme", 2, 1),)), 0.0)
    assert Look("readme") in effects
    assert of(effects, Stage)
    model.handle(Unshared("readme", ""), 0.0)
    assert "readme" not in model.unshared


@pytest.mark.parametrize(
    "event",
    [
        Index(9, False, 1, ()),
        Index(7, False, 1, (theirs("a", X, 2),)),
        Index(7, False, 9, (theirs("a", X, 2), theirs("b", X, 1))),
        Index(7, False, 9, (theirs("a", b"short", 2),)),
        Index(7, False, 9, (msgspec.structs.replace(theirs("a", X, 2), history=((2, 1), (1, 1))),)),
        Index(7, False, 9, tuple(theirs(f"p{n}", X, n + 2) for n in range(4))),
        Up(8, 1, "copy", 0),
    ],
)
def test_what_breaks_the_protocol_changes_nothing(event: Index | Up) -> None:
    model = met(files_max=3)
    with pytest.raises(ProtocolError):
        model.handle(event, 0.0)
    assert not model.plan.wants
    assert not model.peers.remotes[2].files
    assert list(model.peers.lines) == [7]


def test_devices_are_bounded() -> None:
    model = Model(Config(), 1)
    for number in range(DEVICES_MAX):
        model.handle(Up(number, number + 2, "x", 0), 0.0)
    with pytest.raises(ProtocolError, match="more than 64 devices"):
        model.handle(Up(99, 99, "x", 0), 0.0)
    many = {number + 2: 1 for number in range(DEVICES_MAX)}
    model.handle(Index(0, False, 1, (theirs("a", X, 1, many),)), 0.0)
    model.handle(Staged(X), 0.0)
    model.handle(Applied("a"), 0.0)
    model.handle(found("a", Y, 1), 0.0)
    assert "64 devices" in (model.unshared.peek("a") or "")


def test_parts_that_came_before_are_no_news_and_a_reset_begins_anew() -> None:
    model = met(theirs("a", X, 3))
    assert not of(model.handle(Index(7, False, 3, (theirs("a", Y, 3),)), 0.0), Stage)
    effects = model.handle(Index(7, True, 1, (theirs("b", Y, 1),)), 0.0)
    assert SaveIndex(2, True, 1, (theirs("b", Y, 1),)) in effects
    assert list(model.plan.wants) == ["b"]
    assert Unstage(X) in effects


def test_a_peer_that_knows_more_than_there_is_is_told_all_anew() -> None:
    model = Model(Config(), 1)
    model.handle(found("a", X), 0.0)
    (sent,) = model.handle(Up(7, 2, "bob", 50), 0.0)
    assert isinstance(sent, SendIndex)
    assert sent.reset
    model.handle(Down(7), 0.0)
    assert not model.handle(Sent(7), 0.0)
    assert not model.handle(Up(7, 2, "bob", 1), 0.0)


def test_nobody_there_is_told_as_a_reason_and_ends_when_somebody_comes() -> None:
    remotes = {2: Remote({"a": theirs("a", X, 1)}, 1)}
    model = Model(Config(), 1, (), remotes)
    model.handle(Tick(), 0.0)
    assert status.items(model)[0].reason == "nobody who is connected has it"
    assert of(model.handle(THEM, 0.0), Stage)


def test_the_index_travels_in_batches() -> None:
    model = Model(Config(batch_files=10), 1)
    model.handle(Scanned(tuple(Found(f"f{n}", X, 5, False, 1, 0) for n in range(25))), 0.0)
    sizes = []
    effects = model.handle(THEM, 0.0)
    while effects:
        (part,) = effects
        assert isinstance(part, SendIndex)
        sizes.append(len(part.files))
        effects = model.handle(Sent(7), 0.0)
    assert sizes == [10, 10, 5]


def test_a_file_that_moves_into_a_folder_of_its_own_name() -> None:
    """What stands in the way has the content that is wanted behind it, and elsewhere, too."""
    model = met()
    model.handle(found("d", X), 0.0)
    files = (theirs("d/x", X, 1), theirs("e", X, 2), theirs("d", b"", 3, {1: 1, 2: 1}))
    effects = model.handle(Index(7, False, 3, files), 0.0)
    assert of(effects, Stage) == [Stage(X, 5, "d", (7,))]
    applies = of(model.handle(Staged(X), 0.0), Apply)
    assert {apply.file.path for apply in applies} == {"d", "e"}  # type: ignore[union-attr]
    assert not of(model.handle(Applied("e"), 0.0), Unstage)
    (apply,) = of(model.handle(Applied("d"), 0.0), Apply)
    assert apply.file.path == "d/x"  # type: ignore[union-attr]
    assert of(model.handle(Applied("d/x"), 0.0), Unstage) == [Unstage(X)]
    assert status.settled(model)
