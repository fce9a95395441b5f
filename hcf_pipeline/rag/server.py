"""A model behind an address: JSON out, JSON back, tried again where that may help, each failure one sentence.

The key stands in a request's header and nowhere else: a `Key` shows its variable wherever it is printed, what a server
says is passed on without it, and the HTTP library's own errors, which may quote what was sent, are not passed on at all.
It goes over plain http only within this machine or a private network, and no redirect is followed with it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hcf_pipeline.errors import Sentence, ServerBusy, ServerError, SettingsError
from hcf_pipeline.files import parsed_json
from hcf_pipeline.text import one_line

if TYPE_CHECKING:
    import httpx2

PATIENT, AT_ONCE = 5, 2  # tries: of a long job's request, and of a person's who waits for an answer
FIRST_WAIT_S = 1.0  # before the second try; twice as long before each further one
LONGEST_WAIT_S = 60.0  # whatever the server's Retry-After says
SAID_CHARS = 200
TOO_MUCH = (400, 413, 422)  # what servers answer to more texts than they take at a time
PRIVATE = (".localhost", ".local", ".lan", ".internal", ".home.arpa")


class RequestRefused(ServerError):
    """The server understood, and says no: 4xx."""

    def __init__(self, status: int, *, zh: str, en: str) -> None:
        super().__init__(zh=zh, en=en)
        self.status = status


@dataclass(frozen=True)
class Key:
    variable: str
    value: str = field(repr=False)


def find_key(variable: str, setting: str, url: str) -> Key | None:
    """The key that an environment variable holds; None where none is named.

    Raises SettingsError for a variable that is not set or holds no key, and where the key would cross the open network
    unencrypted.
    """
    if not variable:
        return None
    value = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[!-~]+", value):
        raise SettingsError(
            zh=f"{setting} 指定的环境变量 {variable} 没有设置，或里面不是密钥；请设置它，服务器不要密钥时把 {setting} 设为空。",
            en=f"The environment variable {variable}, which {setting} names, is not set or holds no key; set it, or leave "
            f"{setting} empty where the server wants no key.",
        )
    if urlsplit(url).scheme == "http" and not _is_private(url):
        raise SettingsError(
            zh=f"{url} 是明文的 http，{variable} 里的密钥会被沿途看到，所以不发送；请改用 https://。",
            en=f"{url} is plain http, on which the key in {variable} could be read by anybody on the way, so it is not sent; "
            "use https://.",
        )
    return Key(variable, value)


class Endpoint:
    """One address that takes JSON by POST. Safe to share between threads."""

    def __init__(self, url: str, key: Key | None, timeout_s: float, tries: int, advice: Sentence) -> None:
        """`advice` is the next step where the server is not there or says no: which settings to check."""
        import httpx2

        self.url = url
        self._key = key
        self._timeout_s = timeout_s
        self._tries = tries
        self._advice = advice
        headers = {"authorization": f"Bearer {key.value}"} if key else {}
        # a proxy of the environment leads outwards, and not back to this machine
        self._client = httpx2.Client(headers=headers, timeout=timeout_s, trust_env=not _is_loopback(url))

    def post(self, body: Mapping[str, object]) -> Any:
        """The answer's JSON. Raises RequestRefused for a 4xx, ServerBusy where all tries failed, ServerError for the rest."""
        import httpx2

        for left in reversed(range(self._tries)):
            waited_s = FIRST_WAIT_S * 2 ** (self._tries - 1 - left)
            try:
                answer = self._client.post(self.url, json=body)
            except httpx2.TransportError as error:
                if not left:
                    raise self._unreachable(isinstance(error, httpx2.TimeoutException)) from None
            else:
                if answer.is_success:
                    return self._json(answer)
                if answer.status_code != 429 and answer.status_code < 500:
                    raise self._refused(answer)
                if not left:
                    raise self._busy(answer)
                waited_s = _retry_after_s(answer.headers.get("retry-after", ""), waited_s)
            time.sleep(waited_s)
        raise AssertionError("unreachable")

    def unexpected(self, zh: str, en: str) -> ServerError:
        """That what came back is not what such a server answers with."""
        return ServerError(
            zh=f"{self.url} 的答复不对：{zh}；{self._advice['zh']}。",
            en=f"{self.url} does not answer as it should: {en}; {self._advice['en']}.",
        )

    def _json(self, answer: httpx2.Response) -> Any:
        try:
            return parsed_json(answer.content)
        except ValueError:
            raise self.unexpected(
                f"不是 JSON（{self._said(answer)}）", f"it is no JSON ({self._said(answer)})"
            ) from None

    def _unreachable(self, timed_out: bool) -> ServerBusy:
        if timed_out:
            return ServerBusy(
                zh=f"{self.url} 在 {self._timeout_s:g} 秒内没有答复；请看看它是不是太忙，调小 [encoder] batch_size，"
                "或调大 [encoder] timeout_s。",
                en=f"{self.url} did not answer within {self._timeout_s:g} s; see whether it is overloaded, lower [encoder] "
                "batch_size, or raise [encoder] timeout_s.",
            )
        return ServerBusy(
            zh=f"连不上 {self.url}；请启动那个服务器，或{self._advice['zh'].removeprefix('请')}。",
            en=f"{self.url} cannot be reached; start that server, or {self._advice['en']}.",
        )

    def _busy(self, answer: httpx2.Response) -> ServerBusy:
        return ServerBusy(
            zh=f"{self.url} 试了 {self._tries} 次都答复 {answer.status_code}（{self._said(answer)}）；请过一会儿再运行，做好的不会重做。",
            en=f"{self.url} answered {answer.status_code} to each of {self._tries} tries ({self._said(answer)}); run this again "
            "later, what is done is not done twice.",
        )

    def _refused(self, answer: httpx2.Response) -> RequestRefused:
        status, said = answer.status_code, self._said(answer)
        if status in (401, 403) and self._key:
            return RequestRefused(
                status,
                zh=f"{self.url} 不接受 {self._key.variable} 里的密钥（{status}：{said}）；请检查它，再运行一次。",
                en=f"{self.url} refuses the key in {self._key.variable} ({status}: {said}); check it and run this again.",
            )
        if status in (401, 403):
            return RequestRefused(
                status,
                zh=f"{self.url} 要密钥（{status}：{said}）；请把它放进一个环境变量，并在 api_key_env 里写那个变量的名字。",
                en=f"{self.url} wants a key ({status}: {said}); put it into an environment variable and name that in api_key_env.",
            )
        return RequestRefused(
            status,
            zh=f"{self.url} 答复 {status}（{said}）；{self._advice['zh']}。",
            en=f"{self.url} answered {status} ({said}); {self._advice['en']}.",
        )

    def _said(self, answer: httpx2.Response) -> str:
        """The server's own words in one line, without the key that it may echo."""
        text = answer.text
        with suppress(ValueError):
            text = _message(parsed_json(text)) or text
        text = text.replace(self._key.value, "***") if self._key else text
        text = one_line(" ".join(text.split())) or "no words"
        return text if len(text) <= SAID_CHARS else text[: SAID_CHARS - 1] + "…"


def _message(body: object) -> str:
    """Where servers put what is wrong: {"error": {"message": …}}, {"error": …}, {"message": …}, {"detail": …}."""
    while isinstance(body, dict):
        body = next((body[name] for name in ("error", "message", "detail") if body.get(name)), None)
    return body if isinstance(body, str) else ""


def _retry_after_s(given: str, otherwise_s: float) -> float:
    try:
        wanted = float(given) if given.strip().isdecimal() else parsedate_to_datetime(given).timestamp() - time.time()
    except (ValueError, TypeError):
        return otherwise_s
    return min(max(wanted, 0), LONGEST_WAIT_S)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_private(url: str) -> bool:
    """An address of a private network, or a name that only such a network knows."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(PRIVATE)
