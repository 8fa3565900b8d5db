"""HTTP by httptools, a parser in C, with the bound that it lacks."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024


class BoundedHttp(HttpToolsProtocol):
    """A connection whose client may not send headers, or trailers, without end.

    httptools collects what is not whole yet: here that is 64 KiB at most, and what was read last.
    """

    _collected = 0

    def data_received(self, data: bytes) -> None:
        """Parse what has come; what goes on for too long without being whole is refused."""
        self._collected += len(data)
        super().data_received(data)
        if self._collected > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def on_headers_complete(self) -> None:
        """The headers are whole."""
        self._collected = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body has come."""
        self._collected = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._collected = 0
        super().on_message_complete()
