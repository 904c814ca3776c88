"""A scripted HTTPS server: the policy hosts of MTA-STS, and whoever collects TLS reports.

One server listens on several addresses and holds a `Site` per name; the name in the handshake (SNI) chooses the
certificate, so what a client is shown is what a shared hosting machine would show it:

    web.sites["mta-sts.one.example"] = Site(certificate, Answer(body=b"version: STSv1\r\n..."))
    web.sites["mta-sts.two.example"] = Site(certificate, Answer(status=301, headers={"Location": "https://..."}))
    web.sites["mta-sts.three.example"] = Site(certificate, [Answer(status=503), Answer(body=...)])  # in turn

Every request and every handshake is remembered.
"""

import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace

from .pki import Certificate
from .process import wait_until

PORT = 443
_PATIENCE = 70.0  # how long silence and a stuck client last before the server hangs up


@dataclass(frozen=True)
class Answer:
    """What one request gets. Faults are bytes and times; the rest is plain HTTP/1.1."""

    body: bytes = b""
    status: int = 200
    content_type: str | None = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)
    framing: str = "length"  # "length", "chunked" or "close": how the end of the body is told
    delay: float = 0.0  # seconds before the first byte
    cut_at: int | None = None  # the connection breaks after that many bytes of the body
    is_reset: bool = False  # it breaks by RST
    byte_delay: float = 0.0  # seconds between single bytes of the body
    is_silent: bool = False  # the request is read and never answered
    is_endless: bool = False  # the body is repeated until the client hangs up; chunked or close only
    raw: bytes | None = None  # instead of all this, as it is


@dataclass
class Site:
    """One virtual host. A list of answers is given in turn, the last one again and again."""

    certificate: Certificate
    answer: Answer | list[Answer] = field(default_factory=Answer)
    paths: tuple[str, ...] | None = ("/.well-known/mta-sts.txt",)  # other paths get 404; None: every path
    handshake: str = ""  # "reset", "close" or "silence" instead of a handshake
    served: int = 0

    def next_answer(self) -> Answer:
        answers = self.answer if isinstance(self.answer, list) else [self.answer]
        chosen = answers[min(self.served, len(answers) - 1)]
        self.served += 1
        return chosen


@dataclass
class Request:
    """One request, as it came."""

    method: str
    target: str
    host: str
    server_name: str | None  # SNI
    headers: dict[str, str]  # names in lower case
    body: bytes
    peer: tuple
    tls: str
    arrived_at: float = field(default_factory=time.monotonic)


@dataclass
class Handshake:
    """One connection: the name it asked for and what came of it."""

    server_name: str | None = None
    error: str = ""
    arrived_at: float = field(default_factory=time.monotonic)


class HttpsServer:
    """One thread per listening address and one per connection."""

    def __init__(self, addresses: tuple[str, ...], fallback: Certificate, port: int = PORT) -> None:
        self.sites: dict[str, Site] = {}
        self.requests: list[Request] = []
        self.handshakes: list[Handshake] = []
        self._fallback = Site(fallback, Answer(status=404, body=b"no such host\r\n"), paths=None)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listeners = [self._listen(address, port) for address in addresses]
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        for listener in self._listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        with self._lock:
            for connection in self._open:
                try:  # past the SSL object, which its own thread may be reading from
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:
                    pass

    def requests_for(self, host: str, method: str = "") -> list[Request]:
        return [request for request in list(self.requests)
                if request.host == host and (not method or request.method == method)]

    def handshakes_for(self, host: str) -> list[Handshake]:
        return [handshake for handshake in list(self.handshakes) if handshake.server_name == host]

    def wait_for_request(self, host: str, count: int = 1, seconds: float = 10, method: str = "") -> Request:
        """The `count`-th request to that host."""
        return wait_until(lambda: self.requests_for(host, method)[count - 1:], seconds,
                          f"request {count} to https://{host}")[0]

    @staticmethod
    def _listen(address: str, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, plain: socket.socket, peer: tuple) -> None:
        handshake = Handshake()
        self.handshakes.append(handshake)
        plain.settimeout(_PATIENCE)
        with self._lock:
            self._open.add(plain)
        connection = plain
        try:
            connection = self._start_tls(plain, handshake)
            with self._lock:
                self._open.discard(plain)
                self._open.add(connection)
            self._answer(connection, peer, handshake)
        except (OSError, ssl.SSLError, _Over) as error:
            handshake.error = handshake.error or str(error)
        finally:
            with self._lock:
                self._open -= {plain, connection}
            connection.close()

    def _site(self, name: str | None) -> Site:
        return self.sites.get((name or "").lower(), self._fallback)

    def _start_tls(self, plain: socket.socket, handshake: Handshake) -> ssl.SSLSocket:
        def choose(connection: ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> int | None:
            handshake.server_name = name
            site = self._site(name)
            if site.handshake:
                _break(plain_copy, site.handshake)
                return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR  # to nobody
            connection.context = _context_of(site)
            return None
        plain_copy = plain.dup()  # wrap_socket takes `plain` over
        try:
            context = _context_of(self._fallback)
            context.sni_callback = choose
            return context.wrap_socket(plain, server_side=True)
        except (OSError, ssl.SSLError) as error:
            handshake.error = str(error)
            raise
        finally:
            plain_copy.close()

    def _answer(self, connection: ssl.SSLSocket, peer: tuple, handshake: Handshake) -> None:
        request = _read_request(connection, peer, handshake.server_name)
        site = self._site(handshake.server_name)
        path = request.target.split("?")[0]
        if site.paths is None or path in site.paths:
            answer = site.next_answer()
        else:
            answer = Answer(status=404, body=b"no such page\r\n")
        self.requests.append(request)
        if answer.is_silent:
            _break(connection, "silence")
            return
        time.sleep(answer.delay)
        if not _send(connection, answer):
            if answer.is_reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        try:
            connection.unwrap()  # says close_notify: an end told by closing is told by this
        except (OSError, ssl.SSLError):
            pass


class _Over(Exception):
    """The connection has ended."""


def _context_of(site: Site) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.certificate.chain_file, site.certificate.key_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _break(connection: socket.socket, how: str) -> None:
    """Ends a connection; after silence once the client has gone."""
    if how == "silence":
        try:
            while connection.recv(4096):
                pass
        except (OSError, ssl.SSLError):
            pass
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        connection.shutdown(socket.SHUT_RDWR)


def _read_request(connection: ssl.SSLSocket, peer: tuple, server_name: str | None) -> Request:
    reader = connection.makefile("rb")
    line = reader.readline(65536).decode("latin-1")
    if not line:
        raise _Over
    method, target, _version = line.split()
    headers: dict[str, str] = {}
    while (line := reader.readline(65536).decode("latin-1").rstrip("\r\n")):
        name, value = line.split(":", 1)
        headers[name.lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(reader.readline().split(b";")[0], 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    elif "content-length" in headers:
        body = reader.read(int(headers["content-length"]))
    return Request(method, target, headers.get("host", ""), server_name, headers, body, peer,
                   connection.version() or "")


def _send(connection: ssl.SSLSocket, answer: Answer) -> bool:
    """True when the whole answer was sent."""
    if answer.raw is not None:
        connection.sendall(answer.raw)
        return True
    headers = {"Connection": "close", **answer.headers}
    if answer.content_type is not None:
        headers["Content-Type"] = answer.content_type
    if answer.framing == "length":
        headers["Content-Length"] = str(len(answer.body))
    elif answer.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    head = f"HTTP/1.1 {answer.status} Said\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n"
    connection.sendall(head.encode())
    while answer.is_endless:
        _send_body(connection, answer)
    _send_body(connection, answer if answer.cut_at is None else replace(answer, body=answer.body[:answer.cut_at]))
    if answer.cut_at is not None:
        return False
    if answer.framing == "chunked":
        connection.sendall(b"0\r\n\r\n")
    return True


def _send_body(connection: ssl.SSLSocket, answer: Answer) -> None:
    # More than one chunk, so that a reader of chunks has something to put together.
    size = 1 if answer.byte_delay else 40 if answer.framing == "chunked" and len(answer.body) < 4096 else 16384
    for begin in range(0, len(answer.body), size):
        piece = answer.body[begin:begin + size]
        if answer.framing == "chunked":
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        connection.sendall(piece)
        time.sleep(answer.byte_delay)
