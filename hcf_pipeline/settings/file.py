"""`hcf.toml` and the environment as validated settings.

Later layers win: the schema's defaults < the profile's table (`profiles/NAME.toml` in the package) < the sections of
`hcf.toml` < its `[profiles.NAME.SECTION]` tables < `HCF_<SECTION>__<KEY>` in the environment. A mistake in any of them is
one sentence that names the file and line (or the variable), the key, and what is allowed.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from hcf_pipeline.corpus.address import public
from hcf_pipeline.errors import SettingsError
from hcf_pipeline.settings import EMBEDDED, Sections, Settings
from hcf_pipeline.settings.types import Refused, Section

CONFIG_NAME = "hcf.toml"
HOME_NAME = ".hcf"
SHOWN_CHARS = 200  # of a value that is refused
_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE]-?\d+)?")
PROFILES = Path(__file__).parents[1] / "profiles"


def load_settings(
    config: Path | None = None,
    *,
    profile: str | None = None,
    home: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    tried: Sequence[str] = (),
    file_optional: bool = False,
) -> Settings:
    """The settings of `config` (default: `HCF_CONFIG`, then hcf.toml in the working folder).

    `file_optional`: the defaults, where there is no such file.
    `tried` ("section.key=value" each) go before all others. Raises SettingsError with file, line and key, or the name of the environment variable.
    """
    file = Path(config or environ.get("HCF_CONFIG") or CONFIG_NAME).absolute()
    text = "" if file_optional and not os.path.lexists(file) else _read(file)
    tables = _parse(file, text)
    own_profiles = _table(file, tables.pop("profiles", {}), "profiles")
    name = profile or environ.get("HCF_PROFILE") or str(tables.pop("profile", EMBEDDED))
    tables.pop("profile", None)
    home_key = tables.pop("home", "")
    if not isinstance(home_key, str) or "\0" in home_key:
        raise SettingsError(
            zh=f"{_where(file, text, 'home', None)}：home 应为文字，即产物目录。",
            en=f"{_where(file, text, 'home', None)}: home has to be text, the folder of artifacts.",
        )
    built_in = {file.stem: file for file in PROFILES.glob("*.toml")}
    if name not in built_in and name not in own_profiles:
        names = sorted({*built_in, *own_profiles})
        raise SettingsError(
            zh=f"没有名为 {name} 的配置档（profile）；可用的有：{'、'.join(names)}。",
            en=f"There is no profile {name!r}; there are: {', '.join(names)}.",
        )
    merged: dict[str, object] = {}
    origins: dict[tuple[str, ...], str] = {}
    if preset := built_in.get(name):
        _overlay(merged, origins, _parse(preset, preset.read_text(encoding="utf-8")), preset, "", "")
    _overlay(merged, origins, tables, file, text, "")
    if name in own_profiles:
        own = _table(file, own_profiles[name], f"profiles.{name}")
        _overlay(merged, origins, own, file, text, f"profiles.{name}.")
    _overlay_environment(merged, origins, environ)
    _overlay_tried(merged, origins, tried)
    merged["profile"] = name
    try:
        sections = Sections.model_validate_json(json.dumps(merged, default=str), strict=True)
    except RecursionError:
        raise _too_deep(file) from None
    except ValidationError as error:
        raise _first_mistake(error, origins, file) from None
    given_home = home or (Path(environ["HCF_HOME"]) if environ.get("HCF_HOME") else None)
    chosen_home = given_home.absolute() if given_home else file.parent / (home_key or HOME_NAME)
    return Settings(sections=sections, config=file, home=chosen_home)


def own_home(config: Path) -> Path:
    """The home that a project's own file names, whatever is given for once (--home, HCF_HOME). Raises SettingsError."""
    own = _parse(config, _read(config)).get("home")
    return config.parent / (own if isinstance(own, str) and own else HOME_NAME)


def no_config(file: Path) -> SettingsError:
    return SettingsError(
        zh=f"找不到配置文件 {file}；请到项目目录里运行、用 --config 指定，或先运行 hcf init 文稿目录。",
        en=f"There is no {file}; run this in the project's folder, give --config, or write one with hcf init FOLDER.",
    )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise no_config(file) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(zh=f"读不了配置文件 {file}：{error}。", en=f"Cannot read {file}: {error}.") from error


def _parse(file: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _too_deep(file) from None
    except ValueError as error:  # a TOMLDecodeError, or of a number with thousands of digits
        raise SettingsError(
            zh=f"{file} 不是有效的 TOML：{error}。请改正这一行。",
            en=f"{file} is not valid TOML: {error}. Correct that line.",
        ) from error


def _too_deep(file: Path) -> SettingsError:
    return SettingsError(
        zh=f"{file} 里有嵌套太深的值；设置最多是一个列表。",
        en=f"A value in {file} is nested too deeply; a setting is a list at most.",
    )


def _table(file: Path, value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise SettingsError(zh=f"{file} 里的 [{name}] 应是一个表。", en=f"[{name}] in {file} has to be a table.")
    return value


def _overlay(
    merged: dict[str, object],
    origins: dict[tuple[str, ...], str],
    tables: Mapping[str, object],
    file: Path,
    text: str,
    prefix: str,
) -> None:
    for section, values in tables.items():
        origins[(section,)] = _where(file, text, prefix + section, None)
        if not isinstance(values, dict):
            merged[section] = values
            continue
        before = merged.get(section)
        merged[section] = {**(before if isinstance(before, dict) else {}), **values}
        for key in values:
            origins[(section, key)] = _where(file, text, prefix + section, key)


def _where(file: Path, text: str, table: str, key: str | None) -> str:
    """`file:line` of a key (or of the table's header); tomllib keeps no positions."""
    current = ""
    for number, line in enumerate(text.split("\n"), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = header[1].replace(" ", "").replace('"', "")
            if key is None and current == table:
                return f"{file}:{number}"
        elif found := re.match(r"""\s*["']?([^"'=\s]+)["']?\s*=""", line):
            dotted = f"{current}.{found[1]}" if current else found[1]
            if dotted == (f"{table}.{key}" if key else table):
                return f"{file}:{number}"
    return str(file)


def _overlay_environment(
    merged: dict[str, object], origins: dict[tuple[str, ...], str], environ: Mapping[str, str]
) -> None:
    for variable, raw in sorted(environ.items()):
        if not variable.startswith("HCF_") or "__" not in variable:
            continue
        _require_text(variable, variable + raw)
        section, _, key = variable.removeprefix("HCF_").lower().partition("__")
        origins[(section,)] = origins[(section, key)] = variable
        before = merged.get(section)
        merged[section] = {**(before if isinstance(before, dict) else {}), key: _from_text(section, key, raw)}


def _overlay_tried(merged: dict[str, object], origins: dict[tuple[str, ...], str], tried: Sequence[str]) -> None:
    for given in tried:
        _require_text("-s", given)
        name, equals, raw = given.partition("=")
        section, _, key = name.strip().partition(".")
        if not (equals and section and key):
            raise SettingsError(
                zh=f"-s {given}：应写成 section.key=value，例如 -s retrieval.top_k=3。",
                en=f"-s {given}: write section.key=value, such as -s retrieval.top_k=3.",
            )
        origins[(section,)] = origins[(section, key)] = f"-s {given}"
        before = merged.get(section)
        merged[section] = {**(before if isinstance(before, dict) else {}), key: _from_text(section, key, raw.strip())}


def _require_text(origin: str, given: str) -> None:
    """What the shell hands over is bytes; those that are no text come as lone surrogates."""
    try:
        given.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = origin.encode("utf-8", "backslashreplace").decode("utf-8")
        raise SettingsError(zh=f"{shown} 不是 UTF-8 文字。", en=f"{shown} is no text in UTF-8.") from error


def _from_text(section: str, key: str, raw: str) -> object:
    """The text of an environment variable as the type that its key wants; anything else stays text and is refused later."""
    kind = _schema(section, key).get("type")
    if kind == "array":
        try:
            return tomllib.loads(f"value = {raw}")["value"] if raw.startswith("[") else raw.split(",")
        except (ValueError, RecursionError):
            return raw
    if kind in ("integer", "number", "boolean") or (
        kind is None and _NUMBER.fullmatch(raw)
    ):  # None: one of several kinds
        try:
            return json.loads(raw.lower())
        except (ValueError, RecursionError):
            return raw
    return raw


def _schema(section: str, key: str) -> dict[str, object]:
    field = Sections.model_fields.get(section)
    model = field.annotation if field else None
    if not (isinstance(model, type) and issubclass(model, Section)):
        return {}
    found = model.model_json_schema()["properties"].get(key, {})
    return dict(found)


def _first_mistake(error: ValidationError, origins: Mapping[tuple[str, ...], str], file: Path) -> SettingsError:
    first = error.errors()[0]
    place = tuple(str(part) for part in first["loc"])
    if not place:  # the JSON itself
        return _too_deep(file)
    origin = origins.get(place[:2]) or origins.get(place[:1]) or str(file)
    name = f"[{place[0]}] {place[1]}" if len(place) > 1 else f"[{place[0]}]"
    if first["type"] == "extra_forbidden":
        known = _known(place)
        near = difflib.get_close_matches(place[-1], known, n=1)
        zh_hint = f"是不是 {near[0]}？" if near else ""
        en_hint = f"Did you mean {near[0]}? " if near else ""
        return SettingsError(
            zh=f"{origin}：没有 {name} 这个设置。{zh_hint}可用的有：{'、'.join(known)}。",
            en=f"{origin}: there is no setting {name}. {en_hint}Allowed: {', '.join(known)}.",
        )
    refusal = first.get("ctx", {}).get("error")
    if isinstance(refusal, Refused):
        zh, en = refusal.zh, refusal.en
    else:
        zh, en = _allowed(_schema(*place[:2]) if len(place) > 1 else {"type": "object"})
    zh_item, en_item = _item(first["loc"])
    given = json.dumps(first["input"], ensure_ascii=False, default=str)
    given = "…" if place[-1].endswith("api_key_env") else public(given)  # perhaps the key itself
    given = given if len(given) <= SHOWN_CHARS else given[:SHOWN_CHARS] + "…"
    return SettingsError(
        zh=f"{origin}：{name}{zh_item} = {given} 不行，应为{zh}。",
        en=f"{origin}: {name}{en_item} = {given} is not possible; allowed is {en}.",
    )


def _item(place: Sequence[str | int]) -> tuple[str, str]:
    """Which one of a list, counted from 1 as people do."""
    if len(place) > 2 and isinstance(number := place[2], int):
        return f"（第 {number + 1} 项）", f" (item {number + 1})"
    return "", ""


def _known(place: tuple[str, ...]) -> list[str]:
    if len(place) == 1:
        return [name for name in Sections.model_fields if name != "profile"]
    model = Sections.model_fields[place[0]].annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, Section) else []


_KINDS = {
    "integer": ("整数", "an integer"),
    "number": ("数字", "a number"),
    "boolean": ("true 或 false", "true or false"),
    "string": ("文字", "text"),
    "object": ("一个表", "a table"),
}
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "n × {}",
}


def _allowed(schema: Mapping[str, object]) -> tuple[str, str]:
    """What a JSON schema allows, in Chinese and English."""
    if isinstance(choices := schema.get("enum"), list):
        listed = [json.dumps(choice, ensure_ascii=False) for choice in choices]
        return "、".join(listed) + " 之一", "one of " + ", ".join(listed)
    if isinstance(options := schema.get("anyOf"), list):
        zh, en = _allowed(options[0])
        if isinstance(word := options[1].get("const"), str):
            return f'{zh}，或 "{word}"', f'{en}, or "{word}"'
        return zh, en
    if schema.get("format") == "date":
        return "一天，例如 2024-05-01", "a day, such as 2024-05-01"
    if schema.get("type") == "array":
        zh, en = '文字的列表，例如 ["…"]', 'a list of texts, such as ["…"]'
        return (zh + "，不能为空", en + ", not empty") if schema.get("minItems") else (zh, en)
    zh, en = _KINDS.get(str(schema.get("type")), ("另一种值", "another value"))
    bounds = ", ".join(words.format(schema[key]) for key, words in _BOUNDS.items() if key in schema)
    if schema.get("minLength"):
        zh, en = "非空" + zh, en + " that is not empty"
    return (f"{zh}（{bounds}）", f"{en} ({bounds})") if bounds else (zh, en)
