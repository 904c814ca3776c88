#!/usr/bin/python3
"""The lint can fail: each kind of finding is seen on a house built wrong."""

import subprocess
import sys
import tempfile
from pathlib import Path

RULE = Path(__file__).with_name("rooms.py")
CASES = {
    "an upward include": ("mail/slice.c", '#include "queue/queue.h"\n'),
    "a sideways include": ("queue/store.c", '#include "bounce/bounce.h"\n'),
    "another room's library": ("queue/store.c", "#include <uv.h>\n"),
    "a banned function": ("mail/slice.c", "void f(char *a) { strcpy(a, a); }\n"),
    "an include not from the root": ("mail/slice.c", '#include "slice.h"\n'),
}


def findings(path: str, text: str) -> int:
    with tempfile.TemporaryDirectory() as root:
        file = Path(root, path)
        file.parent.mkdir(parents=True)
        file.write_text(text)
        return subprocess.run([sys.executable, RULE, root], capture_output=True, check=False).returncode


missed = [name for name, (path, text) in CASES.items() if findings(path, text) == 0]
wrong = findings("mail/slice.c", '#include "mail/slice.h"\n/* strcpy( */\n')
print(f"{len(CASES) - len(missed)} of {len(CASES)} faults found", *missed, "a clean file is refused" if wrong else "")
sys.exit(bool(missed) or wrong)
