"""sealpostctl check: what it says of every kind of host, beside what delivery does and what posttls-finger says.

Whole tables are gone through at one go: probes wait for hosts, not for us.
"""

import re
import signal
from subprocess import PIPE, Popen

import pytest

from lab.answers import all_of, check
from lab.finger import finger
from lab.https import Answer
from lab.laboratory import Lab
from lab.process import wait_until
from lab.rogue_mx import SILENCE, RogueMx, Script
from lab.scenes import NO_TLS, TLS_454
from lab.sealpost import BUILD, Account, Sealpost, Settings
from lab.sts import Policy, sts_domain
from lab.world import DANE_CASES, DEAD_ADDRESS, LISTENERS, DaneCase
from test_guarantee import FACTS, HOSTS, OLD_TLS

# What delivery does where check says so; a 5xx of the destination fails, a stop holds.
ENDS = {"deliverable": {"delivered"}, "refused": {"held", "failed"}, "unknown": {"deferred"}}


def first_end(gateway: Sealpost, user: Account, recipient: str) -> str:
    """Sends one message; what its first attempt came to."""
    queue_id = gateway.submit(user, recipient)
    events = wait_until(lambda: gateway.dispositions(queue_id, recipient), 40, f"a disposition of {recipient}")
    if events[0]["disposition"] == "deferred":
        gateway.ctl("queue", "remove", queue_id, check=False)
    return events[0]["disposition"]


def recipient_at(user: Account, domain: str) -> str:
    return f"{user.address.split('@')[0]}-check@{domain}"


def disagreements(gateway: Sealpost, checks: dict[str, dict], guarantee: str = "on") -> dict[str, tuple]:
    """Domains of which check says something else than what delivery does for a guaranteed sender."""
    user = gateway.add_user(guarantee=guarantee)
    ends = dict(zip(checks, all_of(lambda domain: first_end(gateway, user, recipient_at(user, domain)), checks)))
    return {domain: (found["verdict"], ends[domain], found["reason"]) for domain, found in checks.items()
            if ends[domain] not in ENDS[found["verdict"]]}


# Every TLSA case.

DANE_WANT = {
    "verified": ("deliverable", "dane", "usable"), "matched": ("deliverable", "encrypt", "usable"),
    "encrypted": ("deliverable", "encrypt", "unusable"), "none": ("deliverable", "encrypt", "none"),
    "mismatch": ("refused", "encrypt", "usable"), "not-offered": ("refused", "none", "usable unusable"),
    "unknown": ("unknown", "none", "error"),
}
# Records that are there and signed by nobody; at a host that is not secure itself nobody asks for any.
INSECURE_RECORDS = ("tlsa-subzone-insecure",)
FINGER_WANT = {"verified": "verified", "mismatch": "mismatch", "not-offered": "not-offered", "unknown": "unknown"}


def dane_problem(case: DaneCase, found: dict, opinion: str) -> object:
    verdict, level, tlsa = DANE_WANT[case.want]
    if case.name in INSECURE_RECORDS:
        tlsa = "insecure"
    host = found["hosts"][0]
    is_right = (found["verdict"] == verdict and found["level"] in (level, "verify" if level == "encrypt" else level)
                and host["tlsa"] in tlsa.split() and (host["verified"] == "dane") == (case.want == "verified")
                and opinion == FINGER_WANT.get(case.want, opinion) and (opinion == "verified") == (level == "dane"))
    return None if is_right else (case.want, found, opinion)


def test_every_dane_case_is_the_tables_delivery_s_and_posttls_fingers(gateway: Sealpost, lab: Lab) -> None:
    found = all_of(lambda case: check(gateway, case.domain), DANE_CASES)
    opinions = all_of(lambda case: finger(lab, case.domain)[0], DANE_CASES)
    wrong = {case.name: dane_problem(case, *rest) for case, *rest in zip(DANE_CASES, found, opinions)}
    assert not {name: problem for name, problem in wrong.items() if problem}
    checks = {case.domain: result for case, result in zip(DANE_CASES, found)}
    assert not disagreements(gateway, checks)


def test_every_dane_case_at_level_verified(gateway: Sealpost) -> None:
    found = all_of(lambda case: check(gateway, case.domain, "--level", "verified"), DANE_CASES)
    wrong = {case.name: (case.want, result) for case, result in zip(DANE_CASES, found)
             if (result["verdict"] == "deliverable") != (case.want == "verified")
             or (result["verdict"] == "unknown") != (case.want == "unknown")}
    assert not wrong
    assert not disagreements(gateway, {case.domain: result for case, result in zip(DANE_CASES, found)}, "verified")


# What one host and several hosts show: the tables of test_guarantee.py.

LATE = {"mail", "rcpt", "data", "data_end", "ehlo_tls"}  # steps behind acceptable TLS, which a check does not judge
WANT = {"deliver": "deliverable", "fail": "deliverable", "stop": "refused", "defer": "unknown", "patience": "unknown",
        "defer-long": "unknown"}


def table_problems(gateway: Sealpost, rows: list[tuple]) -> dict[str, tuple]:
    """Rows are name, domain, verdict wanted, does delivery come to the same?"""
    found = dict(zip((name for name, *_ in rows), all_of(lambda row: check(gateway, row[1]), rows)))
    wrong = {name: found[name] for name, _, want, _ in rows if found[name]["verdict"] != want}
    wrong |= disagreements(gateway, {domain: found[name] for name, domain, _, is_same in rows if is_same})
    return wrong


def test_what_one_host_shows_is_what_delivery_makes_of_it(gateway: Sealpost, lab: Lab) -> None:
    rows = []
    for fact in FACTS:
        domain = lab.fresh("row")
        lab.rogue(domain.addresses[0], Script(**fact.script), domain.hosts[0])
        is_late = bool(LATE & fact.script.keys())
        rows.append((fact.name, domain.name, "deliverable" if is_late else WANT[fact.want], not is_late))
    assert not table_problems(gateway, rows)


def test_what_several_hosts_show_is_what_delivery_makes_of_it(gateway: Sealpost, lab: Lab) -> None:
    rows = []
    for case in HOSTS:
        domain = lab.fresh(case.pool)
        for address, host, script in zip(domain.addresses, domain.hosts, case.scripts):
            if script is not None:
                lab.rogue(address, Script(**script), host)
        is_late = any(LATE & script.keys() for script in case.scripts if script)
        rows.append((case.name, domain.name, "deliverable" if is_late else WANT[case.want], not is_late))
    assert not table_problems(gateway, rows)


# What DNS says of the destination itself.

NAMED = {
    "null-mx.example": ("refused", "5.1.10"), "null-mx-unsigned.example": ("refused", "5.1.10"),
    "nothing.example": ("refused", "5.1.2"), "nothing-unsigned.example": ("refused", "5.1.2"),
    "missing.org": ("refused", "5.1.2"), "self.example": ("refused", "5.4.6"), "blocked.example": ("refused", "5.4.6"),
    "mx-bogus.example": ("unknown", "4."), "mx-expired.example": ("unknown", "4."),
    "mx-servfail.example": ("unknown", "4."), "mx-no-address.example": ("unknown", "4."),
    "mx-missing.example": ("unknown", "4."), "host-bogus.example": ("unknown", "4."),
    "dead.example": ("unknown", "4."), "dead-first-plain.example": ("unknown", "4."),
    "clear.example": ("refused", "5.7.4"),
    "implicit.example": ("deliverable", "encrypt"), "dual.example": ("deliverable", "encrypt"),
    "v6.example": ("deliverable", "encrypt"), "v6-dead.example": ("deliverable", "encrypt"),
    "dead-first.example": ("deliverable", "encrypt"), "blocked-first.example": ("deliverable", "encrypt"),
    "backup-of-self.example": ("deliverable", "encrypt"), "b\u00fccher.example": ("deliverable", "encrypt"),
    "bob@tls.example": ("deliverable", "encrypt"), "TLS-signed.example.": ("deliverable", "encrypt"),
    "www.aliases.example": ("deliverable", "encrypt"), "pkix.example": ("deliverable", "verify"),
    "pkix-wrong-name.example": ("deliverable", "encrypt"),
}


def test_what_dns_says_of_a_domain_is_what_delivery_makes_of_it(gateway: Sealpost) -> None:
    found = dict(zip(NAMED, all_of(lambda name: check(gateway, name), NAMED)))

    def is_right(result: dict, verdict: str, words: str) -> bool:
        told = result["level"] if verdict == "deliverable" else result["reason"]
        return result["verdict"] == verdict and told.startswith(words)
    assert not {name: result for name, result in found.items() if not is_right(result, *NAMED[name])}
    assert not disagreements(gateway, {result["domain"]: result for result in found.values()})


def test_every_address_of_every_host_is_looked_at(gateway: Sealpost) -> None:
    hosts = check(gateway, "dual.example")["hosts"]
    assert {host["address"] for host in hosts} == {LISTENERS["ee"], "2001:db8:100::10"}
    assert all(host["reachable"] and host["protocol"] == "TLSv1.3" and host["cipher"] for host in hosts)
    first, second = check(gateway, "dead-first.example")["hosts"]
    assert (first["preference"], first["address"], first["reachable"]) == (10, DEAD_ADDRESS, False)
    assert (second["preference"], second["address"], second["reachable"]) == (20, LISTENERS["ee"], True)
    assert "refused" in first["error"] and second["error"] is None


@pytest.mark.parametrize("address", ["[198.51.100.10]", "bob@[198.51.100.10]"])
def test_an_address_literal_is_never_verified(gateway: Sealpost, address: str) -> None:
    assert check(gateway, address)["level"] == "encrypt"
    assert check(gateway, address, "--level", "verified")["verdict"] == "refused"


# MTA-STS: policy, announcement and hosts; the verdict at level encrypt, at level verified, and the level reached.

OK = "deliverable"
STS = {
    "enforced": ({}, OK, OK, "sts"),
    "enforced-by-wildcard": ({"policy": Policy(mx=("*.{domain}",))}, OK, OK, "sts"),
    "testing": ({"policy": Policy(mode="testing")}, OK, "refused", "encrypt"),
    "none": ({"policy": Policy(mode="none", mx=())}, OK, "refused", "encrypt"),
    "another-host": ({"policy": Policy(mx=("mx9.{domain}",))}, "refused", "refused", "none"),
    "wildcard-too-deep": ({"policy": Policy(mx=("*.sts.example",))}, "refused", "refused", "none"),
    "host-with-a-wrong-certificate": ({"mx": [Script(certificate="pool")]}, "refused", "refused", "encrypt"),
    "host-without-tls": ({"mx": [Script(**NO_TLS)]}, "refused", "refused", "none"),
    "host-with-old-tls": ({"mx": [Script(**OLD_TLS)]}, "refused", "refused", "none"),
    "host-with-454": ({"mx": [Script(**TLS_454)]}, "unknown", "unknown", "none"),
    "second-host-fits": ({"mx": [Script(certificate="pool"), Script()]}, OK, OK, "sts"),
    "testing-host-without-tls": ({"policy": Policy(mode="testing"), "mx": [Script(**NO_TLS)]}, "refused", "refused",
                                 "none"),
    "policy-host-503": ({"answer": Answer(status=503)}, OK, "unknown", "encrypt"),
    "policy-host-404": ({"answer": Answer(status=404)}, OK, "refused", "encrypt"),
    "policy-host-certificate": ({"certificate": "expired"}, OK, "refused", "encrypt"),
    "two-announcements": ({"txt": ['"v=STSv1; id=1;"', '"v=STSv1; id=2;"']}, OK, "refused", "encrypt"),
    # a name out of a signed zone is one to check a certificate for; one out of an unsigned zone is anybody's
    "none-in-a-signed-zone": ({"kind": "sts-safe", "policy": Policy(mode="none", mx=())}, OK, "refused", "verify"),
    "dane-and-policy": ({"kind": "sts-dane"}, OK, OK, "dane"),
    "dane-before-policy": ({"kind": "sts-dane", "policy": Policy(mx=("mx9.{domain}",))}, OK, OK, "dane"),
    "dane-mismatch-before-policy": ({"kind": "sts-dane", "mx": [Script(certificate="other")]}, "refused", "refused",
                                    "encrypt"),
}


def made(lab: Lab, options: dict) -> str:
    options = dict(options)
    if "mx" in options:
        options["mx"] = [script.but(certificate=lab.certificate(script.certificate)) if script.certificate else script
                         for script in options["mx"]]
    return sts_domain(lab, options.pop("policy", None), **options).name


def test_every_policy_is_what_delivery_makes_of_it(gateway: Sealpost, lab: Lab) -> None:
    domains = {name: made(lab, options) for name, (options, *_) in STS.items()}
    results = {}
    for level, guarantee in (("encrypt", "on"), ("verified", "verified")):
        found = all_of(lambda domain: check(gateway, domain, "--level", level), domains.values())
        results[level] = dict(zip(domains, found))
        assert not disagreements(gateway, dict(zip(domains.values(), found)), guarantee), level
    wrong = {name: (results["encrypt"][name], results["verified"][name])
             for name, (_, encrypt, verified, reached) in STS.items()
             if (results["encrypt"][name]["verdict"], results["verified"][name]["verdict"]) != (encrypt, verified)
             or results["encrypt"][name]["level"] != reached}
    assert not wrong
    excluded = results["encrypt"]["another-host"]["hosts"][0]
    assert not excluded["reachable"] and excluded["sts"] == "excluded" and "MTA-STS" in excluded["error"]
    assert results["verified"]["enforced"]["hosts"][0]["verified"] == "sts"


# What people see, and what becomes of it when it cannot be had.

@pytest.mark.parametrize("domain", ["tlsa-311.example", "ee-mismatch.example", "dual.example", "dead-first.example",
                                    "null-mx.example", "agility-strong-match.example", "tlsa-bogus.example"])
def test_for_people_it_fits_on_eighty_columns(gateway: Sealpost, domain: str) -> None:
    found = check(gateway, domain)
    text = gateway.ctl("check", domain, check=False).stdout
    assert all(len(line) <= 80 for line in text.splitlines()), text
    assert re.search(rf"^Verdict: +{found['verdict']} at level encrypt$", text, re.M), text
    joined = " ".join(text.split())
    for host in found["hosts"]:
        assert f"{host['host']}[{host['address']}]:25" in joined or not host["address"], text
        assert " ".join((host["error"] or "acceptable").split()) in joined, text


def test_what_is_seen_is_remembered_and_shown(gateway: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("dane")
    lab.rogue(domain.addresses[0], None, domain.hosts[0])
    lab.rogue(domain.addresses[1], Script(**NO_TLS), domain.hosts[1])
    seen = {host["host"]: host for host in check(gateway, domain.name)["hosts"]}

    def learnt() -> dict | None:
        found = {host["host"]: host for host in gateway.ask("posture", domain.name)}
        return found if len(found) == 2 else None
    good, bad = (wait_until(learnt, 5, "both postures")[host] for host in domain.hosts)
    for key in ("protocol", "cipher", "key_exchange", "key_digest", "tlsa", "sts", "verified"):
        assert good[key] == seen[domain.hosts[0]][key], key
    assert re.fullmatch("[0-9a-f]{64}", good["key_digest"]) and good["verified"] == "dane"
    assert (good["looks"], good["tls_looks"], good["refusals"]) == (1, 1, 0)
    assert (bad["looks"], bad["tls_looks"], bad["refusals"]) == (1, 0, 1)
    assert "was not offered" in bad["refusal"] and bad["refusal_last_at"]
    text = gateway.ctl("posture", domain.name).stdout
    assert all(len(line) <= 80 for line in text.splitlines()), text
    assert good["key_digest"][:16] in text and good["key_digest"] not in text and "was not offered" in text


@pytest.mark.parametrize("arguments", [["y..example"], ["bob@"], ["y.example", "--level", "off"],
                                       ["y.example", "--level", "dane"], [], ["a.example", "b.example"]])
def test_what_is_no_question_is_wrong_usage(gateway: Sealpost, arguments: list[str]) -> None:
    assert gateway.ctl("check", *arguments, check=False).returncode == 2


def test_without_the_daemon_nobody_knows(make_gateway) -> None:
    gateway = make_gateway(start=False)
    result = gateway.ctl("check", "tls.example", check=False)
    assert result.returncode == 75 and not result.stdout and len(result.stderr.splitlines()) == 1, result


def asked(gateway: Sealpost, domain: str) -> Popen:
    """A check in the background."""
    return Popen([str(BUILD / "sealpostctl"), "-c", str(gateway.config), "check", domain], stdout=PIPE, stderr=PIPE,
                 text=True)


def expect_temporary(process: Popen, words: str) -> None:
    out, err = process.communicate(timeout=20)
    assert process.returncode == 75 and not out and words in err, (process.returncode, out, err)


def silent_host(lab: Lab) -> tuple[str, RogueMx]:
    domain = lab.fresh("row")
    return domain.name, lab.rogue(domain.addresses[0], Script(greeting=SILENCE), domain.hosts[0])


def test_a_reload_and_a_stop_do_not_wait_for_other_peoples_hosts(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    domain, rogue = silent_host(lab)
    for count, end in ((1, signal.SIGHUP), (2, signal.SIGTERM)):
        process = asked(gateway, domain)
        wait_until(lambda: len(rogue.sessions) == count, 10, "the look")
        if end == signal.SIGTERM:
            gateway.stop()
            expect_temporary(process, "")
        else:
            gateway.daemon.process.send_signal(end)
            expect_temporary(process, "reloaded")
            wait_until(lambda: gateway.events("reloaded"), 5, "the reload")
            assert check(gateway, "tls.example")["verdict"] == "deliverable"


def test_too_many_at_once_are_told_so_and_nobody_else_waits(make_gateway, lab: Lab) -> None:
    gateway = make_gateway()
    domain, rogue = silent_host(lab)
    waiting = [asked(gateway, domain) for _ in range(16)]
    wait_until(lambda: len(rogue.sessions) == 16, 20, "sixteen looks")
    expect_temporary(asked(gateway, domain), "too many")
    user = gateway.add_user(guarantee="on")
    recipient = recipient_at(user, "tls.example")
    assert first_end(gateway, user, recipient) == "delivered"
    gateway.daemon.process.send_signal(signal.SIGHUP)
    for process in waiting:
        expect_temporary(process, "reloaded")
    assert check(gateway, "tls.example")["verdict"] == "deliverable"


def test_policies_and_routes_bind_a_check_as_they_bind_delivery(make_gateway, lab: Lab) -> None:
    plain, sealed = lab.fresh("row"), lab.fresh("row")
    lab.rogue(plain.addresses[0], Script(**NO_TLS), plain.hosts[0])
    lab.rogue(sealed.addresses[0], None, sealed.hosts[0])
    gateway = make_gateway(Settings(
        policies={"tls-signed.example": "dane", "tlsa-311.example": "dane", "pkix.example": "verify",
                  "pkix-wrong-name.example": "verify", "tls.example": "none"},
        routes={"to-plain.example": {"next_hop": f"[{plain.hosts[0]}]:25"},
                "to-sealed.example": {"next_hop": f"[{sealed.hosts[0]}]:25"},
                "to-mx.example": {"next_hop": "tlsa-311.example"}}))
    want = {"tls-signed.example": "refused", "tlsa-311.example": OK, "pkix.example": OK,
            "pkix-wrong-name.example": "refused", "tls.example": OK, "to-plain.example": "refused",
            "to-sealed.example": OK, "to-mx.example": OK, "site.example": OK}
    found = dict(zip(want, all_of(lambda domain: check(gateway, domain), want)))
    assert {domain: result["verdict"] for domain, result in found.items()} == want
    assert found["to-mx.example"]["level"] == "dane"
    assert not disagreements(gateway, found)


def test_while_stops_are_suspended_a_check_does_not_know(make_gateway, lab: Lab) -> None:
    """So many without TLS, and nobody with it: the fault is taken to be here, and delivery defers."""
    gateway = make_gateway()
    crowd = lab.crowd(Script(**NO_TLS))
    all_of(lambda domain: check(gateway, domain.name), crowd.domains[:12])
    wait_until(lambda: gateway.ask("status")["breaker_open"], 5, "the breaker")
    assert "open: " in gateway.ask("status")["breaker"] and "Breaker:" in gateway.ctl("status").stdout
    found = {domain.name: check(gateway, domain.name) for domain in crowd.domains[:3]}
    assert {result["verdict"] for result in found.values()} == {"unknown"}
    assert not disagreements(gateway, found)


# Whose demand it is, and what the verdict alone does not tell.

def test_a_check_says_whose_demand_it_is_and_what_is_not_used(make_gateway, lab: Lab) -> None:
    untrue = sts_domain(lab, Policy(mode="testing", mx=("mx9.{domain}",)))
    broken = sts_domain(lab, certificate="expired")
    gateway = make_gateway(Settings(policies={"pkix-wrong-name.example": "verify"}))
    ours = check(gateway, "pkix-wrong-name.example")
    assert ours["verdict"] == "refused" and "by our policy" in ours["required"], ours
    assert "guarantee" not in ours["required"] and "hostname mismatch: wanted " in ours["reason"], ours
    tested = check(gateway, untrue.name)
    assert tested["verdict"] == OK and tested["required"] is None, tested
    assert "is not in the MTA-STS policy of " + untrue.name in tested["hosts"][0]["sts_under_enforce"]
    assert "under mode enforce: 5.7.5" in gateway.ctl("check", untrue.name).stdout
    unused = check(gateway, broken.name, "--level", "verified")
    assert re.search("no MTA-STS policy applies: .*expired", unused["reason"]), unused
    local = check(gateway, "site.example")
    assert local["hosts"][0]["local_route"] and "a local route" in gateway.ctl("check", "site.example").stdout
