"""docs/settings.md, written from the schema: `python -m hcf_pipeline.settings.reference > docs/settings.md`."""

from __future__ import annotations

import json
import tomllib

from hcf_pipeline.settings import Sections
from hcf_pipeline.settings.file import PROFILES
from hcf_pipeline.settings.types import Section

HEAD = """# Settings

Written from the schema by `python -m hcf_pipeline.settings.reference > docs/settings.md`; a test keeps it true.

All of them live in `hcf.toml`. Later layers win: the default here, the profile's value, the file's section, the file's
`[profiles.NAME.SECTION]`, the environment's `HCF_<SECTION>__<KEY>` (lists as TOML, or separated by commas).
A mistake is refused with file, line, key and what is allowed.

"changes" says what a setting changes. *result*: what is made, so that what reads it is made anew. *serving*: what is
answered from what was made. *run*: when, where or how fast something is done, and what may be released; nothing is made
anew for it.

Before the sections may stand `profile` ("embedded", "gte-base", "qwen" or "qwen3", or one of your own) and `home`, the folder of artifacts and
of Dagster's storage (default `.hcf` beside `hcf.toml`; `--home` and `HCF_HOME` go before it).
"""


def reference() -> str:
    profiles = {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(PROFILES.glob("*.toml"))}
    parts = [HEAD]
    for name, field in Sections.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, Section)):
            continue
        naming = {profile: table[name] for profile, table in profiles.items() if name in table}
        parts.append(f"## [{name}]\n\n| {' | '.join(['key', 'default', *naming, 'changes', 'meaning'])} |")
        parts.append("|---" * (4 + len(naming)) + "|")
        defaults, kinds = model().model_dump(mode="json"), model.kinds()
        for key, described in model.model_fields.items():
            values = [_shown(table.get(key)) for table in naming.values()]
            row = [f"`{key}`", _shown(defaults[key]) or "none", *values, str(kinds[key]), described.description or ""]
            parts.append(f"| {' | '.join(row)} |")
        parts.append("")
    return "\n".join(parts)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return "`" + json.dumps(value, ensure_ascii=False).replace("|", "\\|") + "`"


if __name__ == "__main__":
    print(reference(), end="")
