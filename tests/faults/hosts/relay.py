"""A relay between hosts and their server, which can lose the reply to a rename.

The rename has been done by then, and the host asks again, on a new connection: of the same server
it gets the reply that was lost, of one that has been booted meanwhile that there is no such name.
"""

import re
import socket
import threading
from typing import List, Optional, Pattern

_NAME = rb"\d{8}T\d{12}Z\.p\d\.a\d+\.[\w-]+"
#: What is in a request to rename: of a waiting job to a claim, of an outcome over its claim, of a
#: claim to where the job has ended.
CLAIM = re.compile(_NAME + rb"\.json.*?" + _NAME + rb"@", re.DOTALL)
RECORD = re.compile(rb"\.outcome.*?" + _NAME + rb"@", re.DOTALL)
MOVE = re.compile(_NAME + rb"@[\w.-]+?\.json.*?" + _NAME + rb"\.json", re.DOTALL)


class Relay:
    """Carry each connection to `address` on to `server`, until a reply is to be lost."""

    def __init__(self, address: str, server: str) -> None:
        self.lost = threading.Event()  # the reply, and all that came after it
        self._server = (server, 2049)
        self._loses: Optional[Pattern[bytes]] = None
        self._ends: List[socket.socket] = []
        self._listens = socket.create_server((address, 0))
        self.port = self._listens.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def lose(self, request: Pattern[bytes]) -> None:
        """Carry the next such request to the server, and nothing that the server says then."""
        self.lost.clear()
        self._loses = request

    def reconnect(self) -> None:
        """Break all connections, and be an honest relay for the next ones."""
        self._loses = None
        self.lost.clear()
        ends, self._ends = self._ends, []
        for end in ends:
            _shut(end)

    def close(self) -> None:
        """Carry nothing any more."""
        _shut(self._listens)
        self._listens.close()
        self.reconnect()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listens.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._ends += [client, server]
            for source, target in ((client, server), (server, client)):
                pump = (source, target, source is client)
                threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        try:
            while True:
                data = source.recv(1 << 20)
                if not data:
                    break
                if is_request and self._loses is not None and self._loses.search(data):
                    self.lost.set()
                if is_request or not self.lost.is_set():
                    target.sendall(data)
        except OSError:
            pass  # one of the two is gone, and the other goes with it
        _shut(source)
        _shut(target)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was no more
