"""Our own DNS: a signed root, TLDs and domains on three NSD servers, and a validating resolver.

Zones are declared first and signed once, in `Dns.start()`:

    dns = Dns(directory)
    dns.zone("dane.example").add("@ MX 10 mx", "mx A 198.51.100.5", "_25._tcp.mx TLSA 3 1 1 ...")
    dns.zone("broken.example").add("@ MX 10 mx", ...).break_signature("mx", "A")
    dns.zone("plain.example", security="insecure").add(...)

and may be changed while the servers run, `dns.set("_mta-sts.d1.sts.example", "TXT", '"v=STSv1; id=2"')`.
"""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import dns.dnssec
import dns.message
import dns.name
import dns.query
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from . import net
from .process import Daemon, wait_until

SECURITY = ("secure", "insecure", "bogus", "expired", "lame", "silent")
DENIAL = ("nsec", "nsec3", "nsec3-optout")


@dataclass
class Zone:
    """One zone cut.

    secure    signed, DS in the parent
    insecure  not signed, no DS in the parent
    bogus     signed, DS in the parent, every signature but the key's own is damaged
    expired   signed, DS in the parent, signatures ran out ten days ago
    lame      delegated to a server that refuses it (SERVFAIL at the resolver)
    silent    delegated to a server that never answers
    """

    name: str
    security: str = "secure"
    denial: str = "nsec"
    records: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    negative_ttl: int = 60  # how long a denial may be remembered
    serial: int = 1

    def add(self, *records: str) -> "Zone":
        """Adds records in master-file syntax without TTL and class: "mx A 192.0.2.1".

        A TTL may stand before the type: "mx 1 A 192.0.2.1"."""
        self.records += records
        return self

    def break_signature(self, owner: str, rdtype: str) -> "Zone":
        """Damages the signature over one record set; owner is relative to the zone."""
        self.broken.append((owner, rdtype))
        return self

    @property
    def origin(self) -> str:
        return self.name if self.name.endswith(".") else self.name + "."

    @property
    def is_signed(self) -> bool:
        return self.security in ("secure", "bogus", "expired")

    @property
    def is_served(self) -> bool:
        return self.security not in ("lame", "silent")

    def text(self) -> str:
        lines = [
            f"$ORIGIN {self.origin}",
            "$TTL 3600",
            f"@ IN SOA ns.infra.example. hostmaster.infra.example. {self.serial} 3600 600 86400 {self.negative_ttl}",
        ]
        for record in self.records:
            owner, rest = record.split(None, 1)
            first, _, behind = rest.partition(" ")
            lines.append(f"{owner} {first} IN {behind}" if first.isdigit() else f"{owner} IN {rest}")
        return "\n".join(lines) + "\n"

    def absolute(self, owner: str) -> str:
        if owner == "@":
            return self.origin
        return owner if owner.endswith(".") else f"{owner}.{self.origin}"


class Dns:
    """Every zone of the lab, the servers that serve them and the files a resolver needs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True)
        self.trust_anchor = directory / "root.key"
        self.unbound_config = directory / "unbound-client.conf"
        self._zones: dict[str, Zone] = {}
        self._daemons: list[Daemon] = []
        self.zone(".", denial="nsec")
        # Both ways of denial, and opt-out, are met on the way to every domain.
        self.zone("example", denial="nsec3-optout")
        self.zone("org", denial="nsec")
        self.zone("infra.example").add(
            "@ NS ns",
            f"ns A {net.LEAF_DNS}",
            f"ns-root A {net.ROOT_DNS}",
            f"ns-tld A {net.TLD_DNS}",
            f"ns-silent A {net.SILENT_DNS}",
            f"ns-lame A {net.LAME_DNS}",
        )

    def zone(self, name: str, security: str = "secure", denial: str = "nsec", negative_ttl: int = 60) -> Zone:
        assert security in SECURITY and denial in DENIAL, (security, denial)
        zone = Zone(name, security, denial, negative_ttl=negative_ttl)
        assert zone.origin not in self._zones, f"zone {name} is declared twice"
        self._zones[zone.origin] = zone
        return zone

    def set(self, name: str, rdtype: str, *data: str, ttl: int = 1, is_broken: bool = False) -> None:
        """Replaces one record set while the servers run; without data it goes away. `is_broken` damages its signature,
        in a signed zone. What resolvers remember they remember: zones that change need short TTLs."""
        zone = self._zone_of(name)
        owner = name.rstrip(".") + "."
        zone.records = [record for record in zone.records
                        if (zone.absolute(record.split(None, 1)[0]), _type_of(record)) != (owner, rdtype)]
        zone.broken = [(o, t) for o, t in zone.broken if (zone.absolute(o), t) != (owner, rdtype)]
        zone.add(*(f"{owner} {ttl} {rdtype} {value}" for value in data))
        if is_broken:
            zone.break_signature(owner, rdtype)
        self.publish([zone])

    def set_bogus(self, names: list[str], is_bogus: bool) -> None:
        """Damages, or makes whole, every signature of these signed zones while the servers run."""
        zones = [self._zone_of(name) for name in names]
        for zone in zones:
            assert zone.is_signed, f"{zone.name} is not signed"
            zone.security = "bogus" if is_bogus else "secure"
        self.publish(zones)

    def publish(self, zones: list[Zone]) -> None:
        """Serves these zones, below a TLD, as they are now."""
        for zone in zones:
            zone.serial += 1
            self._write(zone)
        self._leaf_server.process.send_signal(signal.SIGHUP)
        for zone in zones:
            wait_until(lambda: _serial(net.LEAF_DNS, zone.origin) == zone.serial, 10, f"zone {zone.name} to be served")

    def start(self) -> None:
        self._delegate()
        self._make_key()
        for level in (self._leaves(), self._tlds(), [self._zones["."]]):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(self._write, level))
        self._write_client_files()
        self._serve(net.ROOT_DNS, [self._zones["."]])
        self._serve(net.TLD_DNS, self._tlds())
        self._leaf_server = self._serve(net.LEAF_DNS, self._leaves())
        self._serve(net.LAME_DNS, [])
        self._start_resolver()

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.stop()

    # What follows is how, not what.

    def _tlds(self) -> list[Zone]:
        return [z for z in self._zones.values() if z.origin != "." and z.origin.count(".") == 1]

    def _leaves(self) -> list[Zone]:
        return [z for z in self._zones.values() if z.origin.count(".") > 1]

    def _parent(self, zone: Zone) -> Zone:
        return self._zone_of(zone.origin.split(".", 1)[1])

    def _zone_of(self, name: str) -> Zone:
        """The zone that holds a name."""
        labels = name.rstrip(".").split(".")
        for cut in range(len(labels)):
            candidate = ".".join(labels[cut:]) + "."
            if candidate in self._zones:
                return self._zones[candidate]
        return self._zones["."]

    def _delegate(self) -> None:
        """Gives each zone its NS records and each parent the NS records (and glue) of its children."""
        self._zones["."].add("@ NS ns-root.infra.example.")
        for tld in self._tlds():
            tld.add("@ NS ns-tld.infra.example.")
        self._zones["."].add(
            f"ns-root.infra.example. A {net.ROOT_DNS}", f"ns-tld.infra.example. A {net.TLD_DNS}"
        )
        self._zones["example."].add(f"ns.infra.example. A {net.LEAF_DNS}")
        for zone in self._zones.values():
            if zone.origin == ".":
                continue
            is_tld = zone in self._tlds()
            server = "ns-tld" if is_tld else "ns" if zone.is_served else f"ns-{zone.security}"
            self._parent(zone).add(f"{zone.origin} NS {server}.infra.example.")
            if not is_tld and zone.name != "infra.example":
                zone.add(f"@ NS {server}.infra.example.")

    def _make_key(self) -> None:
        """One ECDSA P-256 key signs every zone: a key file names its zone, the key itself does not."""
        base = _run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", "-r", "/dev/urandom", ".",
                    cwd=self.directory).stdout.strip()
        self._private = (self.directory / f"{base}.private").read_text()
        public = (self.directory / f"{base}.key").read_text()
        self._dnskey_rdata = public.split("DNSKEY", 1)[1].split(";")[0].strip()
        self._dnskey = dns.rdata.from_text(
            dns.rdataclass.IN, dns.rdatatype.DNSKEY, self._dnskey_rdata)
        self._tag = base.rsplit("+", 1)[1]

    def _ds(self, zone: Zone) -> str:
        return dns.dnssec.make_ds(dns.name.from_text(zone.origin), self._dnskey, "SHA256").to_text()

    def _file(self, zone: Zone) -> Path:
        return self.directory / (zone.origin if zone.origin != "." else "root.")

    def _write(self, zone: Zone) -> None:
        if not zone.is_served:
            return
        delegations = "".join(
            f"{child.origin} IN DS {self._ds(child)}\n" for child in self._zones.values()
            if child.is_signed and child.origin != "." and self._parent(child) is zone)
        path = self._file(zone)
        path.write_text(zone.text() + delegations)
        if zone.is_signed:
            self._sign(zone, path)

    def _sign(self, zone: Zone, path: Path) -> None:
        key = self.directory / f"K{zone.origin}+013+{self._tag}"
        Path(f"{key}.private").write_text(self._private)
        Path(f"{key}.key").write_text(f"{zone.origin} IN DNSKEY {self._dnskey_rdata}\n")
        days = (-20, -10) if zone.security == "expired" else (-1, 30)
        begin, end = (str(int(time.time()) + day * 86400) for day in days)
        denial = {"nsec": [], "nsec3": ["-n", "-t", "0"], "nsec3-optout": ["-n", "-p", "-t", "0"]}
        unsigned = path.with_name(path.name + "unsigned")
        path.rename(unsigned)
        _run("ldns-signzone", *denial[zone.denial], "-i", begin, "-e", end, "-o", zone.origin,
             "-f", str(path), str(unsigned), str(key))
        self._damage(zone, path)

    def _damage(self, zone: Zone, path: Path) -> None:
        broken = {(zone.absolute(owner).lower(), rdtype) for owner, rdtype in zone.broken}
        if not broken and zone.security != "bogus":
            return
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            fields = line.split()
            if len(fields) < 5 or fields[3] != "RRSIG":
                continue
            owner, covered = fields[0].lower(), fields[4]
            if (owner, covered) in broken or (zone.security == "bogus" and covered != "DNSKEY"):
                broken.discard((owner, covered))
                head, signature = line.rsplit(None, 1)
                lines[number] = f"{head} {_flip(signature)}"
        assert not broken, f"{zone.name}: no signature to break for {broken}"
        path.write_text("\n".join(lines) + "\n")

    def _write_client_files(self) -> None:
        self.trust_anchor.write_text(f". IN DS {self._ds(self._zones['.'])}\n")
        hints = self.directory / "root.hints"
        hints.write_text(f". 3600000 NS ns-root.infra.example.\n"
                         f"ns-root.infra.example. 3600000 A {net.ROOT_DNS}\n")
        self.unbound_config.write_text(
            f'server:\n    root-hints: "{hints}"\n    do-not-query-localhost: no\n'
            "    do-ip6: no\n    aggressive-nsec: no\n    val-bogus-ttl: 1\n    target-fetch-policy: \"0 0 0 0 0\"\n")

    def _serve(self, address: str, zones: list[Zone]) -> Daemon:
        name = f"nsd-{address}"
        config = self.directory / f"{name}.conf"
        config.write_text(
            f'server:\n  ip-address: {address}\n  server-count: 1\n  username: ""\n'
            f'  zonesdir: "{self.directory}"\n  database: ""\n  zonelistfile: "{config}.list"\n'
            f'  pidfile: ""\n  xfrdfile: "{config}.xfrd"\n  xfrdir: "{self.directory}"\n'
            f"  hide-version: yes\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n"
            + "".join(f'zone:\n  name: "{z.origin}"\n  zonefile: "{self._file(z).name}"\n'
                      for z in zones if z.is_served))
        _run("nsd-checkconf", str(config))
        server = Daemon(["nsd", "-d", "-c", str(config)], self.directory / f"{name}.log")
        self._daemons.append(server)
        wait_until(lambda: _answers(address, "."), 10, f"NSD on {address}")
        return server

    def _start_resolver(self) -> None:
        """A validating unbound for libc: the second opinion (posttls-finger) asks it."""
        config = self.directory / "unbound.conf"
        config.write_text(
            self.unbound_config.read_text()
            + f'    trust-anchor-file: "{self.trust_anchor}"\n    interface: {net.RESOLVER}\n'
            '    username: ""\n    chroot: ""\n    pidfile: ""\n    use-syslog: no\n'
            "    num-threads: 1\n    module-config: \"validator iterator\"\n"
            f'    directory: "{self.directory}"\nremote-control:\n    control-enable: no\n')
        self._daemons.append(
            Daemon(["unbound", "-d", "-c", str(config)], self.directory / "unbound.log"))
        wait_until(lambda: _answers(net.RESOLVER, "infra.example."), 10, "unbound")


def _answers(address: str, name: str) -> bool:
    try:
        dns.query.udp(dns.message.make_query(name, "SOA"), address, timeout=0.5)
        return True
    except (OSError, dns.exception.Timeout):
        return False


def _serial(address: str, origin: str) -> int:
    """The serial number of the zone that is served, 0 when there is no answer."""
    try:
        answer = dns.query.udp(dns.message.make_query(origin, "SOA"), address, timeout=0.5).answer
        return answer[0][0].serial if answer else 0
    except (OSError, dns.exception.Timeout):
        return 0


def _type_of(record: str) -> str:
    """The type in "owner TYPE data" or "owner TTL TYPE data"."""
    fields = record.split()
    return fields[2] if fields[1].isdigit() else fields[1]


def _flip(signature: str) -> str:
    """Another valid base64 text of the same length."""
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return signature[:middle] + other + signature[middle + 1:]


def _run(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    result = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=30)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {result.stdout}{result.stderr}")
    return result
