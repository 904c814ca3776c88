"""The lab as a whole: everything a test may meet, started once per pytest process."""

import itertools
import os
import shutil
import socket
from collections import defaultdict
from pathlib import Path

from . import net, world
from .crowd import Crowd
from .dovecot import Dovecot
from .https import HttpsServer
from .pki import Certificate, Pki
from .postfix import Postfix
from .rogue_mx import RogueMx, Script
from .zones import Dns


class Lab:
    """DNS, certificates, Postfix hosts and the users' own mail store. Tests add rogue hosts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pki = Pki(directory / "pki")
        self.certificates = world.make_certificates(self.pki)
        self.dns = Dns(directory / "dns")
        world.declare_zones(self.dns, self.certificates)
        self.postfix = Postfix(directory / "postfix")
        world.declare_hosts(self.postfix, self.certificates)
        self._taken: dict[str, itertools.count] = defaultdict(itertools.count)
        self._servers: list[RogueMx | Dovecot | Crowd] = []  # of the running test
        self._web_certificates: dict[tuple[str, ...], Certificate] = {}
        self._silent: socket.socket | None = None

    def start(self) -> None:
        # Bound and never read: the name server that does not answer.
        self._silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._silent.bind((net.SILENT_DNS, 53))
        self.dns.start()
        net.use_resolver(self.directory)
        self.postfix.start()
        self.mailbox = self.mail_store(net.MAILBOX)
        self.web = HttpsServer(net.WEB, self.certificates["pool"])

    def stop(self) -> None:
        self.drop_servers()
        if hasattr(self, "web"):
            self.web.stop()
        if hasattr(self, "mailbox"):
            self.mailbox.stop()
        self.postfix.stop()
        self.dns.stop()

    def dovecot(self, users: dict[str, str]) -> Dovecot:
        """A Dovecot for the running test."""
        directory = self.directory / f"dovecot{next(self._taken['dovecot'])}"
        server = Dovecot(directory, users)
        server.start()
        self._servers.append(server)
        return server

    def fresh(self, kind: str) -> world.FreshDomain:
        """A domain nobody has mailed to yet; see world.POOLS."""
        return world.fresh(kind, next(self._taken[kind]))

    def rogue(self, address: str, script: Script | None = None, host: str = "rogue.example") -> RogueMx:
        """A misbehaving MX for the running test. Its TLS, if any, uses the certificate `pool`."""
        script = script or Script()
        script.certificate = script.certificate or self.certificates["pool"]
        mx = RogueMx(address, script, host=host)
        self._servers.append(mx)
        return mx

    def crowd(self, script: Script | None = None) -> Crowd:
        """Many unrelated destinations for the running test."""
        script = script or Script()
        script.certificate = script.certificate or self.certificates["pool"]
        crowd = Crowd(self.dns, world.CROWD, script)
        self._servers.append(crowd)
        return crowd

    def drop_servers(self) -> None:
        """Ends what the running test added."""
        while self._servers:
            self._servers.pop().stop()
        if hasattr(self, "web"):
            self.web.sites.clear()

    @staticmethod
    def mail_store(where: tuple[str, int]) -> RogueMx:
        """A well-behaved LMTP server."""
        return RogueMx(where[0], port=where[1], host="store.site.example", script=Script(
            is_lmtp=True, offers_starttls=False,
            extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")))

    @property
    def web_ca_file(self) -> Path:
        """The certificate authority that clients, and `verify` policies, trust."""
        return self.certificates["web-ca"].chain_file

    def web_certificate(self, *names: str) -> Certificate:
        """A certificate that the web's authority gave to these names."""
        if names not in self._web_certificates:
            label = f"web{len(self._web_certificates)}"
            self._web_certificates[names] = self.pki.server(label, list(names), self.certificates["web-ca"])
        return self._web_certificates[names]

    def certificate(self, name: str) -> Certificate:
        return self.certificates[name]


def make_lab(name: str) -> Lab:
    """A lab in a fresh directory that other users (postfix, dovecot) may pass through."""
    directory = Path(os.environ.get("SYSTEM_TEST_DIR", "/tmp/sealpost-system")) / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    return Lab(directory)
