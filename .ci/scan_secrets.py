"""Looks for tokens and private keys in the files that Git has, or would have after `git add`.

Prints file, line and kind of each, never the secret itself, and exits with 1 when there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

KINDS = {
    "Hugging Face token": rb"\bhf_[A-Za-z0-9]{30,}",
    "GitHub token": rb"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{30,}",
    "AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "API key": rb"\bsk-[A-Za-z0-9_-]{32,}",
    "Slack token": rb"\bxox[abprs]-[A-Za-z0-9-]{20,}",
    "private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----",
}


def main(root: Path) -> int:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    found = 0
    for name in names:
        file = root / name
        if not file.is_file() or file.is_symlink():
            continue
        for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
            for kind, pattern in KINDS.items():
                if re.search(pattern, line):
                    print(f"{name}:{number}: {kind}; revoke it, then take it out of the history")
                    found += 1
    print(f"scan for secrets: {found} found in {len(names)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()))
