"""MTA-STS (RFC 8461) in the lab: domains that announce a policy, and the hosts that publish it.

    one = sts_domain(lab)                                    # a policy in force, and hosts that live up to it
    one = sts_domain(lab, Policy(mode="testing"), mx=[Script(offers_starttls=False)])
    one = sts_domain(lab, answer=Answer(status=500))         # what the policy host says
    one = sts_domain(lab, txt=['"v=STSv1"'])                 # what _mta-sts says
    one.publish(Policy(mx=("mx9.{domain}",)), id="2")        # another policy, under way

`{domain}` in names and patterns is the domain's name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .https import Answer, Request, Site
from .laboratory import Lab
from .pki import Certificate
from .rogue_mx import RogueMx, Script
from .world import STS_BY_HAND, FreshDomain

WELL_KNOWN = "/.well-known/mta-sts.txt"
OUR_MX = ("mx1.{domain}", "mx2.{domain}")
# Certificates of a host, by what is the matter with them.
CERTIFICATE_FAULTS = ("other-name", "expired", "self-signed", "untrusted", "no-san", "deep-wildcard",
                      "partial-wildcard")


@dataclass(frozen=True)
class Policy:
    """A policy in its usual form."""

    mode: str = "enforce"
    mx: tuple[str, ...] = OUR_MX
    max_age: int = 86400
    version: str = "STSv1"
    end_of_line: str = "\r\n"

    def text(self, domain: str) -> bytes:
        lines = [f"version: {self.version}", f"mode: {self.mode}",
                 *(f"mx: {pattern.format(domain=domain)}" for pattern in self.mx), f"max_age: {self.max_age}"]
        return "".join(line + self.end_of_line for line in lines).encode()


@dataclass
class StsDomain:
    """A domain of an `sts` pool with what answers for it."""

    lab: Lab
    domain: FreshDomain
    site: Site
    hosts: list[RogueMx]

    @property
    def name(self) -> str:
        return self.domain.name

    @property
    def policy_host(self) -> str:
        return f"mta-sts.{self.domain.name}"

    @property
    def fetches(self) -> list[Request]:
        """The requests for the policy so far."""
        return self.lab.web.requests_for(self.policy_host)

    @property
    def messages(self) -> list:
        return [message for host in self.hosts for message in host.messages]

    def publish(self, policy: Policy | None = None, id: str = "", answer: Answer | list[Answer] | None = None) -> None:
        """Another policy (or another answer of the policy host), and another id if one is given."""
        if policy or answer:
            self.site.served = 0
            self.site.answer = self._named(answer) or Answer(body=(policy or Policy()).text(self.name))
        if id:
            self.announce(f'"v=STSv1; id={id};"')

    def _named(self, answer: Answer | list[Answer] | None) -> Answer | list[Answer] | None:
        """Answers with {domain} in their bodies replaced."""
        if isinstance(answer, list):
            return [self._named(one) for one in answer]  # type: ignore[misc]
        return answer and replace(answer, body=answer.body.replace(b"{domain}", self.name.encode()))

    def announce(self, *texts: str, is_broken: bool = False) -> None:
        """Replaces the TXT records of _mta-sts; without any they go away."""
        self.lab.dns.set(f"_mta-sts.{self.name}", "TXT", *texts, is_broken=is_broken)

    def serve(self, index: int, script: Script) -> RogueMx:
        """Puts another server on one MX host's address."""
        if index < len(self.hosts):
            self.hosts[index].stop()
        address, host = self.domain.addresses[index], self.domain.hosts[index]
        script.certificate = script.certificate or self.lab.web_certificate(host)
        mx = self.lab.rogue(address, script, host)
        self.hosts[index:index + 1] = [mx]
        return mx


def sts_domain(lab: Lab, policy: Policy | None = None, *, answer: Answer | list[Answer] | None = None,
               certificate: Certificate | str | None = None, mx: Iterable[Script] = (Script(),),
               txt: list[str] | None = None, kind: str = "sts") -> StsDomain:
    """A fresh domain (of a pool, or one of STS_BY_HAND) with a policy host and MX hosts. `certificate` is the policy host's: one of CERTIFICATE_FAULTS,
    or any; the hosts' own are right for their names (for kind sts-dane: match their TLSA) where the script names none.
    """
    domain = STS_BY_HAND.get(kind) or lab.fresh(kind)
    host = f"mta-sts.{domain.name}"
    if isinstance(certificate, str):
        certificate = faulty_certificate(lab, certificate, host)
    site = Site(certificate or lab.web_certificate(host))
    lab.web.sites[host] = site
    made = StsDomain(lab, domain, site, [])
    made.publish(policy or Policy(), answer=answer)
    if txt is not None:
        made.announce(*(text.format(domain=domain.name) for text in txt))
    for index, script in enumerate(mx):
        script = script.but()
        if kind == "sts-dane":
            script.certificate = script.certificate or lab.certificate("pool")
        made.serve(index, script)
    return made


def faulty_certificate(lab: Lab, fault: str, host: str) -> Certificate:
    """A certificate that does not do for that host."""
    web = lab.certificate("web-ca")
    label = f"{fault}.{host}"
    if fault == "other-name":
        return lab.pki.server(label, ["www." + host], web)
    if fault == "expired":
        return lab.pki.server(label, [host], web, expired=True)
    if fault == "self-signed":
        return lab.pki.server(label, [host])
    if fault == "untrusted":
        return lab.pki.server(label, [host], lab.certificate("other-ca"))
    if fault == "no-san":
        return lab.pki.server(label, [host], web, has_names=False)
    if fault == "deep-wildcard":  # one label too high
        return lab.pki.server(label, ["*." + host.split(".", 2)[2]], web)
    assert fault == "partial-wildcard", fault  # RFC 8461 section 4.2: only as the whole leftmost label
    return lab.pki.server(label, [f"{host[0]}*.{host.split('.', 1)[1]}"], web)


def wildcard_certificate(lab: Lab, host: str) -> Certificate:
    """A certificate for every name beside that host."""
    return lab.web_certificate("*." + host.split(".", 1)[1])
