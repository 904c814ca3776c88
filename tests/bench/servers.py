"""What is measured, and what it stands on: names in DNS, the sinks, sealpost, and Postfix set to the same job.

The lab of the system tests (tests/system/lab) makes the network, the zones and the certificates.
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from lab import net  # noqa: E402
from lab.dovecot import Dovecot  # noqa: E402
from lab.pki import Pki  # noqa: E402
from lab.postfix import Listener, Postfix  # noqa: E402
from lab.process import wait_until  # noqa: E402
from lab.sealpost import BUILD, Account, Sealpost, Settings  # noqa: E402
from lab.zones import Dns  # noqa: E402

SINK = "198.51.100.1"
SILENT_SINK = "198.51.100.2"  # takes connections and never says a word: mail for it stays in the queue
RECIPIENTS = ",".join(f"bob@d{number}.bench.example" for number in range(4))
STUCK_RECIPIENT = "bob@silent.bench.example"
POSTFIX_RELAY = "127.0.2.1"
SCRAM_ITERATIONS = 10000  # gateway/tls/scram.h
_MEGABYTE = 1 << 20
_TICKS = os.sysconf("SC_CLK_TCK")


# What a server uses

@dataclass
class Memory:
    """In bytes, summed over the processes of a server."""

    resident: int = 0
    anonymous: int = 0
    proportional: int = 0


class Group:
    """A process group: the server's own processes, dead ones included where their parent is of the group."""

    def __init__(self, *leaders: int) -> None:
        self.leaders = set(leaders)

    def pids(self) -> list[int]:
        return [pid for pid, _ in self._members()]

    def cpu_seconds(self) -> float:
        # utime, stime, and cutime, cstime of children that were waited for (proc(5)).
        return sum(sum(map(int, fields[11:15])) for _, fields in self._members()) / _TICKS

    def memory(self, proportional: bool = False) -> Memory:
        total = Memory()
        for pid in self.pids():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                total.resident += _kib(status, "VmRSS:")
                total.anonymous += _kib(status, "RssAnon:")
                if proportional:
                    total.proportional += _kib(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")
            except OSError:
                pass  # ended meanwhile
        return total

    def _members(self):
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                text = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            fields = text.rsplit(")", 1)[1].split()
            if int(fields[2]) in self.leaders:
                yield int(entry.name), fields


def _kib(text: str, name: str) -> int:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


# The world

class World:
    """Network, names, certificates and sinks; what Sealpost() of the lab asks of its Lab."""

    def __init__(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        directory.chmod(0o755)
        self.directory = directory
        pki = Pki(directory / "pki")
        web = pki.authority("web-ca")
        self._certificates = {"gateway": pki.server("gateway", ["mail.example.org"], web),
                              "sink": pki.server("sink", ["mx.bench.example"], web)}
        self.web_ca_file = web.chain_file
        self.dns = Dns(directory / "dns")
        zone = self.dns.zone("bench.example")
        zone.add(f"mx A {SINK}", f"mx-silent A {SILENT_SINK}", "silent MX 10 mx-silent",
                 *(f"d{number} MX 10 mx" for number in range(4)))
        self.dns.zone("site.example", security="insecure").add(f"@ A {net.GATEWAY}")

    def certificate(self, name: str):
        return self._certificates[name]

    def start(self) -> None:
        self.dns.start()
        net.use_resolver(self.directory)
        self.sink = Sink(self, SINK, "--tags", str(self.directory / "tags"))
        self.silent_sink = Sink(self, SILENT_SINK, "--silent")

    def stop(self) -> None:
        for name in ("silent_sink", "sink"):
            if hasattr(self, name):
                getattr(self, name).stop()
        self.dns.stop()


class Sink:
    """bench_sink: the MX host behind all that is delivered."""

    def __init__(self, world: World, address: str, *options: str) -> None:
        certificate = world.certificate("sink")
        self._process = subprocess.Popen(
            [str(BUILD / "tests/bench_sink"), "--listen", f"{address}:25", "--certificate",
             str(certificate.chain_file), "--key", str(certificate.key_file), *options],
            stdout=subprocess.PIPE, text=True)
        self._report()

    def ask(self) -> dict:
        self._process.send_signal(signal.SIGUSR1)
        return self._report()

    def wait_for(self, messages: int, seconds: float) -> dict:
        """Until it has taken so many in all."""
        def has_them() -> dict | None:
            report = self.ask()
            return report if report["messages"] >= messages else None
        return wait_until(has_them, seconds, f"{messages} messages at the sink")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)

    def _report(self) -> dict:
        line = self._process.stdout.readline() if self._process.stdout else ""
        return json.loads(line)


# The servers

class SealpostServer:
    name = "sealpost"
    idle_connections = 2000

    def __init__(self, world: World) -> None:
        self._world = world
        self._gateway: Sealpost | None = None

    def start(self) -> None:
        shutil.rmtree(self._world.directory / "sealpost", ignore_errors=True)
        directory = self._world.directory / "sealpost"
        self._gateway = gateway = Sealpost(self._world, directory, 0, Settings(  # type: ignore[arg-type]
            sections={"limits": {"message_size": "100M", "queue_size": "8G", "connections": 30000,
                                 "connections_per_address": 30000},
                      "retry": {"first": "5m", "max": "4h", "lifetime": "5d", "warn_after": "4h"},
                      "guarantee": {"patience": "1h"},
                      "delivery": {"connect_timeout": "30s"}}))
        gateway.start()
        self.account = gateway.add_user(guarantee="on")
        self.submission = f"{gateway.address}:587"
        self.relay = f"{gateway.relay_address}:2525"
        assert gateway.daemon
        self.group = Group(gateway.daemon.process.pid)

    def stop(self) -> None:
        """At once: what waits for the silent sink is of no interest, and would be waited for."""
        if self._gateway and self._gateway.daemon:
            self._gateway.kill()

    def version(self) -> str:
        return subprocess.run([str(BUILD / "sealpostd"), "-V"], capture_output=True, text=True).stdout.strip()

    def log(self) -> str:
        return self._gateway.log() if self._gateway else ""


class PostfixServer:
    name = "Postfix"
    idle_connections = 150  # a process each

    def __init__(self, world: World) -> None:
        self._world = world
        self.account = Account("alice@site.example", "pass word 1!")
        self.submission = f"{net.STAND_IN}:587"
        self.relay = f"{POSTFIX_RELAY}:2525"
        self._postfix: RelayingPostfix | None = None
        self._dovecot: BenchDovecot | None = None

    def start(self) -> None:
        directory = self._world.directory / "postfix"
        dovecot_directory = self._world.directory / "dovecot"
        for path in (directory, dovecot_directory):
            shutil.rmtree(path, ignore_errors=True)
        self._dovecot = checking_dovecot(dovecot_directory, self.account)
        self._postfix = RelayingPostfix(directory)
        certificate = self._world.certificate("gateway")
        self._postfix.listen(
            Listener(net.STAND_IN, "mail.example.org", certificate, (
                "smtpd_sasl_auth_enable=yes", "smtpd_sasl_type=dovecot", "smtpd_tls_auth_only=yes",
                f"smtpd_sasl_path={self._dovecot.auth_socket}",
                "smtpd_relay_restrictions=permit_sasl_authenticated,reject"), port=587),
            Listener(POSTFIX_RELAY, "mail.example.org", certificate, (
                "mynetworks=127.0.0.0/8", "smtpd_relay_restrictions=permit_mynetworks,reject"), port=2525))
        self._postfix.start()
        master = int((directory / "queue/pid/master.pid").read_text())
        self.group = Group(os.getpgid(master), self._dovecot.pid)

    def stop(self) -> None:
        if self._postfix:
            self._postfix.stop()
        if self._dovecot:
            self._dovecot.stop()

    def version(self) -> str:
        shown = subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True)
        return f"Postfix {shown.stdout.strip()}"

    def log(self) -> str:
        return self._postfix.log() if self._postfix else ""


class RelayingPostfix(Postfix):
    """Takes mail of its users and relays it by MX over TLS, which it requires.

    It keeps TLS connections for the next message, as we do, and is not told to slow down its clients."""

    def _write_main(self) -> None:
        super()._write_main()
        file = self.config / "main.cf"
        settings = dict(line.split(" =", 1) for line in file.read_text().splitlines())
        settings |= {
            "inet_protocols": "ipv4", "relay_domains": "", "relay_transport": "smtp", "default_transport": "smtp",
            "smtp_tls_security_level": "encrypt", "smtp_tls_connection_reuse": "yes", "smtp_tls_loglevel": "1",
            "message_size_limit": str(100 * _MEGABYTE), "in_flow_delay": "0s", "default_process_limit": "200"}
        # No key twice: each process would warn of it, more than postlogd can take while it starts itself.
        file.write_text("".join(f"{key} = {value.strip()}\n" for key, value in settings.items()))

    def _write_master(self) -> None:
        super()._write_master()
        with (self.config / "master.cf").open("a") as master:
            master.write("smtp unix - - n - - smtp\ntlsproxy unix - - n - 0 tlsproxy\n")


class BenchDovecot(Dovecot):
    @property
    def pid(self) -> int:
        assert self._daemon
        return self._daemon.process.pid


def checking_dovecot(directory: Path, account: Account) -> BenchDovecot:
    """Checks passwords against a SCRAM verifier of as many iterations as the gateway's own."""
    dovecot = BenchDovecot(directory, {account.address: account.password})
    (directory / "users").write_text(f"{account.address}:{_verifier(account.password)}::::::\n")
    dovecot.start()
    return dovecot


def _verifier(password: str) -> str:
    """RFC 5802 section 3, as Dovecot's SCRAM-SHA-256 scheme writes it."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = (base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256")))
    return f"{{SCRAM-SHA-256}}{SCRAM_ITERATIONS}," + ",".join(parts)


def chosen_directory() -> Path:
    return Path(os.environ.get("BENCH_DIR", "/tmp/sealpost-bench"))


def settle(group: Group, seconds: float = 5) -> None:
    """Until the server has nothing more to do for what it was sent."""
    deadline = time.monotonic() + seconds
    before = group.cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = group.cpu_seconds()
        if now - before < 0.015:
            return
        before = now
