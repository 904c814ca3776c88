#!/usr/bin/env python3
"""Every event that the source names is in the manual of the daemon, and none that is not.

    tests/lint/events.py [ROOT]      prints what is wrong; exit status 1 when there is anything
"""
import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2])
CALL = re.compile(r"\bEVENT\((.*?)(?:\bFIELD|\);)", re.S)
NAME = re.compile(r'"([a-z][a-z-]*)"')
LISTED = re.compile(r"^\.It Li (.+)$|^\.Ql (.+)$", re.M)


def named_in_source() -> set[str]:
    found: set[str] = set()
    for path in sorted(p for room in ("gateway", "queue", "bounce", "mail") for p in (ROOT / room).rglob("*.c")):
        for call in CALL.findall(path.read_text()):
            found |= set(NAME.findall(call))
    return found


def named_in_manual() -> tuple[set[str], set[str]]:
    page = (ROOT / "etc/man/sealpostd.8").read_text()
    log = page[page.index(".Sh LOG"):page.index(".Sh NOTICES")]
    items = {word for item, _ in LISTED.findall(log) for word in re.findall(r"[a-z][a-z-]*", item)}
    return items, items | set(re.findall(r"[a-z][a-z-]*", " ".join(quoted for _, quoted in LISTED.findall(log))))


def main() -> int:
    source = named_in_source()
    items, known = named_in_manual()
    wrong = [f"etc/man/sealpostd.8: event {name} is not explained" for name in sorted(source - known)]
    wrong += [f"etc/man/sealpostd.8: no source names event {name}" for name in sorted(items - source)]
    print("\n".join(wrong) if wrong else f"{len(source)} events, each in the manual")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
