"""The product under test: writes its configuration, runs it, watches its log and asks sealpostctl."""

import itertools
import json
import os
import re
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from . import net
from .laboratory import Lab
from .notice import Notice
from .process import UNDER_VALGRIND, Daemon, wait_until
from .rogue_mx import Message

BUILD = Path(os.environ.get("SEALPOST_BUILD", Path(__file__).resolve().parents[3] / "build"))
HOSTNAME = "mail.example.org"
_FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
_SANITIZER = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error: ")
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')

# Over all gateways: they share the users' mail store, and notices are told apart by user.
_user_numbers = itertools.count(1)

# Short enough for tests, long enough to tell one step from the next.
PATIENCE = 4.0
DEFAULTS: dict[str, dict[str, object]] = {
    "retry": {"first": "1s", "max": "2s", "lifetime": "5m", "warn_after": "4m"},
    "guarantee": {"patience": f"{PATIENCE:.0f}s"},
    "delivery": {"connect_timeout": "3s"},
    "limits": {"message_size": "1M", "queue_size": "1G", "connections_per_address": 1000},
}


@dataclass
class Account:
    """A user of the gateway."""

    address: str
    password: str


@dataclass
class Settings:
    """What a test wants to differ from DEFAULTS. Sections are merged key by key."""

    sections: dict[str, dict[str, object]] = field(default_factory=dict)
    routes: dict[str, dict[str, object]] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)  # domain: tls
    sources: dict[str, str] = field(default_factory=dict)  # domain: address
    relay: dict[str, object] = field(default_factory=dict)  # of the relay listener
    certificate: str = "gateway"
    has_own_clock: bool = False  # the daemon's wall clock is ours to set: set_clock()


class Sealpost:
    """One sealpostd with its own addresses, state and control socket."""

    def __init__(self, lab: Lab, directory: Path, number: int, settings: Settings | None = None) -> None:
        self.lab = lab
        self.directory = directory
        self.name = HOSTNAME  # what clients connect to; its address in DNS is that of number 0
        self.ca_file = lab.web_ca_file
        self.address = net.GATEWAY if number == 0 else f"192.0.2.{100 + number}"
        self.relay_address = f"127.0.1.{1 + number}"
        self.settings = settings or Settings()
        self.config = directory / "sealpost.conf"
        self.log_file = directory / "log"
        self.daemon: Daemon | None = None
        directory.mkdir(parents=True)
        self.configure()

    # Running it

    def configure(self, settings: Settings | None = None) -> None:
        """Writes the configuration file."""
        self.settings = settings or self.settings
        self.config.write_text(self._render())

    def start(self) -> "Sealpost":
        assert (BUILD / "sealpostd").exists(), f"no sealpostd in {BUILD}: build first, or set SEALPOST_BUILD"
        begin = len(self.log())
        argv = [str(BUILD / "sealpostd"), "-c", str(self.config)]
        self.daemon = Daemon([*self._valgrind(), *argv], self.log_file, self._environment())

        def ready() -> bool:
            text = self.log()[begin:]
            assert self.daemon and self.daemon.is_running, f"sealpostd did not start:\n{text}"
            return any(event.get("event") == "ready" for event in events_of(text))
        wait_until(ready, 20, "the ready event")
        return self

    def stop(self) -> None:
        """SIGTERM; anything but a clean exit fails the test."""
        if not self.daemon:
            return
        daemon, self.daemon = self.daemon, None
        status = daemon.stop(seconds=35)
        self.assert_healthy()
        assert status == 0, f"sealpostd ended with {status}:\n{self.log()[-4000:]}"

    def set_clock(self, hours: float) -> None:
        """How many hours the daemon's wall clock is ahead of ours, at once if it runs; timers take no notice."""
        assert self.settings.has_own_clock
        self._clock_file.write_text(f"+{hours * 3600:.0f}")

    def kill(self) -> None:
        assert self.daemon
        self.daemon.process.kill()
        self.daemon.process.wait()
        self.daemon = None

    def assert_healthy(self) -> None:
        report = _SANITIZER.search(self.log())
        assert not report, self.log()[max(0, report.start() - 500):][:8000]
        for complaint in self.directory.glob("valgrind.*"):
            assert not complaint.stat().st_size, complaint.read_text(errors="replace")[:8000]
        if self.daemon:
            assert self.daemon.is_running, f"sealpostd died:\n{self.log()[-4000:]}"

    @property
    def _clock_file(self) -> Path:
        return self.directory / "clock"

    def _environment(self) -> dict[str, str] | None:
        if not self.settings.has_own_clock:
            return None
        if b"__tsan_init" in (BUILD / "sealpostd").read_bytes():
            pytest.skip("libfaketime takes pthread's functions before TSan does, which then sees races everywhere")
        if not self._clock_file.exists():
            self.set_clock(0)
        # The sanitizer wants to be the first library, and does as well as the second.
        options = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))
        return {**os.environ, "LD_PRELOAD": _FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self._clock_file),
                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "ASAN_OPTIONS": options}

    def _valgrind(self) -> list[str]:
        """What the daemon is started under. It is silent, and its file empty, unless something is wrong; a daemon
        that was killed is not asked for leaks."""
        if not UNDER_VALGRIND:
            return []
        return ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect",
                "--errors-for-leak-kinds=definite,indirect", f"--log-file={self.directory}/valgrind.%p"]

    # Its log

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def events(self, name: str = "", **fields: str) -> list[dict[str, str]]:
        """The events of that name whose fields have these values."""
        return [event for event in events_of(self.log())
                if (not name or event.get("event") == name)
                and all(event.get(key) == value for key, value in fields.items())]

    def dispositions(self, queue_id: str, recipient: str = "") -> list[dict[str, str]]:
        return [event for event in self.events("disposition", id=queue_id)
                if not recipient or event.get("to") == recipient]

    def wait_for_disposition(self, queue_id: str, recipient: str, disposition: str,
                             seconds: float = 10) -> dict[str, str]:
        def logged() -> dict[str, str] | None:
            self.assert_healthy()
            for event in self.dispositions(queue_id, recipient):
                if event.get("disposition") == disposition:
                    return event
            return None
        return wait_until(logged, seconds, f"event=disposition disposition={disposition} id={queue_id}")

    # The administrator

    def ctl(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess:
        result = subprocess.run([str(BUILD / "sealpostctl"), "-c", str(self.config), *arguments],
                                input=stdin, capture_output=True, text=True, timeout=60)
        assert not _SANITIZER.search(result.stderr), result.stderr
        if check:
            assert result.returncode == 0, f"sealpostctl {arguments}: {result.returncode} {result.stderr}"
        return result

    def ask(self, *arguments: str):
        """A command's JSON document."""
        return json.loads(self.ctl("--json", *arguments).stdout)

    def add_user(self, guarantee: str = "", language: str = "", aliases: Iterable[str] = (),
                 domain: str = "site.example", locked: bool = False) -> Account:
        """A fresh user; guarantee is "", "on" or "verified"."""
        number = next(_user_numbers)
        account = Account(f"user{number}@{domain}", f"pass word {number}!")
        self.ctl("user", "add", account.address, "--password-stdin", stdin=account.password + "\n")
        for alias in aliases:
            self.ctl("user", "alias", account.address, alias)
        if guarantee:
            self.ctl("guarantee", account.address, guarantee, *(["--locked"] if locked else []))
        if language:
            self.ctl("user", "set", account.address, "--language", language)
        return account

    def queue(self) -> list[dict]:
        return self.ask("queue", "list")

    def held(self) -> list[dict]:
        return self.ask("held", "list")

    def queued_recipient(self, queue_id: str, recipient: str) -> dict | None:
        for entry in self.queue():
            if entry["id"] == queue_id:
                return next((r for r in entry["recipients"] if r["address"] == recipient), None)
        return None

    def held_entry(self, queue_id: str) -> dict | None:
        return next((entry for entry in self.held() if entry["id"] == queue_id), None)

    def wait_until_held(self, queue_id: str, seconds: float = 10) -> dict:
        def held() -> dict | None:
            self.assert_healthy()
            return self.held_entry(queue_id)
        return wait_until(held, seconds, f"{queue_id} to be held; queue: {self.queue()}")

    def wait_until_deferred(self, queue_id: str, recipient: str, attempts: int = 1,
                            seconds: float = 12) -> dict:
        def deferred() -> dict | None:
            self.assert_healthy()
            found = self.queued_recipient(queue_id, recipient)
            is_so = found and found["state"] == "deferred" and found["attempts"] >= attempts
            return found if is_so else None
        return wait_until(deferred, seconds, f"{queue_id} to be deferred {attempts} times")

    def wait_until_gone(self, queue_id: str, seconds: float = 15) -> None:
        """Until the queue no longer has the message: all recipients have their end."""
        wait_until(lambda: all(entry["id"] != queue_id for entry in self.queue()), seconds,
                   f"{queue_id} to leave the queue")

    # The users

    def connect(self, port: int = 587, source: str = "") -> smtplib.SMTP:
        """A connection that has read the greeting and said nothing."""
        origin = (source, 0) if source else None
        if port == 465:
            return _implicit(self.address, port, self.client_context(), origin)
        address = self.relay_address if port == 2525 else self.address
        smtp = smtplib.SMTP(address, port, timeout=20, source_address=origin, local_hostname="client")
        smtp._host = HOSTNAME  # type: ignore[attr-defined] # the name to check the certificate for
        return smtp

    def secured(self, source: str = "") -> smtplib.SMTP:
        """A connection after STARTTLS and the second EHLO."""
        smtp = self.connect(source=source)
        smtp.starttls(context=self.client_context())
        smtp.ehlo()
        return smtp

    def login(self, user: Account) -> smtplib.SMTP:
        smtp = self.secured()
        smtp.login(user.address, user.password)
        return smtp

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.lab.web_ca_file))

    def submit(self, user: Account, recipients: str | list[str], message: bytes | None = None,
               sender: str | None = None, mail_options: Iterable[str] = (),
               rcpt_options: Iterable[str] = (), headers: Mapping[str, str] | None = None) -> str:
        """Sends one message as that user over 587; returns the queue ID of the 250."""
        smtp = self.login(user)
        try:
            return transaction(smtp, user.address if sender is None else sender, recipients,
                               message if message is not None else make_message(user.address, recipients, headers),
                               mail_options, rcpt_options)
        finally:
            smtp.close()

    def relay(self, sender: str, recipients: str | list[str], message: bytes,
              mail_options: Iterable[str] = (), rcpt_options: Iterable[str] = ()) -> str:
        """Sends one message over the relay listener, as the site's mail store does."""
        smtp = self.connect(2525)
        try:
            smtp.ehlo()
            return transaction(smtp, sender, recipients, message, mail_options, rcpt_options)
        finally:
            smtp.close()

    # The notices

    def notices_to(self, address: str) -> list[Notice]:
        return [Notice(message) for message in list(self.lab.mailbox.messages)
                if address in message.addresses and message.sender == ""]

    def wait_for_notice(self, address: str, seconds: float = 6, count: int = 1) -> Notice:
        """The count-th notice in that mailbox."""
        found = wait_until(lambda: self.notices_to(address)[count - 1:], seconds,
                           f"notice {count} to {address}")
        return found[0]

    def mail_to(self, address: str, seconds: float = 10) -> Message:
        return self.lab.mailbox.wait_for_message(address, seconds)

    # The configuration

    def _render(self) -> str:
        certificate = self.lab.certificate(self.settings.certificate)
        top = {"hostname": HOSTNAME, "state_directory": self.directory / "state",
               "control_socket": self.directory / "control", "run_as": "", "workers": 2,
               "shutdown_grace": "20s", "log_level": os.environ.get("SYSTEM_TEST_LOG", "info")}
        relay = {"address": self.relay_address, "port": 2525, "tls": "optional",
                 "trusted": ["127.0.0.0/8"], **self.settings.relay}
        sections = {
            "listen submission": {"address": self.address, "port": 587, "tls": "starttls"},
            "listen submissions": {"address": self.address, "port": 465, "tls": "implicit"},
            "listen relay": relay,
            "tls": {"certificate": certificate.chain_file, "key": certificate.key_file},
            "dns": {"trust_anchor": self.lab.dns.trust_anchor,
                    "unbound_config": self.lab.dns.unbound_config,
                    "self_test_signed": "tls-signed.example", "self_test_unsigned": "tls.example",
                    "self_test_bogus": "mx-bogus.example"},
            **{name: dict(values) for name, values in DEFAULTS.items()},
        }
        sections["delivery"]["ca_file"] = self.lab.web_ca_file
        for name, values in self.settings.sections.items():
            if name == "top":
                top.update(values)
            else:
                sections.setdefault(name, {}).update(values)
        routes = {"site.example": {"next_hop": f"[{net.MAILBOX[0]}]:{net.MAILBOX[1]}",
                                   "protocol": "lmtp", "tls": "none"}, **self.settings.routes}
        for domain, values in routes.items():
            sections[f'route "{domain}"'] = values
        for domain, level in self.settings.policies.items():
            sections[f'policy "{domain}"'] = {"tls": level}
        for domain, address in self.settings.sources.items():
            sections[f'source "{domain}"'] = {"address": address}
        (self.directory / "state").mkdir(exist_ok=True)
        lines = [f"{key} = {_value(value)}" for key, value in top.items()]
        for title, values in sections.items():
            lines.append(f"{title} {{")
            lines += [f"    {key} = {_value(value)}" for key, value in values.items()]
            lines.append("}")
        return "\n".join(lines) + "\n"


def transaction(smtp: smtplib.SMTP, sender: str, recipients: str | list[str], message: bytes,
                mail_options: Iterable[str] = (), rcpt_options: Iterable[str] = ()) -> str:
    """MAIL to the end of data; every step must succeed. Returns the queue ID."""
    recipients = [recipients] if isinstance(recipients, str) else recipients
    smtp.ehlo_or_helo_if_needed()
    code, text = smtp.mail(sender, list(mail_options))
    assert code == 250, (code, text)
    for recipient in recipients:
        code, text = smtp.rcpt(recipient, list(rcpt_options))
        assert code == 250, (recipient, code, text)
    code, text = smtp.data(message)
    assert code == 250, (code, text)
    return queue_id_of(text)


def queue_id_of(reply: bytes | str) -> str:
    text = reply.decode() if isinstance(reply, bytes) else reply
    match = re.search(r"2\.0\.0 Ok: queued as (\S+)", text)
    assert match, f"no queue ID in {text!r}"
    return match.group(1)


def make_message(sender: str, recipients: str | list[str], headers: Mapping[str, str] | None = None,
                 body: str = "The body is secret.\r\n") -> bytes:
    recipients = [recipients] if isinstance(recipients, str) else recipients
    fields = {"From": sender, "To": ", ".join(recipients), "Subject": "A subject to keep private",
              "Date": "Mon, 02 Nov 2026 10:00:00 +0000",
              "Message-ID": f"<{time.monotonic_ns()}@client.example>", **(headers or {})}
    text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return (text + "\r\n" + body).encode()


def events_of(log: str) -> Iterable[dict[str, str]]:
    """Log lines as dictionaries; a line without event= is none."""
    for line in log.splitlines():
        if "event=" in line:
            yield {key: _unquoted(value) for key, value in _FIELD.findall(line)}


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(_value(item) for item in value) + "}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _implicit(address: str, port: int, context: ssl.SSLContext,
              origin: tuple[str, int] | None) -> smtplib.SMTP:
    """SMTP_SSL that checks the certificate for HOSTNAME though it connects to an address."""

    class Implicit(smtplib.SMTP_SSL):
        def _get_socket(self, host, port, timeout):  # type: ignore[no-untyped-def]
            self._host = HOSTNAME
            plain = smtplib.socket.create_connection((host, port), timeout, self.source_address)
            return self.context.wrap_socket(plain, server_hostname=HOSTNAME)

    return Implicit(address, port, context=context, timeout=20, source_address=origin,
                    local_hostname="client")
