"""Reports about TLS (RFC 8460): what is counted, who is asked, and what arrives by mail and by HTTPS.

The day ends when the gateway's own clock is set forward; see lab/reports.py for the collectors' side.
"""

import base64
import datetime
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import dkim
import dns.message
import dns.query
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lab import net
from lab.https import Answer
from lab.laboratory import Lab
from lab.process import wait_until
from lab.reports import Collector, Report, report_by_mail
from lab.rogue_mx import Script
from lab.sealpost import BUILD, Sealpost, Settings
from lab.sts import Policy, sts_domain

ORGANIZATION = "Sealpost Testing & Söhne"
CONTACT = "tls-reports@site.example"
REPORTS = {"organization": ORGANIZATION, "contact": CONTACT, "spread": "0s"}
SETTINGS = Settings(sections={"tlsrpt": REPORTS}, has_own_clock=True)
TOMORROW = 26.0  # hours; whatever the time is now, the day is over then and none of its reports too old
LOOK = 5.0  # seconds between the gateway's looks at the clock

RESULT_TYPES = {
    "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
    "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
    "sts-policy-invalid", "sts-webpki-invalid",
}

# RFC 8460 section 4.4: field, is it required, and what it is. A list stands for an array of such.
REPORT = {
    "organization-name": (True, str),
    "date-range": (True, {"start-datetime": (True, "date"), "end-datetime": (True, "date")}),
    "contact-info": (True, str),
    "report-id": (True, str),
    "policies": (True, [{
        "policy": (True, {
            "policy-type": (True, {"tlsa", "sts", "no-policy-found"}),
            "policy-string": (False, [str]),
            "policy-domain": (True, str),
            "mx-host": (False, [str]),
        }),
        "summary": (True, {
            "total-successful-session-count": (True, int),
            "total-failure-session-count": (True, int),
        }),
        "failure-details": (False, [{
            "result-type": (True, RESULT_TYPES),
            "sending-mta-ip": (False, str),
            "receiving-mx-hostname": (False, str),
            "receiving-mx-helo": (False, str),
            "receiving-ip": (False, str),
            "failed-session-count": (True, int),
            "additional-information": (False, str),
            "failure-reason-code": (False, str),
        }]),
    }]),
}


def check_schema(value: object, schema: object, where: str = "report") -> None:
    """Every field there is known, is what it should be, and none that must be there is missing."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        assert set(value) <= set(schema), (where, set(value) - set(schema))
        for key, (is_required, kind) in schema.items():
            assert key in value or not is_required, f"{where}: no {key}"
            if key in value:
                check_schema(value[key], kind, f"{where}: {key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for item in value:
            check_schema(item, schema[0], where)
    elif isinstance(schema, set):
        assert value in schema, (where, value)
    elif schema == "date":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(value)), (where, value)
    else:
        assert type(value) is schema and value != "" and (schema is str or value >= 0), (where, value)


@pytest.mark.parametrize("damage", [
    lambda r: r.pop("report-id"),
    lambda r: r.update({"policies": {}}),
    lambda r: r.update({"more": 1}),
    lambda r: r["date-range"].update({"end-datetime": "tomorrow"}),
    lambda r: r["policies"][0]["policy"].update({"policy-type": "dane"}),
    lambda r: r["policies"][0]["policy"].update({"mx-host": "mx.example"}),
    lambda r: r["policies"][0]["summary"].update({"total-failure-session-count": "1"}),
    lambda r: r["policies"][0]["failure-details"][0].update({"result-type": "mx-mismatch"}),
], ids=["missing", "no-array", "unknown", "date", "type", "mx-host", "count", "result-type"])
def test_the_schema_finds_what_is_wrong(damage) -> None:
    report = {
        "organization-name": "Company-X",
        "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
        "contact-info": "sts-reporting@company-x.example", "report-id": "5065427c",
        "policies": [{
            "policy": {"policy-type": "sts", "policy-string": ["version: STSv1", "mode: testing"],
                       "policy-domain": "company-y.example", "mx-host": ["*.mail.company-y.example"]},
            "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
            "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 100}],
        }],
    }
    check_schema(report, REPORT)
    damage(report)
    with pytest.raises(AssertionError):
        check_schema(report, REPORT)


@pytest.fixture
def reporting(make_gateway) -> Sealpost:
    return make_gateway(SETTINGS)


def today() -> datetime.datetime:
    now = datetime.datetime.now(datetime.timezone.utc)
    if now.hour == 23 and now.minute >= 55:
        pytest.skip("midnight would fall into the test")
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def ask_for_reports(lab: Lab, domain: str, *rua: str) -> None:
    lab.dns.set(f"_smtp._tls.{domain}", "TXT", f'"v=TLSRPTv1; rua={",".join(rua)}"')


def send(gateway: Sealpost, domain: str, disposition: str = "delivered", count: int = 1) -> None:
    user = gateway.add_user()
    for number in range(count):
        recipient = f"bob{number}@{domain}"
        queue_id = gateway.submit(user, recipient)
        gateway.wait_for_disposition(queue_id, recipient, disposition)
        gateway.ctl("queue", "remove", queue_id, check=False)  # one attempt is enough


def end_the_day(gateway: Sealpost) -> None:
    today()
    gateway.set_clock(TOMORROW)


def check(report: Report, domain: str, **sums: tuple[int, int]) -> None:
    """The form, whose it is, and of each kind of policy (`none` is no-policy-found) the successes and failures."""
    document = report.document
    check_schema(document, REPORT)
    begin = today()
    assert document["organization-name"] == ORGANIZATION
    assert document["contact-info"] == CONTACT
    assert document["date-range"] == {"start-datetime": begin.strftime("%Y-%m-%dT00:00:00Z"),
                                      "end-datetime": begin.strftime("%Y-%m-%dT23:59:59Z")}
    assert document["report-id"] == f"{begin:%Y-%m-%d}.{domain}@mail.example.org"
    got = {}
    for entry in document["policies"]:
        assert entry["policy"]["policy-domain"] == domain
        counts = entry["summary"]
        kind = entry["policy"]["policy-type"].replace("no-policy-found", "none")
        got[kind] = (counts["total-successful-session-count"], counts["total-failure-session-count"])
        assert sum(d["failed-session-count"] for d in entry.get("failure-details", [])) == got[kind][1]
    assert got == sums


def only_failure(report: Report, kind: str) -> dict:
    [failure] = report.policy(kind)["failure-details"]
    return failure


def looks_pass(gateway: Sealpost, looks: int = 1) -> None:
    """Long enough for the gateway to have looked at the clock so many times more, and acted on it."""
    time.sleep(looks * LOOK + 1.5)
    gateway.assert_healthy()


# What arrives, and how


def test_a_report_by_https_counts_every_session_once(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    plain = lab.rogue(domain.addresses[0], Script(offers_starttls=False), domain.hosts[0])
    collector = Collector(lab, "c1.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name, count=3)
    plain.stop()
    secure = lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    send(reporting, domain.name, count=4)
    clear, tls = len(plain.sessions), len(secure.sessions)
    assert clear and tls
    end_the_day(reporting)
    report = collector.wait_for_report()
    check(report, domain.name, none=(tls, clear))
    assert report.content_type == "application/tlsrpt+gzip"
    assert collector.posts[0].method == "POST" and collector.posts[0].tls in ("TLSv1.2", "TLSv1.3")
    failure = only_failure(report, "no-policy-found")
    assert failure["result-type"] == "starttls-not-supported"
    assert failure["receiving-mx-hostname"] == domain.hosts[0]
    assert failure["receiving-ip"] == domain.addresses[0]
    assert failure["sending-mta-ip"] == plain.sessions[0].peer[0]


def test_a_report_by_mail_is_what_a_real_postfix_takes(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    ask_for_reports(lab, domain.name, "mailto:one%2breports@tls.example")
    send(reporting, domain.name)
    end_the_day(reporting)
    report = report_by_mail(lab, "one+reports@tls.example")
    check(report, domain.name, none=(1, 0))
    begin = int(today().timestamp())
    assert report.content_type == "application/tlsrpt+gzip"
    assert report.headers["filename"] == f"mail.example.org!{domain.name}!{begin}!{begin + 86399}!001.json.gz"
    assert report.headers["tls-report-domain"] == domain.name
    assert report.headers["tls-report-submitter"] == "mail.example.org"
    assert report.headers["tls-required"] == "No"
    assert report.headers["subject"] == (f"Report Domain: {domain.name} Submitter: mail.example.org "
                                         f"Report-ID: <{report.document['report-id']}>")
    assert "dkim-signature" not in report.headers
    [message] = lab.postfix.messages_for("one+reports@tls.example")
    assert message.sender == CONTACT
    event = wait_until(lambda: reporting.events("tls-report", domain=domain.name), 5, "the event")[0]
    assert event["to"] == "mailto:one+reports@tls.example"


def test_every_place_of_the_record_gets_the_report(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    first, second = (Collector(lab, f"{name}.collectors.example") for name in ("every1", "every2"))
    ask_for_reports(lab, domain.name, first.url, "mailto:every@tls.example", "ftp://files.example/x", second.url)
    send(reporting, domain.name)
    end_the_day(reporting)
    reports = [first.wait_for_report(), second.wait_for_report(), report_by_mail(lab, "every@tls.example")]
    assert all(report.document == reports[0].document for report in reports)
    check(reports[0], domain.name, none=(1, 0))


def test_a_report_goes_out_once(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "once.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)
    looks_pass(reporting)
    assert not collector.posts  # the day is not over
    end_the_day(reporting)
    collector.wait_for_report()
    looks_pass(reporting)
    reporting.stop()
    reporting.start()
    looks_pass(reporting)
    reporting.set_clock(TOMORROW + 24)
    looks_pass(reporting)
    assert len(collector.posts) == 1


def test_counts_outlive_a_kill(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "kill.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)
    time.sleep(0.5)  # counts join a later commit
    reporting.kill()
    reporting.set_clock(TOMORROW)
    reporting.start()
    check(collector.wait_for_report(), domain.name, none=(1, 0))


# The signature of what goes by mail


def signing(directory: Path, selector: str = "s1") -> dict[str, str]:
    return {"dkim_domain": "site.example", "dkim_selector": selector, "dkim_key": str(directory / f"{selector}.pem")}


def write_key(settings: dict[str, str], key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, secret: str = "") -> None:
    encryption = (serialization.BestAvailableEncryption(secret.encode()) if secret
                  else serialization.NoEncryption())
    Path(settings["dkim_key"]).write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


def make_key(lab: Lab, settings: dict[str, str], service: str = "tlsrpt") -> None:
    """A new private key in the file, and the public one in DNS."""
    key = rsa.generate_private_key(65537, 2048)
    write_key(settings, key)
    public = base64.b64encode(key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()
    publish_key(lab, settings, f"v=DKIM1; k=rsa; s={service}; p={public}")


def publish_key(lab: Lab, settings: dict[str, str], record: str) -> None:
    name = f"{settings['dkim_selector']}._domainkey.{settings['dkim_domain']}"
    lab.dns.set(name, "TXT", " ".join(f'"{record[at:at + 250]}"' for at in range(0, len(record), 250)))


def ask_for_key(name: bytes, timeout: float = 5) -> bytes:
    """For dkim: the TXT record of that name, from the server of the zone."""
    answer = dns.query.tcp(dns.message.make_query(name.decode(), "TXT"), net.LEAF_DNS, timeout=timeout).answer
    return b"".join(answer[0][0].strings) if answer else b""


def is_valid(message: bytes) -> bool:
    """Says dkimpy, of a report (RFC 8460 section 3): the key must be one for `tlsrpt`."""
    try:
        return dkim.DKIM(message, tlsrpt="strict").verify(dnsfunc=ask_for_key)
    except dkim.DKIMException:
        return False


@pytest.fixture
def verifier_s_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far ahead as the gateway's: a signature from the future is none."""
    monkeypatch.setattr(dkim, "time", SimpleNamespace(time=lambda: time.time() + TOMORROW * 3600))


def signed_report(gateway: Sealpost, lab: Lab, box: str) -> bytes:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    ask_for_reports(lab, domain.name, f"mailto:{box}")
    send(gateway, domain.name)
    end_the_day(gateway)
    check(report_by_mail(lab, box), domain.name, none=(1, 0))
    [message] = lab.postfix.messages_for(box)
    return message.data


@pytest.mark.usefixtures("verifier_s_clock")
def test_a_report_by_mail_is_signed(make_gateway, lab: Lab, tmp_path: Path) -> None:
    settings = signing(tmp_path)
    make_key(lab, settings)
    gateway = make_gateway(Settings(sections={"tlsrpt": {**REPORTS, **settings}}, has_own_clock=True))
    message = signed_report(gateway, lab, "signed@tls.example")
    assert is_valid(message)
    [signature] = [value for name, value in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature"]
    tags = dkim.parse_tag_value(signature)
    assert (tags[b"d"], tags[b"s"]) == (b"site.example", b"s1")
    assert (tags[b"a"], tags[b"c"]) == (b"rsa-sha256", b"relaxed/relaxed")
    assert b"l" not in tags  # MUST NOT
    assert {"from", "to", "subject", "date", "message-id", "mime-version", "content-type", "tls-report-domain",
            "tls-report-submitter", "tls-required"} <= set(re.split(r"\s*:\s*", tags[b"h"].decode().lower()))
    for part in (b"This is a report", b"TLS-Report-Domain: ", b"Subject: ", b"TLS-Required: No"):
        assert message.count(part) == 1
        assert not is_valid(message.replace(part, part + b"t")), part
    assert not is_valid(message + b"and more\r\n")
    make_key(lab, settings)
    assert not is_valid(message)  # it is the record that counts


@pytest.mark.usefixtures("verifier_s_clock")
def test_a_reload_brings_a_new_key(make_gateway, lab: Lab, tmp_path: Path) -> None:
    old, new = signing(tmp_path, "old"), signing(tmp_path, "new")
    make_key(lab, old)
    make_key(lab, new)
    gateway = make_gateway(Settings(sections={"tlsrpt": {**REPORTS, **old}}, has_own_clock=True))
    gateway.configure(Settings(sections={"tlsrpt": {**REPORTS, **new}}, has_own_clock=True))
    gateway.daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.events("reloaded"), 10, "the reload")
    message = signed_report(gateway, lab, "reloaded@tls.example")
    assert b"s=new;" in message and is_valid(message)


def check_configuration(gateway: Sealpost) -> subprocess.CompletedProcess:
    return subprocess.run([str(BUILD / "sealpostd"), "-t", "-c", str(gateway.config)], capture_output=True,
                          text=True, timeout=20, check=False)


@pytest.mark.parametrize("change, words", [
    (lambda s: s.pop("dkim_domain"), "tlsrpt: dkim_domain: must be set: "),
    (lambda s: s.pop("dkim_selector"), "tlsrpt: dkim_selector: must be set: "),
    (lambda s: s.pop("dkim_key"), "tlsrpt: dkim_key: must be set: "),
    (lambda s: s.update(dkim_domain="other.example"), f"tlsrpt: dkim_domain: expected the domain of {CONTACT}"),
    (lambda s: s.update(dkim_key="/nonexistent"), "tlsrpt: dkim_key: cannot read /nonexistent: No such file"),
    (lambda s: Path(s["dkim_key"]).write_text("junk"), "no private key in PEM form"),
    (lambda s: write_key(s, ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
    (lambda s: write_key(s, rsa.generate_private_key(65537, 768)), "needs 1024 bits"),
    (lambda s: write_key(s, rsa.generate_private_key(65537, 2048), "secret"), "passphrase"),
], ids=["domain", "selector", "key", "alignment", "no-file", "junk", "ec", "short", "passphrase"])
def test_what_cannot_sign_is_an_error(make_gateway, tmp_path: Path, change: Callable[[dict], object],
                                      words: str) -> None:
    settings = signing(tmp_path)
    write_key(settings, rsa.generate_private_key(65537, 2048))
    gateway = make_gateway(Settings(sections={"tlsrpt": {**REPORTS, **settings}}), start=False)
    assert check_configuration(gateway).returncode == 0
    change(settings)
    gateway.configure(Settings(sections={"tlsrpt": {**REPORTS, **settings}}))
    result = check_configuration(gateway)
    assert result.returncode == 1
    assert re.match(rf"{gateway.config}:\d+: {re.escape(words)}" if words.startswith("tlsrpt") else
                    rf"{gateway.config}:\d+: tlsrpt: dkim_key: {settings['dkim_key']}: .*{words}", result.stderr)
    assert "PRIVATE" not in result.stderr


def test_reports_without_a_signature_are_warned_of(make_gateway, tmp_path: Path) -> None:
    gateway = make_gateway(SETTINGS, start=False)
    result = check_configuration(gateway)
    assert result.returncode == 0 and result.stderr.count("warning: tlsrpt: without dkim_key") == 1
    settings = signing(tmp_path)
    write_key(settings, rsa.generate_private_key(65537, 2048))
    gateway.configure(Settings(sections={"tlsrpt": {**REPORTS, **settings}}))
    result = check_configuration(gateway)
    assert result.returncode == 0 and "dkim" not in result.stderr


# Which policy, and what failed


def test_dane_is_reported_with_its_records(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("dane")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "dane.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)
    end_the_day(reporting)
    report = collector.wait_for_report()
    check(report, domain.name, tlsa=(1, 0))
    want = lab.certificate("pool").tlsa(3, 1, 1)
    assert [line.lower() for line in report.policy("tlsa")["policy"]["policy-string"]] == [want.lower()]


def test_a_dane_mismatch_is_reported(reporting: Sealpost, lab: Lab) -> None:
    collector = Collector(lab, "mismatch.collectors.example")
    ask_for_reports(lab, "ta-wrong-name.example", collector.url)
    send(reporting, "ta-wrong-name.example", "deferred")
    end_the_day(reporting)
    report = collector.wait_for_report()
    counts = report.policy("tlsa")["summary"]
    assert counts["total-successful-session-count"] == 0 and counts["total-failure-session-count"] >= 1
    check(report, "ta-wrong-name.example", tlsa=(0, counts["total-failure-session-count"]))
    assert only_failure(report, "tlsa")["result-type"] in ("certificate-host-mismatch", "certificate-not-trusted")


@pytest.mark.parametrize("domain, disposition, result", [
    ("usage0.example", "delivered", "tlsa-invalid"),
    ("tlsa-bogus.example", "deferred", "dnssec-invalid"),
    ("tls-signed.example", "held", "dane-required"),
    ("ee-plain.example", "deferred", "starttls-not-supported"),
], ids=["tlsa-invalid", "dnssec-invalid", "dane-required", "no-starttls"])
def test_what_is_wrong_with_dane_is_reported(make_gateway, lab: Lab, domain: str, disposition: str,
                                             result: str) -> None:
    gateway = make_gateway(Settings(sections={"tlsrpt": REPORTS}, policies={"tls-signed.example": "dane"},
                                    has_own_clock=True))
    collector = Collector(lab, f"{result}.collectors.example")
    ask_for_reports(lab, domain, collector.url)
    send(gateway, domain, disposition)
    end_the_day(gateway)
    report = collector.wait_for_report()
    count = report.policy("tlsa")["summary"]["total-failure-session-count"]
    assert count >= 1
    check(report, domain, tlsa=(0, count))
    assert only_failure(report, "tlsa")["result-type"] == result


def test_an_mta_sts_policy_is_reported_line_by_line(reporting: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy())
    collector = Collector(lab, "sts.collectors.example")
    ask_for_reports(lab, one.name, collector.url)
    send(reporting, one.name)
    end_the_day(reporting)
    report = collector.wait_for_report()
    check(report, one.name, sts=(1, 0))
    policy = report.policy("sts")["policy"]
    assert policy["policy-string"] == Policy().text(one.name).decode().split("\r\n")[:-1]
    assert policy["mx-host"] == [f"mx1.{one.name}", f"mx2.{one.name}"]


def test_testing_delivers_and_tells_what_would_have_failed(reporting: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mode="testing"), mx=[Script(certificate=lab.certificate("pool"))])
    collector = Collector(lab, "testing.collectors.example")
    ask_for_reports(lab, one.name, collector.url)
    send(reporting, one.name)
    end_the_day(reporting)
    report = collector.wait_for_report()
    check(report, one.name, sts=(0, 1))
    failure = only_failure(report, "sts")
    assert failure["result-type"] in ("certificate-not-trusted", "certificate-host-mismatch")
    assert failure["failure-reason-code"]


def test_a_host_that_the_policy_does_not_list_is_reported(reporting: Sealpost, lab: Lab) -> None:
    one = sts_domain(lab, Policy(mx=("mx9.{domain}",)))
    collector = Collector(lab, "excluded.collectors.example")
    ask_for_reports(lab, one.name, collector.url)
    send(reporting, one.name, "deferred")
    end_the_day(reporting)
    report = collector.wait_for_report()
    assert {d["result-type"] for d in report.policy("sts")["failure-details"]} == {"validation-failure"}
    assert {d["failure-reason-code"] for d in report.policy("sts")["failure-details"]} == {
        "MX host not in MTA-STS policy"}
    assert not one.messages


@pytest.mark.parametrize("answer, certificate, result", [
    (Answer(status=404), None, "sts-policy-fetch-error"),
    (Answer(body=b"version: STSv1\r\nmode: always\r\n"), None, "sts-policy-invalid"),
    (None, "expired", "sts-webpki-invalid"),
], ids=["fetch", "invalid", "webpki"])
def test_a_policy_that_cannot_be_had_is_reported(reporting: Sealpost, lab: Lab, answer: Answer | None,
                                                 certificate: str | None, result: str) -> None:
    one = sts_domain(lab, answer=answer, certificate=certificate)
    collector = Collector(lab, f"{result}.collectors.example")
    ask_for_reports(lab, one.name, collector.url)
    send(reporting, one.name)
    end_the_day(reporting)
    report = collector.wait_for_report()
    check(report, one.name, sts=(0, 1))
    assert only_failure(report, "sts")["result-type"] == result


@pytest.mark.parametrize("script, result", [
    (Script(starttls="454 4.7.0 not now"), "STARTTLS answered 454 4.7.0"),
    (Script(handshake="close"), ""),
], ids=["454", "cut"])
def test_trouble_with_tls_is_one_failure_though_the_mail_goes_in_clear(
        reporting: Sealpost, lab: Lab, script: Script, result: str) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], script.but(), domain.hosts[0])
    collector = Collector(lab, f"trouble{len(result)}.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)
    end_the_day(reporting)
    report = collector.wait_for_report()
    check(report, domain.name, none=(0, 1))
    failure = only_failure(report, "no-policy-found")
    assert failure["result-type"] == "validation-failure"
    assert failure["failure-reason-code"] == result or not result


# Reports are mail that nothing stops, and that nobody is told of


@pytest.mark.parametrize("domain", ["ee-mismatch.example", "ee-plain.example", "clear.example"])
def test_what_fails_between_the_hosts_does_not_keep_the_report_back(make_gateway, lab: Lab, domain: str) -> None:
    sections = {"tlsrpt": REPORTS}
    gateway = make_gateway(Settings(sections=sections, policies={domain: "encrypt"}, has_own_clock=True))
    box = f"nothing-stops@{domain}"
    one = lab.fresh("one")
    lab.rogue(one.addresses[0], Script(), one.hosts[0])
    ask_for_reports(lab, one.name, f"mailto:{box}")
    send(gateway, one.name)
    end_the_day(gateway)
    check(report_by_mail(lab, box), one.name, none=(1, 0))
    # The session that carried it is in nobody's report.
    collector = Collector(lab, f"quiet-{domain.split('.')[0]}.collectors.example")
    ask_for_reports(lab, domain, collector.url)
    gateway.set_clock(TOMORROW + 24)
    looks_pass(gateway)
    assert not collector.posts and not gateway.events("tls-report", domain=domain)


def test_a_report_that_is_refused_makes_no_notice(reporting: Sealpost, lab: Lab) -> None:
    one, away = lab.fresh("one"), lab.fresh("one")
    lab.rogue(one.addresses[0], Script(), one.hosts[0])
    refusing = lab.rogue(away.addresses[0], Script(rcpt="550 5.1.1 no such user"), away.hosts[0])
    ask_for_reports(lab, one.name, f"mailto:nobody@{away.name}")
    send(reporting, one.name)
    end_the_day(reporting)
    wait_until(lambda: refusing.sessions, 10, "the report")
    failed = wait_until(lambda: reporting.events("disposition", disposition="failed"), 10, "its end")[0]
    reporting.wait_until_gone(failed["id"])
    assert any("NOTIFY=NEVER" in line for line in refusing.sessions[0].commands())
    assert not reporting.events("notice") and not reporting.notices_to(CONTACT)


# Whoever does not ask gets nothing


@pytest.mark.parametrize("texts", [
    (),
    ('"v=TLSRPTv2; rua={url}"',),
    ('"v=TLSRPTv1; rua={url}"', '"v=TLSRPTv1; rua={url}2"'),
    ('"v=TLSRPTv1 rua={url}"',),
    ('"v=TLSRPTv1; ruf={url}"',),
], ids=["no-record", "version", "two", "no-semicolon", "no-rua"])
def test_no_report_without_one_good_record(reporting: Sealpost, lab: Lab, texts: tuple[str, ...]) -> None:
    domain, other = lab.fresh("one"), lab.fresh("one")
    for one in (domain, other):
        lab.rogue(one.addresses[0], Script(), one.hosts[0])
    collector = Collector(lab, f"none{len(''.join(texts))}.collectors.example")
    lab.dns.set(f"_smtp._tls.{domain.name}", "TXT", *(text.format(url=collector.url) for text in texts))
    ask_for_reports(lab, other.name, "mailto:other@tls.example")
    send(reporting, domain.name)
    send(reporting, other.name)
    end_the_day(reporting)
    wait_until(lambda: reporting.events("tls-report", domain=other.name), 15, "the report to another")
    looks_pass(reporting)
    assert not collector.posts
    assert not reporting.events("tls-report", domain=domain.name)
    # What was counted is gone: asking later is too late.
    ask_for_reports(lab, domain.name, collector.url)
    reporting.set_clock(TOMORROW + 2)
    looks_pass(reporting)
    assert not collector.posts


def test_without_an_organization_nothing_is_counted(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(has_own_clock=True))
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "off.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(gateway, domain.name)
    time.sleep(0.5)
    gateway.stop()
    gateway.configure(SETTINGS)  # now there is one: had anything been counted, it would be sent
    gateway.set_clock(TOMORROW)
    gateway.start()
    looks_pass(gateway)
    assert not collector.posts


# What cannot be sent is tried again


def test_a_collector_that_fails_is_asked_again(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "again.collectors.example", [Answer(status=503), Answer(status=201)])
    other = Collector(lab, "well.collectors.example")
    ask_for_reports(lab, domain.name, collector.url, other.url, "mailto:again@tls.example")
    send(reporting, domain.name)
    end_the_day(reporting)
    first = collector.wait_for_report()
    wait_until(lambda: reporting.events("tls-report-failed", domain=domain.name), 5, "the event")
    looks_pass(reporting)
    assert len(collector.posts) == 1  # not before its time
    reporting.set_clock(TOMORROW + 0.1)
    again = collector.wait_for_report(2)
    assert again.document == first.document
    looks_pass(reporting)
    assert len(lab.postfix.messages_for("again@tls.example")) == 1  # what has arrived is not sent again
    assert len(other.posts) == 1


def test_a_report_is_given_up_when_it_is_two_days_old(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "old.collectors.example", [Answer(status=503), Answer(status=201)])
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)
    end_the_day(reporting)
    collector.wait_for_report()
    reporting.set_clock(24 + 49)
    looks_pass(reporting, 2)
    assert len(collector.posts) == 1


def test_a_collector_with_another_s_certificate_gets_nothing(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "false.collectors.example")
    collector.site.certificate = lab.web_certificate("true.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)
    end_the_day(reporting)
    failed = wait_until(lambda: reporting.events("tls-report-failed", domain=domain.name), 15, "the event")[0]
    assert failed["to"] == "https://false.collectors.example:443/v1/tlsrpt"
    assert not collector.posts


def test_a_silent_collector_holds_up_neither_end_nor_reload(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "silent.collectors.example", [Answer(is_silent=True)] * 3 + [Answer(status=201)])
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)
    end_the_day(reporting)
    collector.wait_for_report()
    assert reporting.daemon
    reporting.daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: reporting.events("reloaded"), 10, "the reload")
    collector.wait_for_report(2)
    begin = time.monotonic()
    reporting.stop()
    assert time.monotonic() - begin < 5
    reporting.start()
    third = collector.wait_for_report(3)
    reporting.kill()
    reporting.start()
    check(third, domain.name, none=(1, 0))
    assert collector.wait_for_report(4).document == third.document
    wait_until(lambda: reporting.events("tls-report", domain=domain.name), 5, "its end")


def test_a_look_up_that_fails_is_made_again(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("sts-safe")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "lookup.collectors.example")
    name = f"_smtp._tls.{domain.name}"
    lab.dns.set(name, "TXT", f'"v=TLSRPTv1; rua={collector.url}"', is_broken=True)
    send(reporting, domain.name)
    end_the_day(reporting)
    wait_until(lambda: reporting.events("tls-report-failed", domain=domain.name), 15, "the event")
    lab.dns.set(name, "TXT", f'"v=TLSRPTv1; rua={collector.url}"')
    looks_pass(reporting)
    assert not collector.posts
    reporting.set_clock(TOMORROW + 0.1)
    check(collector.wait_for_report(seconds=20), domain.name, sts=(0, 1))


def test_reports_switched_off_by_a_reload_are_kept_for_another(reporting: Sealpost, lab: Lab) -> None:
    domain = lab.fresh("one")
    lab.rogue(domain.addresses[0], Script(), domain.hosts[0])
    collector = Collector(lab, "reload.collectors.example")
    ask_for_reports(lab, domain.name, collector.url)
    send(reporting, domain.name)

    def reload(settings: Settings, count: int) -> None:
        assert reporting.daemon
        reporting.configure(settings)
        reporting.daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(reporting.events("reloaded")) == count, 10, "the reload")

    reload(Settings(has_own_clock=True), 1)
    send(reporting, domain.name)  # not counted
    end_the_day(reporting)
    looks_pass(reporting)
    assert not collector.posts
    reload(SETTINGS, 2)
    check(collector.wait_for_report(), domain.name, none=(1, 0))
