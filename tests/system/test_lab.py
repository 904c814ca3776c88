"""The lab itself, proven with other people's programs: what it shows is what its tables say."""

import subprocess

import pytest

from lab.finger import finger
from lab.laboratory import Lab
from lab.rogue_mx import CLOSE, RESET, Act, Script
from lab.world import DANE_CASES, DaneCase


def unbound_host(lab: Lab, name: str, rdtype: str) -> str:
    """What libunbound says, with exactly the files that the gateway is given."""
    result = subprocess.run(
        ["unbound-host", "-C", str(lab.dns.unbound_config), "-f", str(lab.dns.trust_anchor), "-v",
         "-t", rdtype, name], capture_output=True, text=True, timeout=60)
    return result.stdout + result.stderr


@pytest.mark.parametrize("name, rdtype, want", [
    ("tls-signed.example", "MX", "(secure)"),
    ("tls.example", "MX", "(insecure)"),
    ("mx-bogus.example", "MX", "(BOGUS"),
    ("mx-expired.example", "MX", "(BOGUS"),
    ("mx-servfail.example", "MX", "SERVFAIL"),
    ("missing.example", "MX", "NXDOMAIN"),
    ("missing.org", "MX", "not found: 3(NXDOMAIN). (secure)"),
    ("nothing.example", "MX", "has no mail handler record (secure)"),
    ("no-tlsa-nsec3.example", "TXT", "has no TXT record (secure)"),
    ("null-mx.example", "MX", "handled by 0 . (secure)"),
    ("_25._tcp.mx.tlsa-311.example", "TLSA", "(secure)"),
    ("_25._tcp.mx.tlsa-bogus.example", "TLSA", "(BOGUS"),
    ("_25._tcp.mx.tlsa-servfail.example", "TLSA", "SERVFAIL"),
    ("_25._tcp.mx.tlsa-subzone-insecure.example", "TLSA", "(insecure)"),
    ("mx.aaaa-denial-bogus.example", "AAAA", "(BOGUS"),
    ("mx.aaaa-denial-bogus.example", "A", "(secure)"),
    ("_25._tcp.mx.aaaa-denial-bogus.example", "TLSA", "(secure)"),
    ("mx.alias-to-insecure.example", "A", "(insecure)"),
    ("mx.alias-to-insecure.example", "CNAME", "(secure)"),
])
def test_libunbound_sees_each_kind_of_answer(lab: Lab, name: str, rdtype: str, want: str) -> None:
    assert want in unbound_host(lab, name, rdtype)


@pytest.mark.parametrize("case", DANE_CASES, ids=lambda case: case.name)
def test_posttls_finger_agrees_with_the_table(lab: Lab, case: DaneCase) -> None:
    wants = {"encrypted": "unauthenticated", "none": "unauthenticated"}
    got, text = finger(lab, case.domain)
    assert got == (case.postfix_differs or wants.get(case.want, case.want)), text
