"""The private network: a namespace whose loopback owns the documentation networks (and the shared one of
RFC 6598, for its room).

Each pytest process enters a namespace of its own, so ports 25, 53, 443 and 587 are free and nothing
can reach, or be reached by, the machine's own mail system.
"""

import ctypes
import os
import subprocess
from pathlib import Path

# Who lives where.
ROOT_DNS = "192.0.2.1"
TLD_DNS = "192.0.2.2"
LEAF_DNS = "192.0.2.3"
SILENT_DNS = "192.0.2.4"  # never answers
LAME_DNS = "192.0.2.5"  # refuses every question
RESOLVER = "127.0.0.1"
GATEWAY = "192.0.2.10"
STAND_IN = "192.0.2.12"  # a submission server of Postfix and Dovecot
SECOND_SOURCE = "192.0.2.11"
MAILBOX = ("127.0.0.1", 2424)  # LMTP sink: the users' own mail store
POSTFIX_SINK = ("127.0.0.1", 2425)  # LMTP sink: what the Postfix MX hosts accepted
DOVECOT_LMTP = ("127.0.0.1", 2426)
SMARTHOST = "192.0.2.87"
WEB = ("198.51.100.200", "2001:db8:100::200")  # every HTTPS host: policy hosts, collectors of TLS reports
DEAD_WEB = "203.0.113.98"  # nobody listens

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_LOCAL_V4 = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "100.64.0.0/10")
_LOCAL_V6 = ("2001:db8::/32",)


def enter_private_network() -> None:
    """Moves this process, and what it starts from now on, into a fresh network and mount namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, "unshare: " + os.strerror(errno))
    _command("mount", "--make-rprivate", "/")
    _command("ip", "link", "set", "lo", "up")
    for network in _LOCAL_V4:
        _command("ip", "route", "add", "local", network, "dev", "lo")
    for network in _LOCAL_V6:
        _command("ip", "-6", "route", "add", "local", network, "dev", "lo")
    # Unlike IPv4, IPv6 binds an address of a local route only when told that it need not be assigned.
    # /proc/sys/net shows the network of the thread that looks, so this stays in the namespace.
    Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")


def use_resolver(directory: Path) -> None:
    """Makes the libc resolver ask our validating unbound (Postfix, curl and others read this)."""
    own = directory / "resolv.conf"
    own.write_text(f"nameserver {RESOLVER}\noptions trust-ad edns0\n")
    _command("mount", "--bind", str(own), str(Path("/etc/resolv.conf").resolve()))


def _command(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, text=True)
