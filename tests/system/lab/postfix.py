"""Real MX hosts: one Postfix of our own with a listener per address, each with its own name and TLS.

It has its own configuration, queue and data directories and shares nothing with /etc/postfix. Whatever it
accepts goes to an LMTP sink, where tests read envelope and content.
"""

import grp
import os
import pwd
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import net
from .pki import Certificate
from .process import wait_until
from .rogue_mx import Message, RogueMx, Script


@dataclass
class Listener:
    """One MX host."""

    address: str
    host: str
    certificate: Certificate | None = None  # None: no STARTTLS
    options: tuple[str, ...] = ()  # further smtpd options, "name=value"
    port: int = 25


class Postfix:
    """Start it with all its listeners; `messages` holds what was accepted."""

    def __init__(self, directory: Path, sink: tuple[str, int] = net.POSTFIX_SINK) -> None:
        self.directory = directory
        self.config = directory / "etc"
        self.listeners: list[Listener] = []
        self._sink_address = sink
        self.sink: RogueMx | None = None

    def listen(self, *listeners: Listener) -> None:
        self.listeners += listeners

    def start(self) -> None:
        self.sink = RogueMx(self._sink_address[0], port=self._sink_address[1], host="sink.example",
                            script=Script(is_lmtp=True, offers_starttls=False,
                                          extensions=("PIPELINING", "8BITMIME")))
        self._make_directories()
        self._write_main()
        self._write_master()
        self._run("start")
        self._wait()

    def stop(self) -> None:
        self._run("stop", check=False)
        if self.sink:
            self.sink.stop()

    def wait_for_message(self, recipient: str, seconds: float = 15) -> Message:
        assert self.sink
        return self.sink.wait_for_message(recipient, seconds)

    def messages_for(self, recipient: str) -> list[Message]:
        assert self.sink
        return [m for m in self.sink.messages if recipient in m.addresses]

    def log(self) -> str:
        path = self.directory / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def _make_directories(self) -> None:
        self.config.mkdir(parents=True)
        for path in (self.directory, *self.directory.parents):
            if path != Path("/") and path.stat().st_uid == os.getuid():
                path.chmod(path.stat().st_mode | 0o711)  # Postfix works as user postfix
        (self.directory / "queue").mkdir()
        data = self.directory / "data"
        data.mkdir()
        user = pwd.getpwnam("postfix")
        os.chown(data, user.pw_uid, grp.getgrnam("postfix").gr_gid)
        for table in ("postfix-files", "dynamicmaps.cf"):
            source = Path("/etc/postfix") / table
            if source.exists():
                shutil.copy(source, self.config / table)

    def _write_main(self) -> None:
        host, port = self._sink_address
        (self.config / "main.cf").write_text(f"""\
compatibility_level = 3.6
queue_directory = {self.directory}/queue
data_directory = {self.directory}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {self.directory}/maillog
maillog_file_prefixes = {self.directory}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.example
mydestination =
mynetworks =
local_recipient_maps =
alias_maps =
relay_domains = static:all
relay_transport = lmtp:inet:[{host}]:{port}
default_transport = error:lab
smtpd_relay_restrictions = permit_auth_destination, reject
smtpd_recipient_restrictions =
smtpd_tls_security_level = none
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_peername_lookup = no
smtpd_forbid_bare_newline = no
smtpd_client_connection_count_limit = 0
smtputf8_enable = no
notify_classes =
""")

    def _write_master(self) -> None:
        rows = []
        for listener in self.listeners:
            options = [f"myhostname={listener.host}", *listener.options]
            if listener.certificate:
                options += ["smtpd_tls_security_level=may",
                            f"smtpd_tls_chain_files={listener.certificate.all_file}"]
            address = f"[{listener.address}]" if ":" in listener.address else listener.address
            rows.append(f"{address}:{listener.port} inet n - n - - smtpd\n"
                        + "".join(f"  -o {option}\n" for option in options))
        rows.append("""\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
""")
        (self.config / "master.cf").write_text("".join(rows))

    def _wait(self) -> None:
        first = self.listeners[0]

        def answers() -> bool:
            try:
                with socket.create_connection((first.address, first.port), 2) as connection:
                    return connection.recv(100).startswith(b"220")
            except OSError:
                return False
        wait_until(answers, 20, "Postfix")

    def _run(self, command: str, check: bool = True) -> None:
        result = subprocess.run(["postfix", "-c", str(self.config), command], capture_output=True,
                                text=True, timeout=30, stdin=subprocess.DEVNULL)
        if check and result.returncode != 0:
            raise RuntimeError(f"postfix {command}: {result.stdout}{result.stderr}\n{self.log()}")
