#!/usr/bin/python3
"""Holds the drawing of the house: rooms include lower floors only, one door per library, and no banned function.

    tests/lint/rooms.py [ROOT]      prints FILE:LINE: what is wrong; exit status 1 when there is anything
"""

import re
import sys
from pathlib import Path

FLOORS = {
    "mail": 0,
    "queue": 1, "bounce": 1, "gateway/guarantee": 1, "gateway/net": 1,
    "gateway/tls": 2, "gateway/dns": 2,
    "gateway/sts": 3,
    "gateway/posture": 3,
    "gateway/submission": 4, "gateway/delivery": 4, "gateway/control": 4, "gateway/tlsrpt": 4,
    "gateway": 5,
}
DOORS = {  # library header: where it may be included
    "uv.h": ("gateway/net/",),
    "openssl/": ("gateway/tls/",),
    "unbound.h": ("gateway/dns/",),
    "lmdb.h": ("queue/",),
    "gsasl.h": ("gateway/submission/auth.c",),
    "curl/": ("gateway/sts/",),
    "jansson.h": ("gateway/control/", "gateway/tlsrpt/document.c"),
    "confuse.h": ("gateway/config.c",),
    "idn2.h": ("mail/",),
    "dkim.h": ("gateway/tlsrpt/sign.c",),
    "zlib.h": ("gateway/tlsrpt/document.c",),
    "systemd/": ("gateway/daemon.c",),
}
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets|sscanf|alloca)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"", re.S)


def room_of(path: str) -> str:
    folder = path.rsplit("/", 1)[0] if "/" in path else ""
    return folder if folder in FLOORS else ""


def check_include(path: str, kind: str, target: str) -> str:
    room = room_of(path)
    if kind == '"':
        other = room_of(target)
        if not other:
            return f'"{target}" is in no room; includes are written from the root'
        if other != room and FLOORS[other] >= FLOORS[room]:
            return f"{room} (floor {FLOORS[room]}) includes {other} (floor {FLOORS[other]})"
        return ""
    for library, allowed in DOORS.items():
        is_it = target.startswith(library) if library.endswith("/") else target == library
        if is_it and not path.startswith(allowed):
            return f"<{target}> belongs to {', '.join(allowed)} alone"
    return ""


def without_comments(text: str) -> str:
    return COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_file(root: Path, path: str) -> list[str]:
    text = (root / path).read_text()
    findings = []
    for number, line in enumerate(text.splitlines(), 1):
        include = INCLUDE.match(line)
        finding = include and check_include(path, include.group(1), include.group(2))
        if finding:
            findings.append(f"{path}:{number}: {finding}")
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        banned = BANNED.search(line)
        if banned:
            findings.append(f"{path}:{number}: {banned.group(1)} is banned (STYLE, Bytes)")
    return findings


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2])
    files = [str(path.relative_to(root)) for room in FLOORS for path in sorted((root / room).glob("*.[ch]"))]
    findings = [finding for path in files for finding in check_file(root, path)]
    print("\n".join(findings) or f"{len(files)} files in {len(FLOORS)} rooms: every arrow points down")
    return 1 if findings or not files else 0


if __name__ == "__main__":
    sys.exit(main())
