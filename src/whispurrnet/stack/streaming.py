"""The streams of all sessions: from the application to the mux of a session, and back."""

from __future__ import annotations

from collections.abc import Sequence

from whispurrnet.base.errors import NetworkError
from whispurrnet.session import mux
from whispurrnet.stack import events
from whispurrnet.stack.links import Links
from whispurrnet.stack.live import Live
from whispurrnet.stack.shared import Shared


class Streaming:
    """Routes what streams are told and what they tell.

    Args:
        shared: What the parts of the stack share.
        links: The sessions.
    """

    def __init__(self, shared: Shared, links: Links) -> None:
        self._shared = shared
        self._links = links

    def live(self, peer: int) -> Live:
        """The session of a peer.

        Raises:
            NetworkError: There is none.
        """
        record = self._shared.roster.get(peer)
        if record is None or record.live is None:
            raise NetworkError("the peer is not connected; its streams ended with its session")
        return record.live

    def open(self, event: events.OpenStream, now: float) -> None:
        """Open a stream.

        Raises:
            NetworkError: The peer is not connected.
        """
        live = self.live(event.peer)
        stream = live.mux.next_id()
        self._to_mux(live, mux.Open(stream, event.name, event.priority), now)
        self._shared.out.append(events.StreamReady(event.peer, event.ref, stream))

    def write(self, event: events.WriteStream, now: float) -> None:
        """Send bytes on one.

        Raises:
            NetworkError: The peer is not connected.
        """
        self._to_mux(self.live(event.peer), mux.Write(event.stream, event.data), now)

    def consumed(self, event: events.Consumed, now: float) -> None:
        """The application took bytes."""
        record = self._shared.roster.get(event.peer)
        if record is not None and record.live is not None:
            self._to_mux(record.live, mux.Consumed(event.stream, event.size), now)

    def finish(self, event: events.FinishStream, now: float) -> None:
        """No more bytes follow.

        Raises:
            NetworkError: The peer is not connected.
        """
        self._to_mux(self.live(event.peer), mux.Finish(event.stream), now)

    def reset(self, event: events.ResetStream, now: float) -> None:
        """Give a stream up."""
        record = self._shared.roster.get(event.peer)
        if record is not None and record.live is not None:
            self._to_mux(record.live, mux.Reset(event.stream, 0), now)

    def _to_mux(self, live: Live, event: mux.Event, now: float) -> None:
        self.tell(live, live.mux.handle(event, now))
        if not live.paused:
            self._links.dirty[live.link] = live

    def tell(self, live: Live, effects: Sequence[mux.Effect]) -> None:
        """Tell the application what came of it."""
        out, peer = self._shared.out, live.peer
        for effect in effects:
            match effect:
                case mux.Data(stream, data):
                    out.append(events.StreamData(peer, stream, data))
                case mux.Writable(stream):
                    out.append(events.StreamWritable(peer, stream))
                case mux.Opened(stream, name, priority):
                    out.append(events.StreamOpened(peer, stream, name, priority))
                case mux.Finished(stream):
                    out.append(events.StreamFinished(peer, stream))
                case mux.ResetBy(stream, _):
                    out.append(events.StreamReset(peer, stream, "the peer gave it up"))
                case mux.Closed(stream):
                    out.append(events.StreamClosed(peer, stream))
