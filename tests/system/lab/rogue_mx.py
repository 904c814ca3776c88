"""A scriptable MX that misbehaves to order and remembers every byte.

A script says, step by step, what the server does; a step left out behaves well:

    RogueMx("198.51.100.7", Script(starttls="454 4.7.0 not now"))
    RogueMx(address, Script(handshake=RESET))
    RogueMx(address, Script(rcpt={"bob": "250 2.1.5 ok", "eve": "550 5.1.1 no such user"}))
    RogueMx(address, Script(data_end=[Act("421 4.3.2 later", then=CLOSE), "250 2.0.0 ok"]))

A step is a reply ("250 ok", several lines joined by \\n), bytes (sent as they are), an `Act`, one of CLOSE, RESET and
SILENCE, a list (one entry per time the step comes up in the life of the server, the last one repeated), or for
RCPT and the end of LMTP data a dict from the local part to any of these.
"""

import socket
import ssl
import struct
import threading
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Union

from .pki import Certificate
from .process import wait_until

PORT = 25
_PATIENCE = 60.0  # how long SILENCE and a stuck client last before the server hangs up


@dataclass(frozen=True)
class Act:
    """Sends `reply`, in one piece or byte by byte, then perhaps more than that."""

    reply: Union[str, bytes] = b""
    then: str = ""  # "", "close", "reset" or "silence"
    byte_delay: float = 0.0  # seconds between single bytes
    endless: bytes = b""  # repeated after the reply until the client hangs up
    delay: float = 0.0  # seconds before the reply


CLOSE = Act(then="close")
RESET = Act(then="reset")
SILENCE = Act(then="silence")

Step = Union[str, bytes, Act, list, dict]


@dataclass
class Script:
    """What the server does. {host} in a reply is the server's name."""

    greeting: Step = "220 {host} ESMTP"
    ehlo: Step = ""  # "" is 250 with the extensions
    helo: Step = "250 {host}"
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN")
    offers_starttls: bool = True
    starttls: Step = "220 2.0.0 go ahead"
    handshake: Step = ""  # instead of a TLS handshake, once the ClientHello is there
    ehlo_tls: Step = ""  # the EHLO inside TLS
    extensions_tls: tuple[str, ...] | None = None  # None: as in the clear
    mail: Step = "250 2.1.0 ok"
    rcpt: Step = "250 2.1.5 ok"
    data: Step = "354 go ahead"
    data_end: Step = "250 2.0.0 taken"
    rset: Step = "250 2.0.0 ok"
    quit: Step = Act("221 2.0.0 bye", then="close")
    certificate: Certificate | None = None
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None  # lowest and highest
    ciphers: str = ""
    is_lmtp: bool = False

    def but(self, **steps: object) -> "Script":
        """The same script with these steps changed."""
        return replace(self, **steps)  # type: ignore[arg-type]


@dataclass
class Message:
    """One transaction that came to the end of its data."""

    reverse_path: str  # as said: "<a@b> SIZE=100"
    recipients: list[str]  # accepted ones, as said
    data: bytes  # dot-stuffing removed
    raw: bytes  # as on the wire, final dot included
    tls: str | None  # TLS version, None in the clear
    reply: str
    arrived_at: float

    @property
    def sender(self) -> str:
        return _mailbox(self.reverse_path)

    @property
    def addresses(self) -> list[str]:
        return [_mailbox(recipient) for recipient in self.recipients]


@dataclass
class Session:
    """The transcript of one connection; what was said in the clear and inside TLS is kept apart."""

    peer: tuple
    started_at: float = field(default_factory=time.monotonic)
    clear: bytearray = field(default_factory=bytearray)  # from the client, before TLS
    secure: bytearray = field(default_factory=bytearray)  # from the client, inside TLS
    lines: list[str] = field(default_factory=list)  # "C: EHLO x", "S: 250 ok", "TLS: TLSv1.3"
    tls: str | None = None
    server_name: str | None = None  # SNI
    handshake_error: str = ""
    reads: list[bytes] = field(default_factory=list)  # one entry per read, to see pipelining
    is_over: bool = False

    def commands(self) -> list[str]:
        return [line[3:] for line in self.lines if line.startswith("C: ")]

    def verbs(self) -> list[str]:
        return [command.split(" ")[0].split(":")[0].upper() for command in self.commands()]

    def transcript(self) -> str:
        return "\n".join(self.lines)


class RogueMx:
    """The server: one listening address, one thread per connection."""

    def __init__(self, address: str, script: Script | None = None, port: int = PORT,
                 host: str = "rogue.example") -> None:
        self.address = address
        self.host = host
        self.script = script or Script()
        self.sessions: list[Session] = []
        self.messages: list[Message] = []
        self._counts: dict[int, int] = defaultdict(int)
        self._lock = threading.Lock()
        self._open: set[_Dialogue] = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Ends every connection, also kept ones."""
        with self._lock:
            for dialogue in list(self._open):
                try:  # past the SSL object, which its own thread may be reading from
                    socket.socket.shutdown(dialogue.socket, socket.SHUT_RDWR)
                except OSError:
                    pass

    def wait_for_message(self, recipient: str = "", seconds: float = 10) -> Message:
        """The first message taken for the recipient (any, when left out)."""
        def arrived() -> Message | None:
            for message in list(self.messages):
                if not recipient or recipient in message.addresses:
                    return message
            return None
        return wait_until(arrived, seconds, f"a message for {recipient or 'anybody'} at {self.address}")

    def wait_for_session(self, count: int = 1, seconds: float = 10) -> Session:
        """The `count`-th session, once it is over."""
        def over() -> Session | None:
            done = len(self.sessions) >= count and self.sessions[count - 1].is_over
            return self.sessions[count - 1] if done else None
        return wait_until(over, seconds, f"session {count} at {self.address}")

    def said_in_clear(self) -> bytes:
        """Everything any client ever said here outside TLS."""
        return b"".join(bytes(session.clear) for session in self.sessions)

    def transcript(self) -> str:
        return "\n--\n".join(session.transcript() for session in self.sessions)

    # What the connection threads use.

    def choose(self, step: Step, key: str = "") -> Step:
        """Picks the entry of a list or dict step that is due."""
        if isinstance(step, dict):
            step = step.get(key, "250 2.1.5 ok")
        if isinstance(step, list):
            with self._lock:
                index = min(self._counts[id(step)], len(step) - 1)
                self._counts[id(step)] += 1
            return self.choose(step[index], key)
        return step

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            session = Session(peer)
            self.sessions.append(session)
            dialogue = _Dialogue(self, connection, session)
            with self._lock:
                self._open.add(dialogue)
            threading.Thread(target=self._serve, args=(dialogue,), daemon=True).start()

    def _serve(self, dialogue: "_Dialogue") -> None:
        dialogue.socket.settimeout(_PATIENCE)
        try:
            dialogue.run()
        except (_Over, OSError, ssl.SSLError):
            pass
        finally:
            dialogue.session.is_over = True
            with self._lock:
                self._open.discard(dialogue)
            dialogue.socket.close()  # under TLS another object than the connection, which it has taken over


class _Over(Exception):
    """The connection has ended."""


class _Dialogue:
    """One connection being served."""

    def __init__(self, server: RogueMx, connection: socket.socket, session: Session) -> None:
        self.server = server
        self.script = server.script
        self.socket = connection
        self.session = session
        self.buffer = b""
        self.reverse_path: str | None = None
        self.recipients: list[str] = []

    def run(self) -> None:
        self.perform(self.script.greeting)
        while True:
            line = self.read_line()
            verb = line.split(" ")[0].split(":")[0].upper()
            handler = getattr(self, "on_" + verb.lower(), None)
            if handler:
                handler(line)
            else:
                self.perform("502 5.5.1 what?")

    def on_ehlo(self, line: str) -> None:
        self.forget()
        step = self.server.choose(self.script.ehlo_tls if self.session.tls else self.script.ehlo)
        self.perform(step if step != "" else self.capabilities())

    def on_lhlo(self, line: str) -> None:
        self.on_ehlo(line)

    def on_helo(self, line: str) -> None:
        self.forget()
        self.perform(self.script.helo)

    def on_starttls(self, line: str) -> None:
        step = self.server.choose(self.script.starttls)
        self.perform(step)
        reply = step.reply if isinstance(step, Act) else step
        text = reply.decode("latin-1") if isinstance(reply, bytes) else reply
        if text.startswith("220"):
            self.start_tls()

    def on_mail(self, line: str) -> None:
        self.forget()
        if self.perform(self.script.mail).startswith("2"):
            self.reverse_path = line[10:]

    def on_rcpt(self, line: str) -> None:
        recipient = line[8:]
        local_part = _mailbox(recipient).split("@")[0]
        if self.perform(self.script.rcpt, local_part).startswith("2"):
            self.recipients.append(recipient)

    def on_data(self, line: str) -> None:
        if not self.recipients and self.script.data == "354 go ahead":
            self.perform("554 5.5.1 no valid recipients")
            return
        if not self.perform(self.script.data).startswith("354"):
            return
        raw = self.read_data()
        answers = self.recipients if self.script.is_lmtp else [""]
        for recipient in answers:
            self.finish_data(raw, recipient)
        self.forget()

    def finish_data(self, raw: bytes, recipient: str) -> None:
        """Records first, so that a test which saw the reply's effect finds the message."""
        step = self.server.choose(self.script.data_end, _mailbox(recipient).split("@")[0])
        reply = step.reply if isinstance(step, Act) else step
        text = reply.decode("latin-1") if isinstance(reply, bytes) else reply
        lines = raw[:-3].split(b"\r\n")
        data = b"\r\n".join(l[1:] if l.startswith(b".") else l for l in lines)
        self.server.messages.append(Message(
            self.reverse_path or "", [recipient] if recipient else list(self.recipients), data, raw,
            self.session.tls, text, time.monotonic()))
        self.perform(step)

    def on_rset(self, line: str) -> None:
        self.forget()
        self.perform(self.script.rset)

    def on_noop(self, line: str) -> None:
        self.perform("250 2.0.0 ok")

    def on_quit(self, line: str) -> None:
        self.perform(self.script.quit)

    def forget(self) -> None:
        self.reverse_path = None
        self.recipients = []

    def capabilities(self) -> str:
        extensions = self.script.extensions
        if self.session.tls:
            extensions = extensions if self.script.extensions_tls is None else self.script.extensions_tls
        elif self.script.offers_starttls:
            extensions = (*extensions, "STARTTLS")
        lines = [self.server.host, *extensions]
        return "\n".join("250" + (" " if line is lines[-1] else "-") + line for line in lines)

    def perform(self, step: Step, key: str = "") -> str:
        """Carries one step out and returns the text sent."""
        step = self.server.choose(step, key)
        act = step if isinstance(step, Act) else Act(step)  # type: ignore[arg-type]
        time.sleep(act.delay)
        content = act.reply
        if isinstance(content, str) and content:
            content = content.replace("{host}", self.server.host)
            content = content.replace("\n", "\r\n").encode("utf-8") + b"\r\n"
        if content:
            self.log("S", content.decode("latin-1"))  # type: ignore[union-attr]
            self.send(content, act.byte_delay)  # type: ignore[arg-type]
        while act.endless:
            self.socket.sendall(act.endless)
        self.part(act.then)
        return content.decode("latin-1") if content else ""  # type: ignore[union-attr]

    def send(self, content: bytes, byte_delay: float) -> None:
        if not byte_delay:
            self.socket.sendall(content)
            return
        for value in content:
            self.socket.sendall(bytes([value]))
            time.sleep(byte_delay)

    def part(self, how: str) -> None:
        if not how:
            return
        self.log("S", f"({how})")
        if how == "silence":
            while True:
                self.read_more()
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Over

    def start_tls(self) -> None:
        if self.script.handshake != "":
            self.session.clear += self.socket.recv(4096)  # the ClientHello
            self.perform(self.script.handshake)
            raise _Over
        try:
            self.socket = self.context().wrap_socket(self.socket, server_side=True)
        except (ssl.SSLError, OSError) as error:
            self.session.handshake_error = str(error)
            self.log("TLS", f"failed: {error}")
            raise _Over from error
        self.session.tls = self.socket.version()  # type: ignore[attr-defined]
        self.log("TLS", str(self.session.tls))
        self.buffer = b""
        self.forget()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = self.script.certificate
        assert certificate, "a script that does TLS needs a certificate"
        context.load_cert_chain(certificate.chain_file, certificate.key_file)
        if self.script.versions:
            context.set_ciphers("ALL:@SECLEVEL=0")  # TLS 1.0 needs SHA-1 signatures
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # old versions are the point
                context.minimum_version, context.maximum_version = self.script.versions
        if self.script.ciphers:
            context.set_ciphers(self.script.ciphers)
        def remember(_socket: object, name: str | None, _context: object) -> None:
            self.session.server_name = name
        context.sni_callback = remember
        return context

    def read_more(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise _Over
        self.session.reads.append(piece)
        if self.session.tls:
            self.session.secure += piece
        else:
            self.session.clear += piece
        self.buffer += piece

    def read_line(self) -> str:
        while b"\r\n" not in self.buffer:
            self.read_more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        text = line.decode("latin-1")
        self.log("C", text)
        return text

    def read_data(self) -> bytes:
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.read_more()
        if self.buffer.startswith(b".\r\n"):
            end = 3
        else:
            end = self.buffer.index(b"\r\n.\r\n") + 5
        raw, self.buffer = self.buffer[:end], self.buffer[end:]
        self.session.lines.append(f"(data, {len(raw)} bytes)")
        return raw

    def log(self, who: str, text: str) -> None:
        for line in text.rstrip("\r\n").split("\r\n"):
            self.session.lines.append(f"{who}: {line}")


def _mailbox(path: str) -> str:
    """The address in "<a@b> SIZE=1"."""
    return path[path.find("<") + 1:path.find(">")] if "<" in path else path
