"""The policy fingerprint: what a host's owner told us of its key or certificate, and posttls-finger -l fingerprint."""

import hashlib
import re
import signal
import subprocess

import pytest

from lab.expect import expect_delivered, expect_stopped
from lab.finger import finger
from lab.laboratory import Lab
from lab.process import wait_until
from lab.sealpost import Sealpost, Settings
from lab.world import LISTENERS

NONE_OF_THEM = r"^Server certificate not verified: host \S*\[{address}\] shows key {key} / certificate {certificate}, " \
               r"none of the fingerprints that our {who} names$"


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, timeout=20, check=True).stdout


def digests_of(server: str) -> dict[str, str]:
    """As the manual has it done, of the host that answers: with colons, of the certificate; without, of its key."""
    said = openssl("s_client", "-connect", f"{LISTENERS[server]}:25", "-starttls", "smtp", stdin=b"QUIT\r\n")
    certificate = openssl("x509", "-noout", "-fingerprint", "-sha256", stdin=said).decode().strip().split("=")[1]
    der = openssl("pkey", "-pubin", "-outform", "DER", stdin=openssl("x509", "-noout", "-pubkey", stdin=said))
    key = openssl("dgst", "-sha256", stdin=der).decode().split()[-1]
    assert key == hashlib.sha256(der).hexdigest()
    return {"key": key, "KEY": key.upper(), "certificate": certificate, "other": "ab" * 32,
            "plain": certificate.replace(":", "").lower()}


def none_of_them(server: str, who: str = "policy") -> str:
    digests = digests_of(server)
    return NONE_OF_THEM.format(address=re.escape(LISTENERS[server]), key=digests["key"],
                               certificate=digests["plain"], who=who)


def policy_of(server: str, names: str) -> str:
    digests = digests_of(server)
    return "fingerprint=" + ",".join(digests[name] for name in names.split())


def reload(gateway: Sealpost) -> None:
    gateway.daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.events("reloaded"), 10, "the reload")


def with_colons(policy: str) -> list[str]:
    """As Postfix wants them."""
    found = [digest.replace(":", "").upper() for digest in policy.split("=")[1].split(",")]
    return [":".join(re.findall("..", digest)) for digest in found]


CASES = [
    # what the policy names, the sender's flag, domain, who answers there, delivered?
    ("key", "", "tls.example", "ee", True),
    ("KEY", "on", "tls.example", "ee", True),
    ("certificate", "", "tls.example", "ee", True),
    ("other certificate", "on", "tls.example", "ee", True),
    ("other", "", "tls.example", "ee", False),
    ("other", "on", "tls.example", "ee", False),
    ("other", "", "pkix.example", "pkix", False),
    ("key", "", "pkix-wrong-name.example", "pkix-wrong-name", True),
    ("key", "", "ee-expired.example", "expired-ee", True),
    ("key", "verified", "tlsa-311.example", "ee", True),
    ("other", "verified", "tlsa-311.example", "ee", False),
]


@pytest.mark.parametrize("names, flag, domain, server, want", CASES)
def test_mail_goes_where_a_named_fingerprint_is_shown_and_nowhere_else(
        make_gateway, lab: Lab, names: str, flag: str, domain: str, server: str, want: bool) -> None:
    policy = policy_of(server, names)
    gateway = make_gateway(Settings(policies={domain: policy}))
    user = gateway.add_user(guarantee=flag, domain="site.example")
    recipient = f"finger-{names.replace(' ', '-')}-{flag or 'free'}@{domain}"
    verdict, said = finger(lab, domain, "fingerprint", *with_colons(policy))
    assert (verdict == "verified") == want, said
    checked = gateway.ctl("--json", "check", domain, check=False)
    assert checked.returncode == (0 if want else 1), checked.stdout
    queue_id = gateway.submit(user, recipient)
    if want:
        expect_delivered(gateway, queue_id, recipient)
        lab.postfix.wait_for_message(recipient)
    else:
        notice = expect_stopped(gateway, user, queue_id, recipient, "5.7.5", none_of_them(server))
        assert "has a fingerprint that is named, by our policy" in notice.one_line_text(), notice.text
        assert not lab.postfix.messages_for(recipient)


def test_the_key_that_check_prints_is_the_fingerprint(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings())
    host = gateway.ask("check", "tls.example")["hosts"][0]
    assert host["key_digest"] == digests_of("ee")["key"]


def test_a_fingerprint_without_tls_is_no_tls_offered(make_gateway) -> None:
    gateway = make_gateway(Settings(policies={"clear.example": policy_of("ee", "key")}))
    user = gateway.add_user(domain="site.example")
    recipient = "finger-clear@clear.example"
    expect_stopped(gateway, user, gateway.submit(user, recipient), recipient, "5.7.4", "was not offered")


def test_dane_that_does_not_match_is_not_made_good_by_a_fingerprint(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(policies={"ee-mismatch.example": policy_of("ee", "key certificate")}))
    user = gateway.add_user(domain="site.example")
    recipient = "finger-dane@ee-mismatch.example"
    expect_stopped(gateway, user, gateway.submit(user, recipient), recipient, "5.7.5", "no TLSA record matches")
    assert not lab.postfix.messages_for(recipient)


def test_a_fingerprint_does_not_make_level_verified(make_gateway, lab: Lab) -> None:
    gateway = make_gateway(Settings(policies={"tls-signed.example": policy_of("ee", "key")}))
    user = gateway.add_user(guarantee="verified", domain="site.example")
    recipient = "finger-verified@tls-signed.example"
    expect_stopped(gateway, user, gateway.submit(user, recipient), recipient, "5.7.5", "no TLSA records found")
    assert not lab.postfix.messages_for(recipient)


def test_an_address_literal_can_be_verified_by_its_fingerprint(make_gateway, lab: Lab) -> None:
    """Nothing else can."""
    named, wrong = (f"[{LISTENERS[server]}]" for server in ("ee", "pkix"))
    gateway = make_gateway(Settings(policies={named: policy_of("ee", "key"), wrong: policy_of("ee", "key")}))
    user = gateway.add_user(guarantee="on", domain="site.example")
    expect_delivered(gateway, gateway.submit(user, f"finger@{named}"), f"finger@{named}")
    expect_stopped(gateway, user, gateway.submit(user, f"finger@{wrong}"), f"finger@{wrong}", "5.7.5",
                   none_of_them("pkix"))
    assert gateway.ask("check", named)["verdict"] == "deliverable"
    assert gateway.ctl("check", wrong, check=False).returncode == 1


@pytest.mark.parametrize("names, want", [("key", True), ("certificate", True), ("other", False)])
def test_a_route_to_an_address_can_be_verified_by_its_fingerprint(make_gateway, lab: Lab, names: str,
                                                                  want: bool) -> None:
    gateway = make_gateway(Settings(routes={"routed.example": {
        "next_hop": f"[{LISTENERS['ee']}]:25", "protocol": "smtp", "tls": policy_of("ee", names)}}))
    user = gateway.add_user(domain="site.example")
    recipient = f"finger-{names}@routed.example"
    queue_id = gateway.submit(user, recipient)
    if want:
        expect_delivered(gateway, queue_id, recipient)
    else:
        expect_stopped(gateway, user, queue_id, recipient, "5.7.5", none_of_them("ee", "route"))
        assert not lab.postfix.messages_for(recipient)


def test_neither_release_nor_tls_required_no_goes_round_a_fingerprint(make_gateway, lab: Lab) -> None:
    domain = "tls.example"
    gateway = make_gateway(Settings(policies={domain: policy_of("ee", "other")}))
    user = gateway.add_user(guarantee="on", domain="site.example")
    recipient = f"finger-release@{domain}"
    queue_id = gateway.submit(user, recipient, headers={"TLS-Required": "No"})
    notice = expect_stopped(gateway, user, queue_id, recipient, "5.7.5", none_of_them("ee"))
    assert "It cannot be released" in notice.one_line_text(), notice.text
    for force in ((), ("--force",)):
        result = gateway.ctl("release", queue_id, *force, check=False)
        assert result.returncode == 1, (result.stdout, result.stderr)
    assert gateway.held_entry(queue_id) is not None
    assert not lab.postfix.messages_for(recipient)
    gateway.configure(Settings(policies={domain: policy_of("ee", "key")}))  # taken back, it is tried as it is
    reload(gateway)
    gateway.ctl("release", queue_id, "--recheck")
    expect_delivered(gateway, queue_id, recipient)


def test_a_kept_connection_is_looked_at_again_after_a_reload(make_gateway, lab: Lab) -> None:
    """The connection serves on; who may use it is the judge's word of each message."""
    domain = "tls.example"
    gateway = make_gateway(Settings(policies={domain: policy_of("ee", "key")}))
    user = gateway.add_user(domain="site.example")
    recipient = f"finger-first@{domain}"
    expect_delivered(gateway, gateway.submit(user, recipient), recipient)
    gateway.configure(Settings(policies={domain: policy_of("ee", "other")}))
    reload(gateway)
    recipient = f"finger-second@{domain}"
    expect_stopped(gateway, user, gateway.submit(user, recipient), recipient, "5.7.5", none_of_them("ee"))
    assert not lab.postfix.messages_for(recipient)


def test_the_answer_at_rcpt_is_the_stops(make_gateway) -> None:
    """For a guaranteed sender; it is a look at the host, which sees certificates, too."""
    policies = {"tls.example": policy_of("ee", "other"), "tls-signed.example": policy_of("ee", "key")}
    gateway = make_gateway(Settings({"guarantee": {"at_rcpt": "probe"}}, policies=policies))
    smtp = gateway.login(user := gateway.add_user(guarantee="on", domain="site.example"))
    try:
        smtp.mail(user.address)
        code, text = smtp.rcpt("finger@tls.example")
        assert code == 550 and text.decode().startswith("5.7.5 "), text
        assert re.search(none_of_them("ee"), text.decode().removeprefix("5.7.5 ")), text
        assert smtp.rcpt("finger@tls-signed.example")[0] == 250
    finally:
        smtp.close()
