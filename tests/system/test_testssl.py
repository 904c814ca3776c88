"""What testssl.sh, a scanner of strangers, finds on the ports that clients use, with an RSA certificate.

Two minutes a port, so only SYSTEM_TEST_LONG=1 (`tests/run --long`) runs it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab.laboratory import Lab
from lab.sealpost import HOSTNAME, Settings

pytestmark = pytest.mark.skipif("SYSTEM_TEST_LONG" not in os.environ, reason="two minutes a port: SYSTEM_TEST_LONG=1")

# What a grade of A rests on (SSL Labs' guide, 2009r). A scan that stopped early lacks some of it and fails.
WANT = {
    **dict.fromkeys(("SSLv2", "SSLv3", "TLS1", "TLS1_1"), "not offered"),
    "TLS1_2": "offered",
    "TLS1_3": "offered with final",
    **dict.fromkeys(("cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_LOW",
                     "cipherlist_3DES_IDEA", "cipherlist_AVERAGE"), "not offered"),
    "cipherlist_STRONG": "offered",
    "PFS": "offered",
    "DH_groups": "RFC3526/Oakley Group 14",  # 2048 bits; the weakest key exchange there is
    "cipher_order": "server",
    "protocol_negotiated": "Default protocol TLS1.3",
    "cert_keySize": "RSA 2048 bits",
    "cert_trust": "Ok via SAN (same w/o SNI)",
    "cert_chain_of_trust": "passed.",
    "certs_list_ordering_problem": "no",
    "heartbleed": "not vulnerable, no heartbeat extension",
    "CCS": "not vulnerable",
    "ROBOT": "not vulnerable, no RSA key transport cipher",
    "secure_renego": "supported",
    "secure_client_renego": "not vulnerable",
    "CRIME_TLS": "not vulnerable (not using HTTP anyway)",
    "POODLE_SSL": "not vulnerable, no SSLv3",
    "fallback_SCSV": "no protocol below TLS 1.2 offered",
    "SWEET32": "not vulnerable",
    "FREAK": "not vulnerable",
    "DROWN": "not vulnerable on this host and port",
    "LOGJAM": "not vulnerable, no DH EXPORT ciphers,",
    "BEAST": "not vulnerable, no SSL3 or TLS1",
    "LUCKY13": "not vulnerable",
    "RC4": "not vulnerable",
    "clientsimulation-apple_mail_16_0": "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384",
    "clientsimulation-thunderbird_91_9": "TLSv1.3 TLS_AES_256_GCM_SHA384",
}

# Findings that are not the gateway's.
NOT_OURS = {
    "cert_revocation": "the lab's CA names neither CRL nor OCSP",
    "DNS_CAArecord": "the lab's zone has no CAA record",
    "service": "with 465 it looks for HTTP, and we say that we are no web server",
    # Ours comes with the greeting, as one segment; a client that read the greeting has it.
    "sessionresumption_ticket": "its client hangs up without waiting for the ticket",
}


def scan(lab: Lab, address: str, port: int, report: Path) -> dict[str, dict[str, str]]:
    """Findings by their name."""
    starttls = ["--starttls", "smtp"] if port == 587 else []
    command = ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--connect-timeout", "10",
               "--openssl-timeout", "10", "--ip", address, "--add-ca", str(lab.web_ca_file),
               "--jsonfile", str(report), *starttls, f"{HOSTNAME}:{port}"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=540)
    assert report.exists(), result.stdout + result.stderr
    return {entry["id"]: entry for entry in json.loads(report.read_text())}


@pytest.mark.parametrize("port", [465, 587])
def test_a_scanner_finds_nothing_below_grade_a(make_gateway, lab: Lab, port: int) -> None:
    gateway = make_gateway(Settings(certificate="gateway-rsa"))
    found = scan(lab, gateway.address, port, gateway.directory / "testssl.json")
    got = {name: found[name]["finding"] if name in found else "missing" for name in WANT}
    assert got == WANT
    ciphers = [entry["finding"] for name, entry in found.items() if name.startswith("cipher_x")]
    assert ciphers and all("GCM" in cipher or "CHACHA20" in cipher for cipher in ciphers), ciphers
    bad = {name: f"{entry['severity']}: {entry['finding']}" for name, entry in found.items()
           if entry["severity"] not in ("OK", "INFO") and name not in NOT_OURS}
    assert not bad
