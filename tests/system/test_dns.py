"""What the resolver finds (gateway/dns), asked through dns_probe on real signed zones."""

import subprocess
from collections.abc import Callable

import pytest

from lab import net
from lab.laboratory import Lab
from lab.sealpost import BUILD
from lab.world import DANE_CASES, LISTENERS, DaneCase

EE = LISTENERS["ee"]
Answer = dict[str, str]


def probe(lab: Lab, *questions: str, options: tuple[str, ...] = (), anchor: str | None = None,
          config: str | None = None) -> tuple[dict[str, Answer], str]:
    """The answers by question, and the events."""
    command = [str(BUILD / "tests" / "dns_probe"), "-a", anchor or str(lab.dns.trust_anchor),
               "-c", str(lab.dns.unbound_config) if config is None else config, *options]
    answers: dict[str, Answer] = {}
    events = ""
    for begin in range(0, len(questions), 64):
        result = subprocess.run(command + list(questions[begin:begin + 64]), capture_output=True,
                                text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        events += result.stderr
        for line in result.stdout.splitlines():
            answer = dict(field.split("=", 1) for field in line.split("\t"))
            answers[answer["question"]] = answer
    assert set(answers) == set(questions)
    return answers, events


MX = {
    "tls-signed.example": {"status": "data", "security": "secure", "hosts": "10:mx.tls-signed.example"},
    "tls.example": {"status": "data", "security": "insecure", "hosts": "10:mx.tls.example"},
    "blocked-first.example": {
        "status": "data", "hosts": "10:loop.blocked-first.example,20:mx.blocked-first.example"},
    "null-mx.example": {"status": "data", "security": "secure", "hosts": "", "null": "1"},
    "null-mx-unsigned.example": {"status": "data", "security": "insecure", "hosts": "", "null": "1"},
    "implicit-mx.example": {
        "status": "nodata", "security": "secure", "implicit": "1", "hosts": "0:implicit-mx.example"},
    "implicit.example": {"status": "nodata", "security": "insecure", "implicit": "1"},
    "nothing.example": {"status": "nodata", "security": "secure", "implicit": "1"},
    # below an NSEC3 zone with opt-out nobody can prove that a name is missing
    "missing.example": {"status": "nxdomain", "security": "insecure", "hosts": ""},
    "missing.org": {"status": "nxdomain", "security": "secure", "hosts": ""},
    "missing-top-level": {"status": "nxdomain", "security": "secure"},
    "mx-bogus.example": {"status": "bogus", "hosts": ""},
    "mx-expired.example": {"status": "bogus", "hosts": ""},
    "mx-servfail.example": {"status": "failed", "hosts": ""},
    "www.aliases.example": {"status": "data", "security": "insecure", "hosts": "10:mx.aliases.example"},
    "loop.aliases.example": {"status": "failed"},
    "a" * 64 + ".example": {"status": "nxdomain", "detail": ""},
}

HOSTS = {
    "mx.tls-signed.example": {"status": "data", "security": "secure", "addresses": EE, "tlsa": "none"},
    "mx.dual.example": {
        "status": "data", "security": "insecure", "addresses": f"2001:db8:100::10,{EE}", "tlsa": "none"},
    "mx.v6.example": {"status": "data", "addresses": "2001:db8:100::10"},
    "mx.mx-no-address.example": {"status": "nodata", "addresses": ""},
    "mx.mx-missing.example": {"status": "nxdomain", "addresses": ""},
    "mx.mx-bogus.example": {"status": "bogus", "addresses": ""},
    "mx.mx-servfail.example": {"status": "failed", "addresses": ""},
    # one family bogus, the other good and secure
    "mx.aaaa-denial-bogus.example": {
        "status": "data", "security": "secure", "addresses": EE, "tlsa": "usable"},
    "mx.tlsa-insecure.example": {"status": "data", "security": "insecure", "insecure_tlsa": "0"},
    "mx.tlsa-subzone-insecure.example": {"security": "secure", "tlsa": "none", "insecure_tlsa": "1"},
    "mx.alias-expanded.example": {"tlsa": "usable", "base": "real.alias-expanded.example"},
    "mx.alias-unexpanded.example": {"tlsa": "usable", "base": "mx.alias-unexpanded.example"},
    "mx.alias-expanded-first.example": {"tlsa": "usable", "base": "real.alias-expanded-first.example"},
    "mx.alias-to-insecure.example": {
        "security": "insecure", "tlsa": "usable", "base": "mx.alias-to-insecure.example"},
    "mx.alias-to-insecure-tlsa-there.example": {"security": "insecure", "tlsa": "none"},
    "alias-to-ee.unsigned.example": {"security": "insecure", "tlsa": "none"},
    "tlsa.unsigned.example": {"security": "insecure", "tlsa": "none"},
    "mx.tlsa-alias.example": {"tlsa": "usable", "base": "mx.tlsa-alias.example"},
    "implicit-mx.example": {"security": "secure", "tlsa": "usable", "base": "implicit-mx.example"},
    "mx.usage1.example": {"tlsa": "unusable", "records": ""},
    "loop.aliases.example": {"status": "failed"},
}


@pytest.fixture(scope="module")
def found(world: Lab) -> dict[str, Answer]:
    """All the tables at once, as on a busy gateway."""
    answers, events = probe(world, *(f"mx:{name}" for name in MX), *(f"host:{name}" for name in HOSTS),
                            *(f"mx:{case.domain}" for case in DANE_CASES))
    hosts = {_only_host(answers[f"mx:{case.domain}"]) for case in DANE_CASES}
    missing = sorted(f"host:{host}" for host in hosts if f"host:{host}" not in answers)
    more, more_events = probe(world, *missing)
    assert events + more_events == ""
    return {**answers, **more}


def _only_host(mx: Answer) -> str:
    return mx["hosts"].split(",")[0].split(":")[1]


@pytest.mark.parametrize("name", MX, ids=lambda name: name[:40])
def test_mail_hosts_of_a_domain(found: dict[str, Answer], name: str) -> None:
    answer = found[f"mx:{name}"]
    assert {**answer, **MX[name]} == answer


@pytest.mark.parametrize("name", HOSTS)
def test_addresses_and_tlsa_of_a_host(found: dict[str, Answer], name: str) -> None:
    answer = found[f"host:{name}"]
    assert {**answer, **HOSTS[name]} == answer


@pytest.mark.parametrize("case", DANE_CASES, ids=lambda case: case.name)
def test_tlsa_of_every_dane_case(found: dict[str, Answer], case: DaneCase) -> None:
    """The lab's table says what a sender must conclude; here is what it must have learnt for that."""
    host = found[f"host:{_only_host(found[f'mx:{case.domain}'])}"]
    wants = {"verified": "usable", "matched": "usable", "mismatch": "usable", "encrypted": "unusable",
             "none": "none", "unknown": "error", "not-offered": host["tlsa"]}
    assert host["status"] == "data"
    assert host["tlsa"] == wants[case.want], host
    assert (host["tlsa_detail"] != "") == (host["tlsa"] == "error")


def test_the_strongest_digest_alone_counts(found: dict[str, Answer]) -> None:
    assert [r.split(":")[0] for r in found["host:mx.agility-weak-match.example"]["records"].split(",")] == ["312"]
    assert len(found["host:mx.mix-two-keys.example"]["records"].split(",")) == 2
    assert found["host:mx.mix-unusable-match.example"]["records"].startswith("311:")


def test_a_failure_says_which_question_and_why(found: dict[str, Answer]) -> None:
    assert found["mx:mx-servfail.example"]["detail"] == "MX look-up of mx-servfail.example: SERVFAIL"
    assert found["mx:mx-bogus.example"]["detail"].startswith(
        "MX look-up of mx-bogus.example: validation failure")
    assert found["host:mx.tlsa-servfail.example"]["tlsa_detail"] == (
        "TLSA look-up of _25._tcp.mx.tlsa-servfail.example: SERVFAIL")


def test_an_answer_lives_as_long_as_its_shortest_record(found: dict[str, Answer]) -> None:
    assert 3500 <= int(found["mx:tls-signed.example"]["ttl"]) <= 3600
    # the denial of AAAA and TLSA, 60 seconds by the zone's SOA
    assert 30 <= int(found["host:mx.tls-signed.example"]["ttl"]) <= 60


def test_one_ip_version_finds_the_addresses_of_that_family(lab: Lab) -> None:
    four, _ = probe(lab, "host:mx.dual.example", options=("-v", "4"))
    six, _ = probe(lab, "host:mx.dual.example", options=("-v", "6"))
    assert four["host:mx.dual.example"]["addresses"] == EE
    assert six["host:mx.dual.example"]["addresses"] == "2001:db8:100::10"


def test_tlsa_is_asked_at_the_port_of_the_route(lab: Lab) -> None:
    answers, _ = probe(lab, "host:mx.tlsa-311.example", options=("-p", "587"))
    assert answers["host:mx.tlsa-311.example"]["tlsa"] == "none"


def test_a_resolver_to_forward_to_may_be_on_loopback(lab: Lab) -> None:
    answers, events = probe(lab, "mx:tls-signed.example", "mx:mx-bogus.example", "mx:mx-servfail.example",
                            "host:mx.tlsa-311.example", options=("-r", f"{net.RESOLVER}@53"), config="")
    assert answers["mx:tls-signed.example"]["security"] == "secure"
    assert answers["host:mx.tlsa-311.example"]["tlsa"] == "usable"
    assert answers["mx:mx-servfail.example"]["status"] == "failed"
    assert answers["mx:mx-bogus.example"]["status"] in ("bogus", "failed")
    assert events == ""


def test_a_question_is_given_up_after_twenty_seconds(lab: Lab) -> None:
    """Of itself libunbound ends its tries at one silent server a little earlier; many take it minutes."""
    patient = lab.directory / "patient.conf"
    patient.write_text(lab.dns.unbound_config.read_text() + "    unknown-server-time-limit: 40000\n")
    answers, events = probe(lab, "mx:mx-silent.example", "mx:tls.example", config=str(patient))
    silent = answers["mx:mx-silent.example"]
    assert silent["status"] == "failed"
    assert silent["detail"] == "MX look-up of mx-silent.example: no answer within 20 s"
    assert 19000 <= int(silent["took_ms"]) <= 22000
    assert answers["mx:tls.example"]["status"] == "data"
    assert int(answers["mx:tls.example"]["took_ms"]) < 5000
    assert events == ""


QUESTIONS = ("mx:tls-signed.example", "mx:mx-servfail.example", "mx:mx-bogus.example", "host:mx.tls.example")


def _wrong_anchor(lab: Lab) -> str:
    """A key of nobody in place of the root's."""
    text = lab.dns.trust_anchor.read_text().split()
    text[-1] = "00" * (len(text[-1]) // 2)
    path = lab.directory / "wrong-root.key"
    path.write_text(" ".join(text) + "\n")
    return str(path)


def _anchor_below_the_root(lab: Lab) -> str:
    """A key, but none for the root: every answer is insecure."""
    path = lab.directory / "other-root.key"
    path.write_text(lab.dns.trust_anchor.read_text().replace(". IN", "other.invalid. IN", 1))
    return str(path)


@pytest.mark.parametrize("fault, reason", [
    (lambda lab: {"options": ("-r", f"{net.LAME_DNS}@53"), "config": ""}, "no answer from the root: "),
    (lambda lab: {"options": ("-r", "192.0.2.200@53"), "config": ""}, "no answer from the root: "),
    (lambda lab: {"anchor": _wrong_anchor(lab)}, "the root's answer is bogus: "),
], ids=["refused", "nobody-there", "wrong-trust-anchor"])
def test_trouble_of_our_own_is_never_the_destinations(
        lab: Lab, fault: Callable[[Lab], dict], reason: str) -> None:
    answers, events = probe(lab, *QUESTIONS, **fault(lab))
    assert {answer["status"] for answer in answers.values()} == {"our-fault"}
    assert reason in answers["mx:tls-signed.example"]["detail"]
    # The operator hears of it once, not once per question.
    assert events.count("event=resolver") == 1
    assert reason in events


def test_a_root_without_a_trust_anchor_is_told_at_start(lab: Lab) -> None:
    answers, events = probe(lab, "mx:tls-signed.example", "mx:mx-servfail.example",
                            anchor=_anchor_below_the_root(lab))
    assert answers["mx:tls-signed.example"]["security"] == "insecure"
    assert answers["mx:mx-servfail.example"]["status"] == "our-fault"
    assert "no trust anchor for the root" in events


@pytest.mark.parametrize("options, is_our_fault", [
    (("-s", "tls-signed.example", "-b", "mx-bogus.example"), False),
    (("-s", "mx-expired.example"), True),
    (("-s", "tls.example", "-b", "tls-signed.example"), True),
    (("-s", "tls.example", "-b", "tls.example"), True),
    # these prove nothing
    (("-s", "tls-signed.example", "-b", "tls-signed.example"), False),
    (("-s", "tls-signed.example", "-b", "tls.example"), False),
    (("-b", "tls.example"), False),
    (("-s", "missing.org", "-b", "mx-servfail.example"), False),
    (("-s", "tls.example"), False),
], ids=["passed", "signed-is-bogus", "signed-is-not-and-bogus-is-secure", "both-are-insecure", "bogus-is-secure",
        "bogus-is-insecure", "bogus-is-insecure-alone", "no-answer", "signed-is-not"])
def test_nobody_is_blamed_while_the_self_test_fails(
        lab: Lab, options: tuple[str, ...], is_our_fault: bool) -> None:
    answers, events = probe(lab, "mx:mx-bogus.example", "mx:mx-servfail.example", "mx:tls-signed.example",
                            options=(*options, "-w", "1500"))
    blamed = [answers[f"mx:{name}.example"]["status"] for name in ("mx-bogus", "mx-servfail")]
    assert blamed == (["our-fault", "our-fault"] if is_our_fault else ["bogus", "failed"])
    assert answers["mx:tls-signed.example"]["status"] == "data"
    if is_our_fault:
        assert "self-test: expected a" in answers["mx:mx-bogus.example"]["detail"]
        assert "state=failing" in events
