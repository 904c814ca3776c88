"""The world the gateway mails into: every domain, host and certificate, declared up front in one place.

Two kinds of domains. Named ones have a fixed MX (mostly Postfix) and are described in the tables below.
Pools are endless rows of alike domains without any server; a test takes a fresh one, `lab.fresh("plain")`, and
puts on its addresses what it needs, so that no test sees what another taught the gateway.
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import net
from .pki import Certificate, Pki
from .postfix import Listener, Postfix
from .zones import Dns


@dataclass(frozen=True)
class PoolKind:
    """How the domains of one pool look in DNS. Hosts are mx1, mx2, mx3 below the domain."""

    zone: str
    security: str
    network: str  # domain n's addresses are NETWORK.(first+n).1 and so on
    first: int
    size: int
    preferences: tuple[int, ...]
    has_tlsa: bool = False
    has_sts: bool = False  # announces an MTA-STS policy, which waits for somebody to publish it: lab/sts.py


POOLS = {
    # an unsigned domain with a single MX host
    "one": PoolKind("one.example", "insecure", "100.70", 0, 250, (10,)),
    # the same with three MX hosts in order
    "plain": PoolKind("pool.example", "insecure", "198.18", 0, 150, (10, 20, 30)),
    # two of equal preference
    "equal": PoolKind("equal.example", "insecure", "198.19", 0, 40, (10, 10)),
    # signed, no TLSA
    "safe": PoolKind("safe.example", "secure", "198.18", 150, 60, (10, 20)),
    # signed, TLSA 3 1 1 of certificate "pool" for each host
    "dane": PoolKind("sealed.example", "secure", "198.19", 40, 100, (10, 20), has_tlsa=True),
    # unsigned, a single MX host, for whole tables at one go
    "row": PoolKind("row.example", "insecure", "100.68", 0, 250, (10,)),
    # with MTA-STS: unsigned, signed, signed with TLSA as above; short TTLs, for records that change under way
    "sts": PoolKind("sts.example", "insecure", "100.64", 0, 250, (10, 20), has_sts=True),
    "sts-row": PoolKind("sts-row.example", "insecure", "100.69", 0, 150, (10, 20), has_sts=True),  # as "row"
    "sts-safe": PoolKind("sts-safe.example", "secure", "100.65", 0, 40, (10, 20), has_sts=True),
    "sts-dane": PoolKind("sts-dane.example", "secure", "100.66", 0, 40, (10, 20), has_tlsa=True, has_sts=True),
}


@dataclass(frozen=True)
class FreshDomain:
    """One domain of a pool, taken by one test."""

    name: str
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]


# Destinations that have nothing in common: each its own signed domain, MX name, network. See lab/crowd.py.
CROWD = tuple(FreshDomain(f"crowd{n}.{tld}", (f"mail.crowd{n}.{tld}",), (f"100.{96 + n}.{n}.25",))
              for n in range(30) for tld in (("example", "org")[n % 2],))


# Domains with MTA-STS whose announcement cannot be learnt: how _mta-sts is delegated.
STS_BY_HAND = {f"sts-txt-{how}.example": FreshDomain(f"sts-txt-{how}.example", (f"mx1.sts-txt-{how}.example",),
                                                     (f"100.67.{number}.1",))
               for number, how in enumerate(("lame", "silent"))}


@dataclass(frozen=True)
class DaneCase:
    """One TLSA situation, on the domain NAME.example with the MX host mx.NAME.example.

    `want` is what a sender that requires DANE where it is published must conclude:
    verified    the certificate matches, the host name is authentic
    matched     the certificate matches, the MX look-up was not secure
    encrypted   TLS is required, without authentication
    mismatch    TLSA exists and the certificate does not satisfy it
    none        no DANE here: opportunistic
    unknown     TLSA could not be learnt: the host must not be used
    """

    name: str
    want: str
    server: str = "ee"  # the Postfix host that answers, see LISTENERS
    tlsa: tuple[str, ...] = ()  # "3 1 1 ee": over a certificate; "raw 3 1 1 00ff": as written
    zone: Callable[[Dns, "DaneCase", tuple[str, ...]], None] | None = None  # instead of the usual zone
    denial: str = "nsec"
    security: str = "secure"
    # where posttls-finger 3.7 is known to see it another way, and why
    postfix_differs: str = ""

    @property
    def domain(self) -> str:
        return f"{self.name}.example"


# Postfix hosts by name: address, certificate (None: no TLS).
LISTENERS = {
    "ee": "198.51.100.10",
    "expired-ee": "198.51.100.11",
    "ta": "198.51.100.12",
    "ta-wrong-name": "198.51.100.13",
    "ta-expired": "198.51.100.14",
    "plain": "198.51.100.15",
    "pkix": "198.51.100.16",
    "pkix-wrong-name": "198.51.100.17",
    "tls13": "198.51.100.18",
    "tls12": "198.51.100.19",
    "ta-leaf-only": "198.51.100.20",
    "ta-domain-name": "198.51.100.21",
}
DEAD_ADDRESS = "203.0.113.99"  # nobody listens: connection refused
BLOCKED_ADDRESS = "127.0.0.1"


def _sub_fault(security: str) -> Callable[[Dns, DaneCase, tuple[str, ...]], None]:
    """The names below _tcp.mx are a zone of their own that is lame, silent or bogus."""

    def build(dns: Dns, case: DaneCase, tlsa: tuple[str, ...]) -> None:
        _usual(dns, case)
        sub = dns.zone(f"_tcp.mx.{case.domain}", security=security)
        sub.add(*(f"_25 TLSA {data}" for data in tlsa))
    return build


def _usual(dns: Dns, case: DaneCase, tlsa: tuple[str, ...] = ()):
    zone = dns.zone(case.domain, case.security, case.denial)
    return zone.add("@ MX 10 mx", f"mx A {LISTENERS[case.server]}",
                    *(f"_25._tcp.mx TLSA {data}" for data in tlsa))


def _broken(*pairs: tuple[str, str]) -> Callable[[Dns, DaneCase, tuple[str, ...]], None]:
    def build(dns: Dns, case: DaneCase, tlsa: tuple[str, ...]) -> None:
        zone = _usual(dns, case, tlsa)
        for owner, rdtype in pairs:
            zone.break_signature(owner, rdtype)
    return build


def _records(*records: str, security: str = "secure") -> Callable[..., None]:
    """A zone by hand; {ip} is the server, {tlsa} the first TLSA."""
    def build(dns: Dns, case: DaneCase, tlsa: tuple[str, ...]) -> None:
        values = {"ip": LISTENERS[case.server], "tlsa": tlsa[0] if tlsa else ""}
        dns.zone(case.domain, security, case.denial).add(*(r.format(**values) for r in records))
    return build


def _grid(usage: int, server: str, certificate: str) -> list[DaneCase]:
    return [DaneCase(f"tlsa-{usage}{s}{m}", "verified", server, (f"{usage} {s} {m} {certificate}",))
            for s in (0, 1) for m in (0, 1, 2)]


DANE_CASES = [
    *_grid(3, "ee", "ee"),
    *_grid(2, "ta", "root-ca"),
    DaneCase("ta-domain-name", "verified", "ta-domain-name", ("2 1 1 root-ca",)),
    DaneCase("ta-by-intermediate", "verified", "ta", ("2 1 1 middle-ca",)),
    DaneCase("ta-not-sent", "mismatch", "ta-leaf-only", ("2 1 1 root-ca",)),
    DaneCase("ta-in-dns", "verified", "ta-leaf-only", ("2 0 0 middle-ca",)),
    DaneCase("ee-expired", "verified", "expired-ee", ("3 1 1 expired-ee",)),
    DaneCase("ee-tls13", "verified", "tls13", ("3 1 1 ee",)),
    DaneCase("ee-tls12", "verified", "tls12", ("3 1 1 ee",)),
    DaneCase("ee-nsec3", "verified", "ee", ("3 1 1 ee",), denial="nsec3"),
    DaneCase("ee-optout", "verified", "ee", ("3 1 1 ee",), denial="nsec3-optout"),
    DaneCase("ee-mismatch", "mismatch", "ee", ("3 1 1 other",)),
    DaneCase("ta-mismatch", "mismatch", "ta", ("2 1 1 other-ca",)),
    DaneCase("ta-wrong-name", "mismatch", "ta-wrong-name", ("2 1 1 root-ca",)),
    DaneCase("ta-expired", "mismatch", "ta-expired", ("2 1 1 root-ca",)),
    DaneCase("ee-plain", "not-offered", "plain", ("3 1 1 ee",)),
    # unusable records alone: TLS is required, nobody is authenticated
    DaneCase("usage0", "encrypted", "pkix", ("0 1 1 web-ca",)),
    DaneCase("usage1", "encrypted", "pkix", ("1 1 1 pkix",)),
    DaneCase("usage1-mismatch", "encrypted", "pkix", ("1 1 1 other",)),
    DaneCase("short-digest", "encrypted", "ee", ("raw 3 1 1 0011223344",)),
    DaneCase("odd-matching", "encrypted", "ee", ("raw 3 1 9 " + "00" * 32,)),
    DaneCase("odd-selector", "encrypted", "ee", ("raw 3 7 1 " + "00" * 32,)),
    DaneCase("odd-usage", "encrypted", "ee", ("raw 9 1 1 " + "00" * 32,)),
    DaneCase("unusable-plain", "not-offered", "plain", ("1 1 1 pkix",)),
    # mixtures
    DaneCase("mix-unusable-match", "verified", "ee", ("1 1 1 other", "3 1 1 ee")),
    DaneCase("mix-unusable-mismatch", "mismatch", "ee", ("1 1 1 ee", "3 1 1 other")),
    DaneCase("mix-two-keys", "verified", "ee", ("3 1 1 other", "3 1 1 ee")),
    DaneCase("mix-ta-ee", "verified", "ee", ("2 1 1 other-ca", "3 1 1 ee")),
    DaneCase("mix-ee-ta", "verified", "ta", ("3 1 1 other", "2 1 1 root-ca")),
    DaneCase("agility-strong-match", "verified", "ee", ("3 1 2 ee", "3 1 1 other")),
    DaneCase("agility-weak-match", "mismatch", "ee", ("3 1 2 other", "3 1 1 ee")),
    # what DNS says of them
    DaneCase("no-tlsa-nsec", "none", "ee"),
    DaneCase("no-tlsa-nsec3", "none", "ee", denial="nsec3"),
    DaneCase("no-tlsa-optout", "none", "ee", denial="nsec3-optout"),
    DaneCase("tlsa-insecure", "none", "ee", ("3 1 1 other",), security="insecure"),
    DaneCase("tlsa-subzone-insecure", "none", "ee", ("3 1 1 other",), zone=_sub_fault("insecure")),
    DaneCase("tlsa-bogus", "unknown", "ee", ("3 1 1 ee",), zone=_broken(("_25._tcp.mx", "TLSA"))),
    DaneCase("tlsa-subzone-bogus", "unknown", "ee", ("3 1 1 ee",), zone=_sub_fault("bogus")),
    DaneCase("tlsa-expired", "unknown", "ee", ("3 1 1 ee",), zone=_sub_fault("expired")),
    DaneCase("tlsa-servfail", "unknown", "ee", zone=_sub_fault("lame")),
    DaneCase("denial-bogus", "unknown", "ee", zone=_broken(("mx", "NSEC"))),
    DaneCase("aaaa-denial-bogus", "verified", "ee", ("3 1 1 ee",), zone=_broken(("mx", "NSEC"))),
    # names
    DaneCase("tlsa-alias", "verified", "ee", ("3 1 1 ee",), zone=_records(
        "@ MX 10 mx", "mx A {ip}", "_25._tcp.mx CNAME shared._dane", "shared._dane TLSA {tlsa}")),
    DaneCase("tlsa-wildcard", "verified", "ee", ("3 1 1 ee",), zone=_records(
        "@ MX 10 mx", "mx A {ip}", "*._tcp.mx TLSA {tlsa}")),
    DaneCase("implicit-mx", "verified", "ee", ("3 1 1 ee",), zone=_records(
        "@ A {ip}", "_25._tcp TLSA {tlsa}")),
    DaneCase("implicit-mx-plain", "not-offered", "plain", ("3 1 1 ee",), zone=_records(
        "@ A {ip}", "_25._tcp TLSA {tlsa}")),
    DaneCase("alias-expanded", "verified", "ee", ("3 1 1 ee",), zone=_records(
        "@ MX 10 mx", "mx CNAME real", "real A {ip}", "_25._tcp.real TLSA {tlsa}")),
    DaneCase("alias-unexpanded", "verified", "ee", ("3 1 1 ee",), zone=_records(
        "@ MX 10 mx", "mx CNAME real", "real A {ip}", "_25._tcp.mx TLSA {tlsa}")),
    DaneCase("alias-expanded-first", "mismatch", "ee", ("3 1 1 other", "3 1 1 ee"), zone=_records(
        "@ MX 10 mx", "mx CNAME real", "real A {ip}", "_25._tcp.real TLSA {tlsa}",
        "_25._tcp.mx TLSA 3 1 1 " + "ee" * 32)),
    DaneCase("alias-to-insecure", "verified", "ee", ("3 1 1 ee",), zone=_records(
        "@ MX 10 mx", "mx CNAME ee.unsigned.example.", "_25._tcp.mx TLSA {tlsa}")),
    DaneCase("alias-to-insecure-tlsa-there", "none", "ee", zone=_records(
        "@ MX 10 mx", "mx CNAME tlsa.unsigned.example.")),
    DaneCase("alias-insecure", "none", "ee", zone=_records(
        "@ MX 10 alias-to-ee.unsigned.example.")),
    DaneCase("host-insecure", "none", "ee", zone=_records("@ MX 10 tlsa.unsigned.example.")),
    DaneCase("half-dane", "matched", "ee", zone=_records(
        "@ MX 10 mx.tlsa-311.example.", security="insecure")),
    DaneCase("half-dane-mismatch", "mismatch", "ee", zone=_records(
        "@ MX 10 mx.ee-mismatch.example.", security="insecure")),
]

# Domains of test_delivery.py and test_guarantee.py with something particular in DNS: security, records.
# {ee} and the like are the addresses of LISTENERS.
NAMED_DOMAINS: dict[str, tuple[str, tuple[str, ...]]] = {
    "null-mx.example": ("secure", ("@ MX 0 .", "@ A {ee}")),
    "null-mx-unsigned.example": ("insecure", ("@ MX 0 .", "@ A {ee}")),
    "nothing.example": ("secure", ("@ TXT none",)),
    "nothing-unsigned.example": ("insecure", ("@ TXT none",)),
    "implicit.example": ("insecure", ("@ A {ee}",)),
    "mx-bogus.example": ("bogus", ("@ MX 10 mx", "mx A {ee}")),
    "mx-expired.example": ("expired", ("@ MX 10 mx", "mx A {ee}")),
    "mx-servfail.example": ("lame", ()),
    "mx-silent.example": ("silent", ()),
    "mx-no-address.example": ("secure", ("@ MX 10 mx", "mx TXT none")),
    "mx-missing.example": ("secure", ("@ MX 10 mx",)),
    "host-bogus.example": ("secure", ("@ MX 10 mx.mx-bogus.example.",)),
    "dual.example": ("insecure", ("@ MX 10 mx", "mx A {ee}", "mx AAAA 2001:db8:100::10")),
    "v6.example": ("insecure", ("@ MX 10 mx", "mx AAAA 2001:db8:100::10")),
    "v6-dead.example": ("insecure", ("@ MX 10 mx", "mx AAAA 2001:db8:100::99", "mx A {ee}")),
    "dead.example": ("insecure", ("@ MX 10 mx", f"mx A {DEAD_ADDRESS}")),
    "dead-first.example": ("insecure", (
        "@ MX 10 dead", "@ MX 20 mx", f"dead A {DEAD_ADDRESS}", "mx A {ee}")),
    "dead-first-plain.example": ("insecure", (
        "@ MX 10 dead", "@ MX 20 mx", f"dead A {DEAD_ADDRESS}", "mx A {plain}")),
    "xn--bcher-kva.example": ("insecure", ("@ MX 10 mx", "mx A {ee}")),
    "aliases.example": ("insecure", (
        "www CNAME target", "target MX 10 mx", "mx A {ee}", "loop CNAME loop2", "loop2 CNAME loop")),
    "blocked.example": ("insecure", ("@ MX 10 mx", f"mx A {BLOCKED_ADDRESS}")),
    "blocked-first.example": ("insecure", (
        "@ MX 10 loop", "@ MX 20 mx", f"loop A {BLOCKED_ADDRESS}", "mx A {ee}")),
    "self.example": ("insecure", ("@ MX 10 mail.example.org.",)),
    "backup-of-self.example": ("insecure", ("@ MX 10 first", "@ MX 20 mail.example.org.", "first A {ee}")),
    "clear.example": ("insecure", ("@ MX 10 mx", "mx A {plain}")),
    "tls.example": ("insecure", ("@ MX 10 mx", "mx A {ee}")),
    "tls-signed.example": ("secure", ("@ MX 10 mx", "mx A {ee}")),
    "pkix.example": ("secure", ("@ MX 10 mx", "mx A {pkix}")),
    "pkix-unsigned.example": ("insecure", ("@ MX 10 mx", "mx A {pkix}")),
    "pkix-wrong-name.example": ("secure", ("@ MX 10 mx", "mx A {pkix-wrong-name}")),
    # users' domains whose mail store is elsewhere, so that notices cross a network
    "away.example": ("insecure", ("@ MX 10 mx", "mx A {ee}")),
    "away-plain.example": ("insecure", ("@ MX 10 mx", "mx A {plain}")),
    "tlsa-silent.example": ("secure", ("@ MX 10 mx", "mx A {ee}")),
    "_tcp.mx.tlsa-silent.example": ("silent", ()),
    # whoever collects TLS reports by HTTPS: c1.collectors.example and so on
    "collectors.example": ("insecure", ("* A " + net.WEB[0],)),
    "smart.example": ("insecure", ("mta A " + net.SMARTHOST,)),
    "unsigned.example": ("insecure", (
        "ee A {ee}", "tlsa A {ee}", "_25._tcp.tlsa TLSA 3 1 1 " + "ab" * 32,
        "alias-to-ee CNAME mx.tlsa-311.example.")),
    "example.org": ("secure", (
        "@ MX 10 mail", f"mail A {net.GATEWAY}", f"stand-in A {net.STAND_IN}")),
    "site.example": ("insecure", ("@ MX 10 mx", "mx A {dead}")),
}
V6_LISTENER = "2001:db8:100::10"


def make_certificates(pki: Pki) -> dict[str, Certificate]:
    """Everything with a key, by the names that the tables above use."""
    root = pki.authority("root-ca")
    middle = pki.authority("middle-ca", root)
    web = pki.authority("web-ca")
    ta_names = [f"mx.{case.domain}" for case in DANE_CASES if case.server.startswith("ta")]
    made = {
        "root-ca": root,
        "middle-ca": middle,
        "web-ca": web,
        "other-ca": pki.authority("other-ca"),
        "ee": pki.server("ee", ["nobody.invalid"]),
        "expired-ee": pki.server("expired-ee", ["nobody.invalid"], expired=True),
        "other": pki.server("other", ["other.invalid"]),
        "ta": pki.server("ta", ta_names, middle),
        "ta-wrong-name": pki.server("ta-wrong-name", ["nobody.invalid"], middle),
        "ta-expired": pki.server("ta-expired", ta_names, middle, expired=True),
        "ta-domain-name": pki.server("ta-domain-name", ["ta-domain-name.example"], middle),
        "pkix": pki.server("pkix", ["mx.pkix.example", "mx.pkix-unsigned.example", "mta.smart.example"], web),
        "pkix-wrong-name": pki.server("pkix-wrong-name", ["nobody.invalid"], web),
        "pool": pki.server("pool", ["pool.invalid"]),
        "gateway": pki.server("gateway", ["mail.example.org"], web),
        "gateway-rsa": pki.server("gateway-rsa", ["mail.example.org"], web, rsa_bits=2048),
        "stand-in": pki.server("stand-in", ["stand-in.example.org"], web),
    }
    made["ta-leaf-only"] = pki.without_chain("ta-leaf-only", made["ta"])
    return made


def declare_zones(dns: Dns, certificates: dict[str, Certificate]) -> None:
    addresses = {**LISTENERS, "dead": DEAD_ADDRESS}
    for name, (security, records) in NAMED_DOMAINS.items():
        dns.zone(name, security).add(*(record.format_map(addresses) for record in records))
    for case in DANE_CASES:
        tlsa = tuple(_tlsa(text, certificates) for text in case.tlsa)
        (case.zone or _usual)(dns, case, tlsa)
    for kind in POOLS.values():
        _declare_pool(dns, kind, certificates["pool"].tlsa(3, 1, 1))
    for domain in STS_BY_HAND.values():
        dns.zone(domain.name, "insecure").add("@ MX 10 mx1", f"mx1 A {domain.addresses[0]}", f"mta-sts A {net.WEB[0]}")
        dns.zone(f"_mta-sts.{domain.name}", domain.name.split(".")[0].rsplit("-", 1)[1])
    for domain in CROWD:
        dns.zone(domain.name, negative_ttl=1).add("@ 1 MX 10 mail", f"mail 1 A {domain.addresses[0]}")


def _declare_pool(dns: Dns, kind: PoolKind, tlsa: str) -> None:
    zone = dns.zone(kind.zone, kind.security, negative_ttl=1 if kind.has_sts else 60)
    ttl = 1 if kind.has_sts else 3600
    for number in range(kind.size):
        for index, preference in enumerate(kind.preferences, 1):
            host = f"mx{index}.d{number}"
            zone.add(f"d{number} {ttl} MX {preference} {host}",
                     f"{host} {ttl} A {kind.network}.{kind.first + number}.{index}")
            if kind.has_tlsa:
                zone.add(f"_25._tcp.{host} {ttl} TLSA {tlsa}")
        if kind.has_sts:
            zone.add(f'_mta-sts.d{number} 1 TXT "v=STSv1; id=1;"', f"mta-sts.d{number} 1 A {net.WEB[0]}")


def declare_hosts(postfix: Postfix, certificates: dict[str, Certificate]) -> None:
    for name, address in LISTENERS.items():
        options: tuple[str, ...] = ()
        if name in ("tls12", "tls13"):
            version = "TLSv1.2" if name == "tls12" else "TLSv1.3"
            options = (f"smtpd_tls_protocols=>={version},<={version}",)
        certificate = None if name == "plain" else certificates.get(name, certificates["ee"])
        postfix.listen(Listener(address, f"{name}.postfix.example", certificate, options))
    postfix.listen(Listener(V6_LISTENER, "v6.postfix.example", certificates["ee"]))


def fresh(kind: str, number: int) -> FreshDomain:
    pool = POOLS[kind]
    assert number < pool.size, f"the pool {kind} is used up: make it larger in lab/world.py"
    name = f"d{number}.{pool.zone}"
    indexes = range(1, len(pool.preferences) + 1)
    return FreshDomain(name, tuple(f"mx{index}.{name}" for index in indexes),
                       tuple(f"{pool.network}.{pool.first + number}.{index}" for index in indexes))


def _tlsa(text: str, certificates: dict[str, Certificate]) -> str:
    if text.startswith("raw "):
        return text[4:]
    usage, selector, matching, name = text.split()
    return certificates[name].tlsa(int(usage), int(selector), int(matching))
