"""send and receive: what is refused, and two ends in one process over real sockets."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import whispurrnet
from whispurrnet.base.errors import AuthError, ConfigError, NetworkError
from whispurrnet.cli import context, errands, receiving, sending
from whispurrnet.cli.errands import Wanted
from whispurrnet.cli.fault import Exit, Fault
from whispurrnet.cli.receiving import FOLDER, Receiving, receive
from whispurrnet.cli.sending import Sending, send
from whispurrnet.crypto.keys import Secret
from whispurrnet.disk.errand import Kept, claim
from whispurrnet.extensions.filesync import invitation
from whispurrnet.wire import words
from whispurrnet.wire.ids import ObjectId
from whispurrnet.wire.object_ticket import ObjectTicket, Offered
from whispurrnet.wire.ticket import Ticket

HERE = ("listen=/ip4/127.0.0.1/tcp/0", "lan.enabled=false")
ALONE = {
    "listen": ("/ip4/127.0.0.1/tcp/0",),
    "lan": {"enabled": False},
    "gateway": {"enabled": False},
}
NODE = Ticket(static_key=b"k" * 32, addresses=("/ip4/127.0.0.1/tcp/1",))
IN_STEP = invitation.offer(b"k" * 32, "notes")
OFFERED = Offered(ObjectId(b"r" * 32), Secret(b"c" * 32), "film.bin", 5, collection=False)


class Town:
    """A meeting place, and what was said at both ends."""

    def __init__(self, via: str, home: Path) -> None:
        self.wanted = Wanted(via=(via,), changes=HERE)
        self.home = home
        self.said: list[dict[str, Any]] = []

    async def until(self, true: Callable[[Any], bool], count: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                found = [line for line in self.said if true(line)]
                if len(found) >= count:
                    return found[count - 1]
                await asyncio.sleep(0.01)

    async def heard(self, kind: str, count: int = 1) -> dict[str, Any]:
        return await self.until(lambda it: it["type"] == kind, count)

    def sending(self, *paths: Path, **how: Any) -> asyncio.Task[int]:
        asked = Sending(paths=paths, wanted=self.wanted, **how)
        return asyncio.create_task(send(asked))

    def receiving(self, to: Path, **how: Any) -> asyncio.Task[int]:
        asked = Receiving(to=to, wanted=self.wanted, **how)
        return asyncio.create_task(receive(asked))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What is told to programs."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(errands, "show_json_line", said.append)
    monkeypatch.setattr(errands, "JSON_EVERY_S", 0.0)
    monkeypatch.setattr(errands, "state_folder", lambda kind: tmp_path / "state" / kind)
    monkeypatch.setattr(sending, "state_folder", lambda kind: tmp_path / "state" / kind)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.delenv("WHISPURRNET_CODE", raising=False)
    context.current.output = "json"
    return said


@pytest.fixture
def play(told: list[dict[str, Any]], tmp_path: Path) -> Callable[..., None]:
    @asynccontextmanager
    async def town() -> AsyncIterator[Town]:
        async with whispurrnet.open(**ALONE) as place:
            made = Town(place.ticket.text, tmp_path)
            made.said = told
            yield made

    def playing(story: Callable[[Town], Coroutine[Any, Any, None]]) -> None:
        async def timed() -> None:
            async with asyncio.timeout(60), town() as made:
                await story(made)

        asyncio.run(timed())

    return playing


def file(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def test_a_file_goes_over_by_a_code(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(town: Town) -> None:
        film, there = file(town.home / "here" / "film.bin", 3_000_000), town.home / "there"
        there.mkdir()
        here = town.sending(film)
        offer = await town.heard("offer")
        monkeypatch.setenv("WHISPURRNET_CODE", offer["code"])
        assert await town.receiving(there) == 0
        assert await here == 0
        assert (there / "film.bin").read_bytes() == film.read_bytes()
        assert offer["code"] not in offer["command"]
        assert offer["command"].startswith("whispurr receive --via WN1-")
        assert (await town.heard("arrived"))["bytes"] == 3_000_000
        assert (await town.heard("received"))["told"]
        whats = {line["what"] for line in town.said if line["type"] == "progress"}
        assert whats >= {"receiving", "sending"}
        assert [path.name for path in there.iterdir()] == ["film.bin"], "nothing is left behind"
        assert not (town.home / "state" / "sending").exists()

    play(story)


def test_both_ends_go_on_where_they_stopped(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(town: Town) -> None:
        film, there = file(town.home / "here" / "film.bin", 6_000_000), town.home / "there"
        there.mkdir()
        town.wanted = Wanted(via=town.wanted.via, changes=HERE, limit_mb_s=6.0)
        here = town.sending(film)
        monkeypatch.setenv("WHISPURRNET_CODE", (await town.heard("offer"))["code"])
        taking = town.receiving(there)
        await town.until(lambda it: it.get("what") == "receiving" and it["bytes"] >= 1_500_000)
        monkeypatch.delenv("WHISPURRNET_CODE")
        for task in (taking, here):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not (there / "film.bin").exists()
        before = max(line["bytes"] for line in town.said if line.get("what") == "receiving")
        town.said.clear()
        here, taking = town.sending(film), town.receiving(there)
        assert await taking == 0
        assert await here == 0
        assert [line["type"] for line in town.said if line["type"] == "offer"] == []
        resumed = [line["bytes"] for line in town.said if line.get("what") == "receiving"]
        assert min(one for one in resumed if one) > before * 0.7, "what came does not come again"
        assert (there / "film.bin").read_bytes() == film.read_bytes()

    play(story)


def test_wrong_words_end_it_on_both_sides(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(town: Town) -> None:
        film, there = file(town.home / "here" / "film.bin", 10), town.home / "there"
        there.mkdir()
        here = town.sending(film)
        code = words.parse((await town.heard("offer"))["code"])
        other = next(word for word in words.LIVING if word != code.words[0])
        wrong = words.Code(code.nameplate, (other, *code.words[1:]))
        monkeypatch.setenv("WHISPURRNET_CODE", wrong.text)
        with pytest.raises(AuthError):
            await town.receiving(there)
        with pytest.raises(AuthError, match="give out a new one"):
            await here
        assert list(there.iterdir()) == []
        assert not (town.home / "state" / "sending").exists()

    play(story)


def test_a_folder_goes_over_by_a_ticket_again_and_again(play: Callable[..., None]) -> None:
    async def story(town: Town) -> None:
        album = town.home / "here" / "album"
        for name, size in (("a.txt", 0), ("sub/b.txt", 100), ("sub/c.bin", 600_000)):
            file(album / name, size)
        note = file(town.home / "here" / "note.txt", 9)
        here = town.sending(album, note, ticket=True)
        ticket = (await town.heard("offer"))["ticket"]
        for number in (1, 2):
            there = town.home / f"there {number}"
            there.mkdir()
            assert await town.receiving(there, ticket=ticket) == 0
            came = there / "2 files"
            for path in (p for p in album.rglob("*") if p.is_file()):
                copy = came / "album" / path.relative_to(album)
                assert copy.read_bytes() == path.read_bytes()
            assert (came / "note.txt").read_bytes() == note.read_bytes()
            await town.heard("arrived", number)
            with pytest.raises(Fault, match="Nothing is overwritten"):
                await town.receiving(there, ticket=ticket)
            assert [path.name for path in there.iterdir()] == ["2 files"]
        assert await town.receiving(there, ticket=ticket, overwrite=True) == 0
        assert not here.done()
        here.cancel()
        with pytest.raises(asyncio.CancelledError):
            await here

    play(story)


def test_what_is_in_the_way_does_not_cost_the_code(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(town: Town) -> None:
        film, there = file(town.home / "here" / "film.bin", 400_000), town.home / "there"
        mine = file(there / "film.bin", 5).read_bytes()
        here = town.sending(film)
        monkeypatch.setenv("WHISPURRNET_CODE", (await town.heard("offer"))["code"])
        with pytest.raises(Fault, match="Nothing is overwritten"):
            await town.receiving(there)
        assert (there / "film.bin").read_bytes() == mine
        monkeypatch.delenv("WHISPURRNET_CODE")
        assert await town.receiving(there, overwrite=True) == 0
        assert await here == 0
        assert (there / "film.bin").read_bytes() == film.read_bytes()

    play(story)


def test_nobody_is_found(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setenv("WHISPURRNET_CODE", "7-otter-laptop")
        with pytest.raises(NetworkError, match="same network"):
            await town.receiving(town.home, wait_s=0.5)
        assert not (town.home / FOLDER).exists()

    play(story)


# What is refused before anything is done


def receiving_of(tmp_path: Path, ticket: str | None = None) -> Receiving:
    return Receiving(ticket=ticket, to=tmp_path, wanted=Wanted(changes=HERE))


def test_a_code_on_the_command_line_is_refused(run: Any) -> None:
    for text in ("7-otter-laptop", "otter"):
        ran = run("receive", text)
        assert ran.code == Exit.USAGE
        assert "every user of this machine" in ran.err
        assert "WHISPURRNET_CODE" in ran.err
        assert "otter" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("tokens", "stdin", "says"),
    [
        (["receive"], "", "No code was given"),
        (["receive"], "7-oter-laptop", "did you mean 'otter'"),
        (["receive"], NODE.text, "ticket of a node"),
        (["receive", NODE.text], "", "ticket of a node"),
        (["receive", ObjectTicket(OFFERED, NODE).text[:-3] + "AAA"], "", "copied whole"),
        (["receive", ObjectTicket(IN_STEP, NODE).text], "", "to keep in step"),
        (["receive", "--to", "nowhere"], "", "no such folder"),
        (["send"], "", "nothing to send"),
        (["send", "nowhere"], "", "does not exist"),
        (["send", "a:b"], "", "cannot be sent"),
        (["send", "x", "X"], "", "cannot be sent"),
        (["send", "x", "--limit", "0"], "", "above 0"),
        (["send", "x", "--words", "9"], "", "2 to 8 words"),
    ],
)
def test_what_cannot_be_is_explained(
    run: Any, tmp_path: Path, tokens: list[str], stdin: str, says: str
) -> None:
    for name in ("a:b", "x", "X"):
        (tmp_path / name).write_text("")
    extra = ["--set", HERE[0], "--set", HERE[1]] if "--words" in tokens else []
    ran = run(*tokens, *extra, stdin=stdin.encode())
    assert ran.code == Exit.USAGE
    assert says in ran.err
    assert not (tmp_path / FOLDER).exists()


def test_a_ticket_may_come_any_way_and_a_begun_errand_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ObjectTicket(OFFERED, NODE).text
    begun = receiving.choose(receiving_of(tmp_path, text))
    assert begun.ticket == ObjectTicket(OFFERED, NODE)
    begun.errand.done()
    monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))
    begun = receiving.choose(receiving_of(tmp_path))
    assert begun.ticket is not None
    begun.errand.write(Kept(offered=OFFERED.pack(), made_s=1, ticket=NODE.text))
    begun.errand.release()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    begun = receiving.choose(receiving_of(tmp_path))
    assert begun.kept is not None
    assert begun.kept.offered == OFFERED.pack()
    monkeypatch.setattr("sys.stdin", io.StringIO("7-otter-laptop\n"))
    other = receiving.choose(receiving_of(tmp_path))
    assert other.code == words.Code(7, ("otter", "laptop")), "who names a code wants that"


def test_a_name_that_a_sender_chose_stays_in_the_folder(tmp_path: Path) -> None:
    for label in ("../film", "/etc/passwd", "..", "a/b", "a\\b", "con", "a\0b", "x."):
        bad = Offered(OFFERED.root, OFFERED.cap, label, 1, collection=False)
        with pytest.raises(Fault) as caught:
            receiving._target(tmp_path, bad)
        assert caught.value.code == Exit.NOT_AUTHENTIC
    assert receiving._target(tmp_path, OFFERED) == tmp_path / "film.bin"


class Person(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_person_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for said, usual, answer in (("\n", True, True), ("\n", False, False), ("n\n", True, False)):
        monkeypatch.setattr("sys.stdin", Person(said))
        assert errands.ask("really?", yes=False, usual=usual) is answer
    assert errands.ask("really?", yes=True)
    there = tmp_path / "film.bin"
    there.write_text("mine")
    for said, answer in (("y\n", True), ("\n", False)):
        monkeypatch.setattr("sys.stdin", Person(said))
        if answer:
            assert receiving._may_replace(there, receiving_of(tmp_path))
        else:
            with pytest.raises(Fault):
                receiving._may_replace(there, receiving_of(tmp_path))
    typed = iter(["7-oter-laptop", "7-otter-laptop"])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    monkeypatch.setattr("sys.stdin", Person(""))
    begun = receiving.choose(receiving_of(tmp_path))
    assert begun.code == words.Code(7, ("otter", "laptop")), "a typing error costs nothing"


def test_a_begun_errand_is_offered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errand = claim(tmp_path.resolve() / FOLDER, "ab" * 8)
    errand.write(Kept(offered=OFFERED.pack(), made_s=1))
    errand.release()
    monkeypatch.setattr("builtins.input", lambda _: "7-otter-laptop")
    monkeypatch.setattr("sys.stdin", Person("n\n"))
    assert receiving.choose(receiving_of(tmp_path)).code is not None
    monkeypatch.setattr("sys.stdin", Person("y\n"))
    assert receiving.choose(receiving_of(tmp_path)).kept is not None


def test_the_node_of_an_errand_is_a_quiet_one(tmp_path: Path) -> None:
    wanted = Wanted(changes=HERE, via=(NODE.text,), limit_mb_s=2.5, life_s=9000.0)
    settings = errands.settings_for(wanted, tmp_path)
    assert not settings.gateway.enabled
    assert settings.bootstrap == (NODE.text,)
    assert settings.objects.upload_bps == settings.objects.download_bps == 2_500_000
    assert settings.objects.folder == str(tmp_path)
    assert settings.identity.lifetime_s == 9000.0
    invite = Ticket(static_key=b"k" * 32, addresses=NODE.addresses, psk=Secret(b"p" * 32))
    with pytest.raises(Fault, match="secret"):
        errands.settings_for(Wanted(via=(invite.text,)), tmp_path)
    with pytest.raises((ConfigError, Fault)):
        errands.settings_for(Wanted(changes=("moon=1",)), tmp_path)


def test_bars(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with errands.bar("receiving", "film") as shown:
        shown(1, 2, waits="the sender is away")
        shown(1, 2, waits="the sender is away")
        shown(2, 2)
    assert capsys.readouterr().err.count("the sender is away") == 1
    monkeypatch.setattr("sys.stderr", Terminal())
    with errands.bar("receiving", "film [red]\x1b[31m") as shown:
        shown(1, 2, rate_bps=5e6, sources=2, waits="x[/]")
        errands.from_thread(shown, 2)(2)
    assert "\x1b[31m" not in str(errands.clean("film\x1b[31m"))


class Terminal(io.StringIO):
    """A terminal that shows nothing."""

    def isatty(self) -> bool:
        return True
