"""Certificates: a small CA maker, and TLSA records over what it made."""

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


@dataclass
class Certificate:
    """A certificate with its key. `chain` is what a server sends above it, leaf's issuer first."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    chain: tuple["Certificate", ...]
    key_file: Path
    chain_file: Path  # leaf and chain
    all_file: Path  # key, leaf and chain: Postfix's smtpd_tls_chain_files

    def tlsa(self, usage: int, selector: int, matching: int) -> str:
        """The data of a TLSA record that matches this certificate."""
        return f"{usage} {selector} {matching} {self._association(selector, matching).hex()}"

    def _association(self, selector: int, matching: int) -> bytes:
        if selector == 0:
            data = self.certificate.public_bytes(_DER)
        else:
            data = self.certificate.public_key().public_bytes(
                _DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]


class Pki:
    """Makes keys and certificates under one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True)

    def authority(self, name: str, issuer: Certificate | None = None) -> Certificate:
        return self._make(name, [], issuer, is_ca=True, expired=False)

    def server(self, label: str, names: list[str], issuer: Certificate | None = None,
               expired: bool = False, rsa_bits: int = 0, has_names: bool = True) -> Certificate:
        """A server certificate for DNS names; self-signed without issuer. Its key is on P-256, or RSA's. Without
        `has_names` the first name stands in the subject alone, as it did of old."""
        return self._make(label, names, issuer, is_ca=False, expired=expired, rsa_bits=rsa_bits, has_names=has_names)

    def without_chain(self, label: str, leaf: Certificate) -> Certificate:
        """The same certificate, sent without its issuers."""
        return self._write(label, leaf.certificate, leaf.key, ())

    def _make(self, label: str, names: list[str], issuer: Certificate | None, is_ca: bool,
              expired: bool, rsa_bits: int = 0, has_names: bool = True) -> Certificate:
        key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else label)])
        now = datetime.datetime.utcnow()
        day = datetime.timedelta(days=1)
        begin, end = (now - 20 * day, now - 10 * day) if expired else (now - day, now + 90 * day)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if issuer:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
                critical=False)
        if names and has_names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
        chain = (issuer, *issuer.chain) if issuer else ()
        return self._write(label, certificate, key, chain)

    def _write(self, label: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
               chain: tuple[Certificate, ...]) -> Certificate:
        key_pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption())
        chain_pem = b"".join(c.public_bytes(_PEM)
                             for c in (certificate, *(above.certificate for above in chain)))
        files = [self.directory / f"{label}.{kind}" for kind in ("key", "chain", "pem")]
        for path, content in zip(files, (key_pem, chain_pem, key_pem + chain_pem)):
            path.write_bytes(content)
            path.chmod(0o600)
        return Certificate(certificate, key, chain, *files)
