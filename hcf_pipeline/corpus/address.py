"""The address of a Git repository: which repository it means, what to call its folder, and what in it is secret.

A password or a token in an address is told to git by itself (see git.py): it stands in no command line, in no
configuration of a clone, and in no message.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from hcf_pipeline.errors import CorpusError

NAME_CHARS = 100  # of a folder's name: more than any host allows
PORTS = {"http": "80", "https": "443", "ssh": "22", "git": "9418"}

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SCP = re.compile(r"(?:([^@/:]+)@)?([^@/:]+|\[[^\]/]+\]):(.+)", re.DOTALL)  # git@example.org:owner/name.git
_IN_TEXT = re.compile(r"(\w://)([^\s'\"]*)")


@dataclass(frozen=True)
class Address:
    """One repository and how to reach it."""

    url: str  # without a secret, as git takes it
    place: str  # the same for all addresses of one repository
    owner: str  # what stands before the name: a person, an organisation, a folder
    name: str
    user: str = field(default="", repr=False)  # of http: perhaps a token
    password: str = field(default="", repr=False)

    def public(self, text: str) -> str:
        """The text without what is secret in this address, however it is written there."""
        for secret in filter(None, (self.password, self.user if not self.password else "")):
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return public(text)


def address_of(source: str) -> Address:
    """What an address means: a URL, `user@host:path`, or the path of a folder. Raises CorpusError where it means nothing."""
    if found := _URL.fullmatch(source):
        return _of_url(source, found[1].lower(), found[2])
    if (found := _SCP.fullmatch(source)) and not (os.name == "nt" and len(found[2]) == 1):  # C:\corpus is a folder
        user, host, path = found[1] or "", found[2], found[3]
        return _of_host(source, source, user, host, path)
    try:
        folder = Path(source).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        raise _no_address(source) from None
    return _named(source, str(folder), _place(str(folder)), folder.as_posix())


def public(text: str) -> str:
    """The text without users, passwords and queries of the addresses in it, be they well-formed or not."""
    return _IN_TEXT.sub(lambda found: found[1] + _bare(found[2]), text)


def _bare(rest: str) -> str:
    """What follows :// without all that may be secret: a password may hold any sign, a query an @."""
    head = re.split("[?#]", rest, maxsplit=1)[0]
    return "…" if "@" in rest[len(head) :] else head.rpartition("@")[2]


def _of_url(source: str, scheme: str, rest: str) -> Address:
    authority, _, path = rest.partition("/")
    userinfo, _, host = authority.rpartition("@")
    if scheme == "file":
        return _named(source, source, _place("/" + path), path)
    if "?" in rest or "#" in rest:
        raise CorpusError(
            zh=f"{public(source)} 后面带了 ? 或 #，Git 地址里没有这些；请去掉。令牌请交给 git 的凭据管理（git credential），"
            "或写成 https://用户:令牌@…。",
            en=f"{public(source)} goes on with ? or #, which no Git address has: leave it out. A token belongs in git's "
            "credential helper, or before the host: https://USER:TOKEN@….",
        )
    bare, _, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    if not bare or (port and not port.isdecimal()) or (port and not userinfo and "@" in path):
        raise _no_address(source)
    user, _, password = userinfo.partition(":")
    if scheme not in ("http", "https"):
        shown = f"{user}@" if user else ""
        return _of_host(
            source, f"{scheme}://{shown}{host}/{path}", user, bare if port == PORTS.get(scheme) else host, path
        )
    at = bare if port == PORTS[scheme] else host
    found = _of_host(source, f"{scheme}://{host}/{path}", "", at, path)
    return Address(found.url, found.place, found.owner, found.name, unquote(user), unquote(password))


def _of_host(source: str, url: str, user: str, host: str, path: str) -> Address:
    """The user of ssh is one and the same on every forge; elsewhere each has a home of its own."""
    whose = f"{user}@" if user not in ("", "git") else ""
    place = f"{whose}{host.lower()}/{_place(unquote(path)).strip('/')}"
    return _named(source, url, place, f"{host}/{unquote(path)}")


def _place(path: str) -> str:
    return re.sub(r"(/\.git|\.git)?/*$", "", path.rstrip("/"))


def _named(source: str, url: str, place: str, path: str) -> Address:
    parts = [re.sub(r"[^\w.-]", "-", part).strip(".-") for part in _place(path).split("/") if part]
    name = parts[-1] if parts else ""
    if not name or len(name.encode()) > NAME_CHARS or "\0" in source:
        raise _no_address(source)
    return Address(url, place, parts[-2] if len(parts) > 1 else "", name)


def _no_address(source: str) -> CorpusError:
    shown = public(source).replace("\0", "\\0")
    shown = shown if len(shown) <= NAME_CHARS else shown[:NAME_CHARS] + "…"
    return CorpusError(
        zh=f"{shown} 不像 Git 地址；密码里的 / 要写成 %2F。",
        en=f"{shown} is no Git address; in a password / is written %2F.",
    )
