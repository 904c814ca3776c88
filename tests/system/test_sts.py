"""MTA-STS (RFC 8461, GUARANTEE.md section 6): what a policy, its announcement and its hosts lead to.

Each row is asked three times: for a sender without the guarantee, with it, and with level verified. Together they tell
a policy in force from none, and none from one that could not be learnt.
"""

import itertools
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lab import net
from lab.expect import expect_nothing_said_in_clear, expect_stopped, not_offered
from lab.https import Answer, Site
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import Script
from lab.scenes import NO_TLS, TLS_454
from lab.sealpost import Account, Sealpost, Settings
from lab.sts import (CERTIFICATE_FAULTS, WELL_KNOWN, Policy, StsDomain, faulty_certificate, sts_domain,
                     wildcard_certificate)

TEXT = "version: STSv1\nmode: enforce\nmx: mx1.{domain}\nmx: mx2.{domain}\nmax_age: 86400\n"
PAGE = TEXT.encode()  # {domain} is put in when it is published
LAST_LOOK_IS_OLD = 2.1  # seconds: the pool's records, of a TTL of one, have left the resolver's cache
LEVELS = ("", "on", "verified")


@dataclass
class Case:
    """One situation.

    covers    in force, the host lives up to it: everybody's mail goes, verified=sts
    fails     in force, the host does not live up to it: nobody's mail goes; status and words say why
    excludes  as fails, and the host is not even connected
    none      no policy: mail goes as if there were none, level verified stops
    testing   as none, with its own words
    unknown   may yet turn out well: as none, but level verified waits
    """

    name: str
    state: str
    policy: Policy | None = None
    text: str | None = None  # of the policy, {domain} in it is the domain
    answer: Answer | None = None
    certificate: str | None = None  # the policy host's fault
    txt: list[str] | None = None
    mx: Callable[[Lab, StsDomain], Script] | Script = field(default_factory=Script)
    prepare: Callable[[Lab, StsDomain], None] | None = None
    kind: str = "sts"
    fetches: int | None = None  # how many; None: as the state has it
    status: str = "5.7.5"
    words: str = ""

    def ends(self, level: str) -> str:
        """The disposition for a sender of that level."""
        if self.state == "covers" or (self.state in ("none", "testing", "unknown") and level != "verified"):
            return "delivered"
        return "deferred" if self.state == "unknown" or level == "" else "held"


def _answers(state: str, *answers: tuple[str, Answer]) -> list[Case]:
    return [Case(name, state, answer=answer) for name, answer in answers]


def _texts(state: str, **texts: str) -> list[Case]:
    return [Case("policy-" + name.replace("_", "-"), state, text=text) for name, text in texts.items()]


def _announced(state: str, **records: list[str]) -> list[Case]:
    return [Case("txt-" + name.replace("_", "-"), state, txt=txt) for name, txt in records.items()]


def _mx(change: Callable[[Lab, str], dict[str, object]]) -> Callable[[Lab, StsDomain], Script]:
    return lambda lab, one: Script(**change(lab, one.domain.hosts[0]))  # type: ignore[arg-type]


def _with_fault(fault: str) -> Callable[[Lab, StsDomain], Script]:
    return lambda lab, one: Script(certificate=faulty_certificate(lab, fault, one.domain.hosts[0]))


def _by_alias(lab: Lab, one: StsDomain) -> None:
    lab.dns.set(f"_mta-sts.{one.name}", "TXT")
    lab.dns.set(f"_mta-sts.{one.name}", "CNAME", f"policy.{one.name}.")
    lab.dns.set(f"policy.{one.name}", "TXT", '"v=STSv1; id=alias;"')


def _host_by_alias(lab: Lab, one: StsDomain) -> None:
    lab.dns.set(one.policy_host, "A")
    lab.dns.set(one.policy_host, "CNAME", "www.collectors.example.")


def _host_on_ipv6(lab: Lab, one: StsDomain) -> None:
    lab.dns.set(one.policy_host, "A")
    lab.dns.set(one.policy_host, "AAAA", net.WEB[1])


def _first_address_dead(lab: Lab, one: StsDomain) -> None:
    lab.dns.set(one.policy_host, "AAAA", "2001:db8:dead::1")


def _host_at(*addresses: str) -> Callable[[Lab, StsDomain], None]:
    return lambda lab, one: lab.dns.set(one.policy_host, "A", *addresses)


def _break_txt(lab: Lab, one: StsDomain) -> None:
    one.announce('"v=STSv1; id=1;"', is_broken=True)


def _redirect(status: int) -> Case:
    """To a page that would do."""
    def prepare(lab: Lab, one: StsDomain) -> None:
        elsewhere = f"www.{one.name}"
        lab.dns.set(elsewhere, "A", net.WEB[0])
        lab.web.sites[elsewhere] = Site(lab.web_certificate(elsewhere), Answer(Policy().text(one.name)))
        one.publish(answer=Answer(status=status, headers={"Location": f"https://{elsewhere}{WELL_KNOWN}"}))
    return Case(f"http-{status}", "none", prepare=prepare)


def _wildcard_host(lab: Lab, one: StsDomain) -> None:
    one.site.certificate = wildcard_certificate(lab, one.policy_host)


NOT_LISTED = r"host mx1\.\S+ is not in the MTA-STS policy of d\d+\.\S+"
NOT_VALID = r"^Server certificate not verified: .*MTA-STS policy of d\d+\."
MANY_MX = "".join(f"mx: host{n}.provider.example\n" for n in range(600))
FULL = TEXT + "filler: " + "x" * (65536 - len(TEXT.replace("{domain}", "d100.sts.example")) - 40) + "\n"

CASES = [
    # The announcement (RFC 8461 section 3.1).
    *_announced(
        "covers",
        usual=['"v=STSv1; id=20261122T000000;"'],
        no_last_semicolon=['"v=STSv1; id=1"'],
        no_space=['"v=STSv1;id=1;"'],
        spaces=['"v=STSv1 ;  id=1 ; "'],
        longest_id=[f'"v=STSv1; id={"a1" * 16};"'],
        extension=['"v=STSv1; id=1; more=other;"'],
        split=['"v=ST" "Sv1; i" "d=1" ";"'],
        among_others=['"v=spf1 -all"', '"v=STSv1; id=1;"', '"v=STSv2; id=1;"', '""'],
    ),
    *_announced(
        "none",
        absent=[],
        two=['"v=STSv1; id=1;"', '"v=STSv1; id=2;"'],
        other_version=['"v=STSv2; id=1;"'],
        version_in_small=['"v=stsv1; id=1;"'],
        version_not_first=['"id=1; v=STSv1;"'],
        no_id=['"v=STSv1;"'],
        empty_id=['"v=STSv1; id=;"'],
        long_id=[f'"v=STSv1; id={"a" * 33};"'],
        odd_id=['"v=STSv1; id=2026-11-22;"'],
        space_first=['" v=STSv1; id=1;"'],
        nothing=['""'],
    ),
    Case("txt-by-alias", "covers", prepare=_by_alias),
    Case("txt-secure", "covers", kind="sts-safe"),
    Case("txt-bogus", "unknown", kind="sts-safe", prepare=_break_txt, fetches=0),
    Case("txt-servfail", "unknown", kind="sts-txt-lame.example", fetches=0),
    # The policy (section 3.2).
    *_texts(
        "covers",
        crlf=TEXT.replace("\n", "\r\n"),
        no_last_line_end=TEXT.rstrip(),
        spaces="version:STSv1\nmode:   enforce  \nmx:mx1.{domain}\nmax_age:\t86400\n",
        other_order="max_age: 86400\nmx: mx1.{domain}\nmode: enforce\nversion: STSv1\n",
        unknown_fields="version: STSv1\nmode: enforce\ncolour: blue\nmx: mx1.{domain}\nmax_age: 86400\n",
        second_mode=TEXT + "mode: none\n",
        greatest_age=TEXT.replace("86400", "31557600"),
        more_than_the_greatest_age=TEXT.replace("86400", "99999999"),
        no_age=TEXT.replace("86400", "0"),
        large_letters=TEXT.replace("mx1.{domain}", "MX1.{domain}"),
        wildcard=TEXT.replace("mx1.", "*."),
        many_mx=TEXT.replace("mx: mx1", MANY_MX + "mx: mx1"),
        of_64_kib=FULL,
    ),
    *_texts(
        "none",
        empty="",
        no_version=TEXT.replace("version: STSv1\n", ""),
        other_version=TEXT.replace("STSv1", "STSv2"),
        no_mode=TEXT.replace("mode: enforce\n", ""),
        other_mode=TEXT.replace("enforce", "enforced"),
        no_max_age=TEXT.replace("max_age: 86400\n", ""),
        negative_max_age=TEXT.replace("86400", "-1"),
        max_age_in_words=TEXT.replace("86400", "1 day"),
        no_mx="version: STSv1\nmode: enforce\nmax_age: 86400\n",
        inner_wildcard=TEXT.replace("mx1.", "mx1.*."),
        part_wildcard=TEXT.replace("mx1.", "mx*."),
        bare_wildcard=TEXT.replace("mx1.{domain}", "*"),
        no_colon=TEXT + "something\n",
        html="<html><body>Not here</body></html>\n",
        nul=TEXT + "more: \0\n",
    ),
    Case("policy-testing", "testing", Policy(mode="testing")),
    Case("policy-testing-excludes", "testing", Policy(mode="testing", mx=("mx9.{domain}",))),
    Case("policy-testing-certificate", "testing", Policy(mode="testing"), mx=_with_fault("self-signed")),
    Case("policy-none", "none", Policy(mode="none", mx=())),
    # Which hosts it lists (section 4.1).
    Case("lists-another-host", "excludes", Policy(mx=("mx2.{domain}",))),
    Case("lists-the-domain", "excludes", Policy(mx=("{domain}",))),
    Case("wildcard-one-label-too-high", "excludes", Policy(mx=("*.sts.example",))),
    Case("wildcard-one-label-too-low", "excludes", Policy(mx=("*.mx1.{domain}",))),
    Case("wildcard-is-not-the-name-itself", "excludes", Policy(mx=("*.mx1.{domain}", "{domain}"))),
    # The fetch (section 3.3).
    *_answers(
        "covers",
        ("http-chunked", Answer(PAGE, framing="chunked")),
        ("http-closed-at-the-end", Answer(PAGE, framing="close")),
        ("http-slow", Answer(PAGE, delay=0.7)),
        ("http-byte-by-byte", Answer(PAGE, byte_delay=0.001)),
        ("http-charset", Answer(PAGE, content_type="text/plain; charset=utf-8")),
        ("http-type-in-large", Answer(PAGE, content_type="Text/PLAIN")),
    ),
    *_answers(
        "none",
        ("http-404", Answer(status=404)),
        ("http-410", Answer(status=410)),
        ("http-204", Answer(PAGE, status=204)),
        ("http-401", Answer(PAGE, status=401)),
        ("http-html", Answer(PAGE, content_type="text/html")),
        ("http-octets", Answer(PAGE, content_type="application/octet-stream")),
        ("http-almost-text", Answer(PAGE, content_type="text/plainly")),
        ("http-no-type", Answer(PAGE, content_type=None)),
        ("http-too-large", Answer(PAGE + b"filler: " + b"x" * 70000 + b"\n")),
        ("http-endless", Answer(b"mx: mx1.example\n" * 4096, is_endless=True, framing="chunked")),
    ),
    *(_redirect(status) for status in (301, 302, 307, 308)),
    *_answers(
        "unknown",
        ("http-500", Answer(status=500)),
        ("http-503-with-a-policy", Answer(PAGE, status=503)),
        ("http-cut-in-the-body", Answer(PAGE, cut_at=60)),
        ("http-cut-between-chunks", Answer(PAGE, cut_at=80, framing="chunked")),
        ("http-cut-before-the-body", Answer(PAGE, cut_at=0)),
        ("http-reset", Answer(PAGE, cut_at=60, is_reset=True)),
        ("http-closed-at-once", Answer(raw=b"")),
        ("http-is-none", Answer(raw=b"220 mx.example ESMTP\r\n")),
    ),
    *(Case(f"host-{fault}", "none", certificate=fault, fetches=0) for fault in CERTIFICATE_FAULTS),
    Case("host-wildcard", "covers", prepare=_wildcard_host),
    Case("host-by-alias", "covers", prepare=_host_by_alias),
    Case("host-on-ipv6", "covers", prepare=_host_on_ipv6),
    Case("host-first-address-dead", "covers", prepare=_first_address_dead),
    Case("host-refuses", "unknown", prepare=_host_at(net.DEAD_WEB), fetches=0),
    Case("host-without-address", "none", prepare=_host_at(), fetches=0),
    Case("host-at-a-blocked-address", "none", prepare=_host_at("127.0.0.1"), fetches=0),
    Case("host-address-bogus", "unknown", kind="sts-safe", fetches=0,
         prepare=lambda lab, one: lab.dns.set(one.policy_host, "A", net.WEB[0], is_broken=True)),
    Case("host-resets-the-handshake", "unknown", fetches=0,
         prepare=lambda lab, one: setattr(one.site, "handshake", "reset")),
    # The MX hosts (section 4.2).
    Case("mx-wildcard-certificate", "covers",
         mx=_mx(lambda lab, host: {"certificate": wildcard_certificate(lab, host)})),
    *(Case(f"mx-{fault}", "fails", mx=_with_fault(fault), words=NOT_VALID) for fault in CERTIFICATE_FAULTS),
    Case("mx-named-as-the-domain", "fails", words=NOT_VALID,
         mx=lambda lab, one: Script(certificate=lab.web_certificate(one.name))),
    Case("mx-without-tls", "fails", mx=Script(**NO_TLS), status="5.7.4", words="NOT OFFERED"),
    Case("mx-refuses-tls", "fails", mx=Script(starttls="502 5.5.1 what"), status="5.7.4",
         words="refused to start TLS: 502 5.5.1 what"),
]


_numbers = itertools.count(1)
_senders: dict[tuple[Sealpost, str], Account] = {}


def sender(gateway: Sealpost, level: str, is_stopped: bool = False) -> Account:
    """Somebody with that level; who will be stopped has a mailbox without older notices."""
    if is_stopped:
        return gateway.add_user(guarantee=level)
    if (gateway, level) not in _senders:
        _senders[gateway, level] = gateway.add_user(guarantee=level)
    return _senders[gateway, level]


def expect_sent(gateway: Sealpost, queue_id: str, recipient: str, seconds: float = 10) -> dict[str, str]:
    """Delivered at the first attempt. Only the log is asked: the listings take longer than the mail."""
    event = gateway.wait_for_disposition(queue_id, recipient, "delivered", seconds)
    assert len(gateway.dispositions(queue_id, recipient)) == 1, gateway.dispositions(queue_id, recipient)
    return event


def expect_waiting(gateway: Sealpost, queue_id: str, recipient: str) -> dict[str, str]:
    """Deferred for now; the message is removed."""
    event = gateway.wait_for_disposition(queue_id, recipient, "deferred")
    gateway.ctl("queue", "remove", queue_id)
    assert {event["disposition"] for event in gateway.dispositions(queue_id, recipient)} == {"deferred"}
    return event


def build(lab: Lab, case: Case) -> StsDomain:
    answer = case.answer if case.text is None else Answer(case.text.encode())
    one = sts_domain(lab, case.policy, answer=answer, certificate=case.certificate, txt=case.txt, mx=(), kind=case.kind)
    one.serve(0, case.mx(lab, one) if callable(case.mx) else case.mx.but())
    if case.prepare:
        case.prepare(lab, one)
    return one


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_policy(gateway: Sealpost, lab: Lab, case: Case) -> None:
    one = build(lab, case)
    sent = []
    for level in LEVELS:
        user = sender(gateway, level, is_stopped=case.ends(level) == "held")
        recipient = f"{level or 'off'}@{one.name}"
        sent.append((level, user, recipient, gateway.submit(user, recipient)))
    for level, user, recipient, queue_id in sent:
        expect_end(gateway, one, case, level, user, recipient, queue_id)
    expect_wire(one, case, [recipient for _, _, recipient, _ in sent])
    expect_fetches(one, case)
    expect_told(gateway, one, case)


def expect_end(gateway: Sealpost, one: StsDomain, case: Case, level: str, user: Account, recipient: str,
               queue_id: str) -> None:
    """What became of one message, in log, listings and notice."""
    end = case.ends(level)
    if end == "delivered":
        event = expect_sent(gateway, queue_id, recipient)
        # A name from a secure look-up needs no policy to be verified by the certificate.
        plainly = "pkix" if case.kind == "sts-safe" else "no"
        assert event["verified"] == ("sts" if case.state == "covers" else plainly), event
        assert event["tls"].startswith("TLSv1.") and event["relay"].startswith(one.domain.hosts[0]), event
        assert event["status"].startswith("2.") and event["reply"].startswith("250 "), event
    elif end == "deferred":
        event = expect_waiting(gateway, queue_id, recipient)
        words = f"^Server certificate not verified: the MTA-STS policy of {one.name} could not be learnt: ."
        if case.state == "unknown":
            assert event["status"] == "4.7.5" and re.search(words, event["reply"]), event
        else:
            assert event["status"].startswith("4."), event
    else:
        words = {"none": "no MTA-STS policy applies", "testing": "the MTA-STS policy is in testing mode",
                 "excludes": NOT_LISTED}.get(case.state, case.words)
        if words == "NOT OFFERED":
            words = not_offered(one.domain.hosts[0], one.domain.addresses[0])
        notice = expect_stopped(gateway, user, queue_id, recipient, case.status, words)
        assert one.domain.hosts[0] in notice.text


def expect_wire(one: StsDomain, case: Case, recipients: list[str]) -> None:
    """What was said to the MX host, and what was not."""
    host = one.hosts[0]
    goes = [recipient for level, recipient in zip(LEVELS, recipients) if case.ends(level) == "delivered"]
    assert sorted(address for message in host.messages for address in message.addresses) == sorted(goes)
    expect_nothing_said_in_clear(host)
    for session in host.sessions:
        if session.tls:
            assert session.server_name == one.domain.hosts[0], session.transcript()
        if not goes:
            assert "MAIL" not in session.verbs(), session.transcript()
    assert bool(host.sessions) == (case.state != "excludes"), host.transcript()


def expect_fetches(one: StsDomain, case: Case) -> None:
    """What was asked of the policy host."""
    if case.words == NOT_VALID or case.state == "excludes":
        assert 1 <= len(one.fetches) <= 2  # once more for hosts that do not fit
        return
    want = case.fetches if case.fetches is not None else 0 if case.txt is not None and case.state == "none" else 1
    got = one.fetches
    if case.name == "policy-no-age" or (case.state == "unknown" and want):
        assert got
    else:
        assert len(got) == want, got
    for request in got:
        assert (request.method, request.target, request.host) == ("GET", WELL_KNOWN, one.policy_host)
        assert request.server_name == one.policy_host and request.tls in ("TLSv1.2", "TLSv1.3")
        assert not {"cookie", "authorization", "proxy-connection", "referer"} & set(request.headers)
    assert not one.lab.web.requests_for(f"www.{one.name}"), "a redirect was followed"


def expect_told(gateway: Sealpost, one: StsDomain, case: Case) -> None:
    """What the operator reads. A domain without a record has nothing to be told of."""
    events = gateway.events("sts", domain=one.name)
    states = {event["state"] for event in events}
    if case.state in ("testing", "unknown"):
        assert states == {case.state}, events
    elif case.state != "none":
        assert states == {"enforce"}, events
    elif case.name == "policy-none":
        assert states == {"none"}, events
    else:
        assert states <= {"no policy"} and (states or case.fetches == 0 or case.txt is not None), events
    assert all(event.get("reason") for event in events if event["state"] in ("unknown", "no policy")), events


# Several hosts.

def send(gateway: Sealpost, one: StsDomain, level: str = "on", is_stopped: bool = False, **more
         ) -> tuple[Account, str, str]:
    """One message to that domain: the user, the recipient, the queue ID."""
    user = sender(gateway, level, is_stopped)
    recipient = f"bob{next(_numbers)}@{one.name}"
    return user, recipient, gateway.submit(user, recipient, **more)


def deliver(gateway: Sealpost, one: StsDomain, level: str = "verified", verified: str = "sts", **more) -> dict[str, str]:
    _, recipient, queue_id = send(gateway, one, level, **more)
    event = expect_sent(gateway, queue_id, recipient)
    assert event["verified"] == verified, event
    return event


def stop(gateway: Sealpost, one: StsDomain, words: str, level: str = "on", status: str = "5.7.5") -> str:
    user, recipient, queue_id = send(gateway, one, level, is_stopped=True)
    expect_stopped(gateway, user, queue_id, recipient, status, words)
    return queue_id


def test_a_host_that_is_not_listed_is_passed_over(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mx=("mx2.{domain}",)), mx=[Script(), Script()])
    event = deliver(gateway, one)
    assert event["relay"].startswith(one.domain.hosts[1])
    assert not one.hosts[0].sessions and len(one.hosts[1].messages) == 1


def test_a_host_with_a_wrong_certificate_is_passed_over(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, mx=[Script(certificate=lab.certificate("other")), Script()])
    event = deliver(gateway, one, level="")
    assert event["relay"].startswith(one.domain.hosts[1])
    assert not one.hosts[0].messages and "MAIL" not in one.hosts[0].sessions[0].verbs()


def test_a_better_host_that_is_not_listed_and_a_worse_one_that_is_down_stop(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mx=("mx2.{domain}",)))
    stop(gateway, one, NOT_LISTED)
    assert not one.hosts[0].sessions


def test_a_listed_host_that_is_down_defers_though_a_worse_one_is_not_listed(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mx=("mx1.{domain}",)), mx=[Script(), Script()])
    one.hosts[0].stop()
    _, recipient, queue_id = send(gateway, one)
    expect_waiting(gateway, queue_id, recipient)
    assert not one.hosts[1].sessions


def test_454_of_a_listed_host_is_passing_trouble(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, mx=[Script(**TLS_454)])
    for level in ("", "on"):
        _, recipient, queue_id = send(gateway, one, level)
        expect_waiting(gateway, queue_id, recipient)
    assert not one.messages
    expect_nothing_said_in_clear(*one.hosts)


def test_a_testing_policy_asks_for_no_tls(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mode="testing"), mx=[Script(**NO_TLS)])
    event = deliver(gateway, one, level="", verified="no")
    assert event.get("tls", "") in ("", "none", "-", "no"), event
    stop(gateway, one, not_offered(one.domain.hosts[0], one.domain.addresses[0]), status="5.7.4")


# DANE and MTA-STS at one host: DANE first.

def test_dane_counts_where_the_policy_does_not_list_the_host(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mx=("mx9.{domain}",)), kind="sts-dane")
    for level in LEVELS:
        deliver(gateway, one, level, "dane")


def test_a_certificate_that_matches_dane_needs_no_authority(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, kind="sts-dane")
    deliver(gateway, one, "verified", "dane")


def test_the_policy_does_not_make_good_a_dane_mismatch(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, kind="sts-dane", mx=())
    one.serve(0, Script(certificate=lab.web_certificate(one.domain.hosts[0])))
    stop(gateway, one, "no TLSA record matches")
    _, recipient, queue_id = send(gateway, one, "")
    expect_waiting(gateway, queue_id, recipient)
    assert not one.messages


def test_the_policy_does_not_make_good_a_failed_tlsa_look_up(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, kind="sts-dane", mx=())
    lab.dns.set(f"_25._tcp.{one.domain.hosts[0]}", "TLSA", lab.certificate("pool").tlsa(3, 1, 1), is_broken=True)
    one.serve(0, Script(certificate=lab.web_certificate(one.domain.hosts[0])))
    lab.dns.set(one.name, "MX", f"10 {one.domain.hosts[0]}.")
    _, recipient, queue_id = send(gateway, one)
    found = expect_waiting(gateway, queue_id, recipient)
    assert "TLSA lookup error" in found["reply"], found
    assert not one.hosts[0].sessions


def test_each_host_is_judged_by_what_it_has(gateway: Sealpost, lab: Lab) -> None:
    """The first publishes TLSA that does not match; the second has none and is listed."""
    one = sts_domain(lab, kind="sts-dane", mx=())
    lab.dns.set(f"_25._tcp.{one.domain.hosts[1]}", "TLSA")
    for index in (0, 1):
        one.serve(index, Script(certificate=lab.web_certificate(one.domain.hosts[index])))
    event = deliver(gateway, one)
    assert event["relay"].startswith(one.domain.hosts[1]) and not one.hosts[0].messages


def test_unusable_tlsa_leaves_the_host_to_the_policy(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, kind="sts-dane", mx=())
    host = one.domain.hosts[0]
    lab.dns.set(f"_25._tcp.{host}", "TLSA", "1 1 1 " + "ab" * 32)
    one.serve(0, Script(certificate=lab.web_certificate(host)))
    deliver(gateway, one)
    one.serve(0, Script(certificate=lab.certificate("other")))
    lab.dns.set(one.name, "MX", f"10 {host}.")
    time.sleep(1.1)  # until the look-up of the MX hosts has run out
    stop(gateway, one, NOT_VALID)


def test_a_match_behind_an_insecure_look_up_is_verified_where_the_policy_lists_the_host(
        gateway: Sealpost, lab: Lab) -> None:
    signed = lab.fresh("sts-dane")
    one = sts_domain(lab, Policy(mx=(signed.hosts[0],)), mx=())
    lab.dns.set(one.name, "MX", f"10 {signed.hosts[0]}.")
    lab.rogue(signed.addresses[0], host=signed.hosts[0])
    deliver(gateway, one, "on", "dane")
    deliver(gateway, one, "verified", "dane")


def test_a_forged_mx_with_tlsa_records_of_its_own_gets_no_mail(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(gateway, one, "on", "sts")
    forger = lab.fresh("sts-dane")
    time.sleep(LAST_LOOK_IS_OLD)
    lab.dns.set(one.name, "MX", f"5 {forger.hosts[0]}.")  # the zone is not signed
    rogue = lab.rogue(forger.addresses[0], host=forger.hosts[0])
    time.sleep(LAST_LOOK_IS_OLD)
    for level in ("on", "verified"):
        stop(gateway, one, f"host {forger.hosts[0]}.* is not in the MTA-STS policy of", level)
    assert not rogue.sessions


# What is remembered, and when it is learnt anew.

def test_a_policy_is_fetched_once(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    for level in ("", "on", "verified", "on"):
        deliver(gateway, one, level)
    assert len(one.fetches) == 1


def test_many_who_ask_at_once_share_one_fetch(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    one.publish(answer=Answer(Policy().text(one.name), delay=1))
    sent = [send(gateway, one, "verified") for _ in range(6)]
    for _, recipient, queue_id in sent:
        assert expect_sent(gateway, queue_id, recipient)["verified"] == "sts"
    assert len(one.fetches) == 1 and len(one.messages) == 6


def test_a_fetch_under_way_delays_that_destination_alone(gateway: Sealpost, lab: Lab) -> None:
    slow, quick = sts_domain(lab), sts_domain(lab)
    slow.publish(answer=Answer(Policy().text(slow.name), delay=4))
    _, recipient, queue_id = send(gateway, slow, "verified")
    slow_handshakes = wait_until(lambda: lab.web.handshakes_for(slow.policy_host), 5, "the slow fetch to begin")
    deliver(gateway, quick)
    plain = lab.fresh("one")
    lab.rogue(plain.addresses[0])
    user = gateway.add_user()
    expect_sent(gateway, gateway.submit(user, f"bob@{plain.name}"), f"bob@{plain.name}", seconds=3)
    assert not slow.hosts[0].sessions, "nothing is sent before the policy is known"
    assert expect_sent(gateway, queue_id, recipient)["verified"] == "sts" and len(slow_handshakes) == 1


def test_a_policy_outlives_its_announcement(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(gateway, one)
    one.announce()
    one.publish(answer=Answer(status=404))
    one.serve(0, Script(**NO_TLS))
    time.sleep(LAST_LOOK_IS_OLD)
    for _ in range(2):
        stop(gateway, one, not_offered(one.domain.hosts[0], one.domain.addresses[0]), "verified", "5.7.4")
    _, recipient, queue_id = send(gateway, one, "")
    expect_waiting(gateway, queue_id, recipient)
    assert not one.hosts[0].messages


def test_a_policy_outlives_a_bogus_announcement(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, kind="sts-safe")
    deliver(gateway, one)
    _break_txt(lab, one)
    time.sleep(LAST_LOOK_IS_OLD)
    deliver(gateway, one)
    one.serve(0, Script(certificate=lab.certificate("other")))
    lab.dns.set(one.name, "MX", f"10 {one.domain.hosts[0]}.")
    time.sleep(LAST_LOOK_IS_OLD)
    stop(gateway, one, NOT_VALID)


def test_a_policy_outlives_a_restart(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    one = sts_domain(lab)
    deliver(gateway, one)
    gateway.stop()
    one.announce()
    one.publish(answer=Answer(status=500))
    one.serve(0, Script(certificate=lab.certificate("other")))
    gateway.start()
    stop(gateway, one, NOT_VALID)
    one.serve(0, Script())
    deliver(gateway, one)


def test_a_policy_outlives_a_kill(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    one = sts_domain(lab)
    deliver(gateway, one)
    gateway.kill()
    one.announce()
    one.publish(answer=Answer(status=404))
    gateway.start()
    deliver(gateway, one)


@pytest.fixture
def clocked(make_gateway) -> Sealpost:
    """A gateway whose clock is ours. Its messages live through the hours that are skipped."""
    return make_gateway(Settings({"retry": {"lifetime": "10d", "warn_after": "9d"}, "guarantee": {"patience": "1d"}},
                                 has_own_clock=True))


def test_an_announced_change_is_noticed_within_the_hour(clocked: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(clocked, one)
    one.publish(Policy(mode="none", mx=()), id="2")
    deliver(clocked, one)
    clocked.set_clock(1.1)
    deliver(clocked, one)  # what is cached answers; the look runs behind it
    lab.web.wait_for_request(one.policy_host, 2)
    wait_until(lambda: clocked.events("sts", domain=one.name, state="none"), 5, "the new policy")
    clocked.set_clock(1.2)  # delivery remembers what it was told for a minute
    deliver(clocked, one, "on", "no")
    assert len(one.fetches) == 2


def test_a_change_that_is_not_announced_is_not_looked_for(clocked: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(clocked, one)
    one.publish(Policy(mode="none", mx=()))
    clocked.set_clock(1.1)
    deliver(clocked, one)
    time.sleep(0.5)
    deliver(clocked, one)
    assert len(one.fetches) == 1


def move(lab: Lab, one: StsDomain, script: Script | None = None) -> None:
    """The domain's mail moves to a host that its policy does not know."""
    address = one.domain.addresses[0].rsplit(".", 1)[0] + ".9"
    lab.dns.set(f"mx9.{one.name}", "A", address)
    lab.dns.set(one.name, "MX", f"10 mx9.{one.name}.")
    script = script or Script()
    script.certificate = script.certificate or lab.web_certificate(f"mx9.{one.name}")
    one.hosts.append(lab.rogue(address, script, f"mx9.{one.name}"))
    time.sleep(LAST_LOOK_IS_OLD)


def test_a_host_that_the_cached_policy_does_not_list_has_it_fetched_anew(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(gateway, one)
    one.publish(Policy(mx=("mx9.{domain}",)), id="2")
    move(lab, one)
    event = deliver(gateway, one)
    assert event["relay"].startswith(f"mx9.{one.name}") and len(one.fetches) == 2


def test_it_is_fetched_anew_once(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(gateway, one)
    one.announce('"v=STSv1; id=2;"')
    move(lab, one)
    for _ in range(2):
        stop(gateway, one, "host mx9.* is not in the MTA-STS policy of")
    assert len(one.fetches) == 2 and not one.hosts[-1].sessions


def test_a_certificate_that_no_longer_fits_has_it_fetched_anew(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(gateway, one)
    one.publish(Policy(mode="none", mx=()), id="2")
    one.serve(0, Script(certificate=lab.certificate("other")))
    time.sleep(LAST_LOOK_IS_OLD)
    deliver(gateway, one, "on", "no")
    assert len(one.fetches) == 2


@pytest.mark.parametrize("answer", [
    Answer(status=500), Answer(status=404), Answer(b"version: STSv1\nmode: none\n"), Answer(PAGE, cut_at=50),
    Answer(b"<html>", content_type="text/html"),
], ids=["500", "404", "no-policy", "cut", "html"])
def test_a_fetch_that_fails_leaves_the_cached_policy_in_force(gateway: Sealpost, lab: Lab, answer: Answer) -> None:
    one = sts_domain(lab)
    deliver(gateway, one)
    one.publish(answer=answer, id="2")
    move(lab, one)
    stop(gateway, one, "host mx9.* is not in the MTA-STS policy of")
    assert len(one.fetches) == 2


def test_a_new_none_replaces_the_cached_policy(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(gateway, one)
    one.publish(Policy(mode="none", mx=()), id="2")
    move(lab, one, Script(certificate=lab.certificate("other")))
    deliver(gateway, one, "on", "no")
    stop(gateway, one, "no MTA-STS policy applies", "verified")


def test_a_new_testing_policy_replaces_the_cached_one(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab)
    deliver(gateway, one)
    one.publish(Policy(mode="testing"), id="2")
    move(lab, one, Script(**NO_TLS))
    deliver(gateway, one, "", "no")
    stop(gateway, one, not_offered(f"mx9.{one.name}", one.hosts[-1].address), status="5.7.4")


def test_a_policy_is_over_at_its_max_age(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(max_age=3))
    deliver(gateway, one)
    one.announce()
    one.publish(answer=Answer(status=404))
    time.sleep(3.5)
    deliver(gateway, one, "on", "no")
    stop(gateway, one, "no MTA-STS policy applies", "verified")


def test_a_policy_in_use_is_refreshed_ahead_of_its_end(clocked: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(max_age=50 * 3600))
    deliver(clocked, one)
    clocked.set_clock(31)
    deliver(clocked, one)
    lab.web.wait_for_request(one.policy_host, 2)
    wait_until(lambda: len(clocked.events("sts", domain=one.name, state="enforce")) == 2, 5, "the policy")
    one.announce()
    one.publish(answer=Answer(status=404))
    clocked.set_clock(55)
    deliver(clocked, one)


def test_a_policy_that_nobody_asks_for_is_refreshed_too(clocked: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(max_age=50 * 3600))
    deliver(clocked, one)
    clocked.stop()
    clocked.set_clock(31)
    clocked.start()
    lab.web.wait_for_request(one.policy_host, 2)


def test_a_refresh_that_fails_leaves_the_policy_until_its_end(clocked: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(max_age=50 * 3600))
    deliver(clocked, one)
    one.publish(answer=Answer(status=500))
    for hours in (31, 40, 49):
        clocked.set_clock(hours)
        deliver(clocked, one)
    lab.web.wait_for_request(one.policy_host, 2)
    clocked.set_clock(51)
    deliver(clocked, one, "on", "no")


def test_what_may_pass_passes(clocked: Sealpost, lab: Lab) -> None:
    """Level verified waits for a policy host that is down, and goes when it is back."""
    one = sts_domain(lab, answer=Answer(status=503))
    _, recipient, queue_id = send(clocked, one, "verified")
    clocked.wait_until_deferred(queue_id, recipient)
    assert not one.messages
    one.publish(Policy())
    clocked.set_clock(0.05)
    assert clocked.wait_for_disposition(queue_id, recipient, "delivered")["verified"] == "sts"


def test_a_txt_server_that_never_answers_is_given_its_time(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, kind="sts-txt-silent.example")
    sent = [send(gateway, one, level) for level in ("on", "verified")]
    assert expect_sent(gateway, sent[0][2], sent[0][1], seconds=40)["verified"] == "no"
    expect_waiting(gateway, sent[1][2], sent[1][1])
    assert not one.fetches and len(one.messages) == 1


def test_what_does_not_pass_within_the_patience_stops(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, answer=Answer(status=500))
    user, recipient, queue_id = send(gateway, one, "verified", is_stopped=True)
    gateway.wait_until_deferred(queue_id, recipient)
    expect_stopped(gateway, user, queue_id, recipient, "5.7.5", "could not be learnt", seconds=12)
    assert not one.messages


def test_what_starttls_shows_goes_before_a_policy_that_is_unknown(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, answer=Answer(status=500), mx=[Script(**NO_TLS)])
    stop(gateway, one, not_offered(one.domain.hosts[0], one.domain.addresses[0]), "verified", "5.7.4")


# Who may go against it.

def test_tls_required_no_lifts_it(gateway: Sealpost, lab: Lab) -> None:
    for mx, policy in ((Script(), Policy(mx=("mx9.{domain}",))), (Script(**NO_TLS), Policy())):
        one = sts_domain(lab, policy, mx=[mx])
        deliver(gateway, one, "on", "no", headers={"TLS-Required": "No"})
        assert len(one.messages) == 1


def test_release_needs_force_against_it(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mx=("mx9.{domain}",)))
    queue_id = stop(gateway, one, NOT_LISTED)
    refused = gateway.ctl("release", queue_id, check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr, refused
    assert not one.hosts[0].sessions
    gateway.ctl("release", queue_id, "--force")
    one.hosts[0].wait_for_message()


def test_policy_verify_is_met_by_a_listed_host(make_gateway, lab: Lab) -> None:
    listed, unlisted = sts_domain(lab), sts_domain(lab, answer=Answer(status=404))
    gateway = make_gateway(Settings(policies={listed.name: "verify", unlisted.name: "verify"}))
    deliver(gateway, listed, "", "sts")
    user, recipient, queue_id = send(gateway, unlisted, "", is_stopped=True)
    expect_stopped(gateway, user, queue_id, recipient, "5.7.5", "")
    assert not unlisted.messages


@pytest.mark.skipif(not os.environ.get("SYSTEM_TEST_LONG"), reason="takes more than a minute: SYSTEM_TEST_LONG=1")
def test_a_policy_host_that_never_answers_is_given_a_minute(gateway: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, answer=Answer(is_silent=True))
    _, recipient, queue_id = send(gateway, one, "on")
    lab.web.wait_for_request(one.policy_host)
    begin = time.monotonic()
    assert expect_sent(gateway, queue_id, recipient, seconds=70)["verified"] == "no"
    assert 50 < time.monotonic() - begin < 66
