"""What went wrong with the Hub, in a sentence with its next step.

`explain` reads the type of huggingface_hub's error and the answer's status, never its text: a server may echo what it
was sent. For the same reason callers raise the result `from None`.
"""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from hcf_pipeline.errors import HubBusy, HubError, closed
from hcf_pipeline.files import is_closed
from hcf_pipeline.hub.token import Token

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
MIRROR_ZH = (
    "请检查网络与代理后重试；在中国大陆可设置 HF_ENDPOINT=https://hf-mirror.com，"
    "或把模型放到本地文件夹并在 model 里写它的路径。"
)
MIRROR_EN = (
    "Check network and proxy and run this again; in mainland China set HF_ENDPOINT=https://hf-mirror.com, "
    "or put the model into a folder and name that as model."
)


def endpoint() -> str:
    """The Hub in use, without a user or password that its address may carry."""
    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}" if address.scheme else address.path


def explain(  # noqa: PLR0911, PLR0912 - one return for each thing that can go wrong
    error: Exception,
    *,
    model: str = "",
    revision: str = "",
    token: Token | None = None,
    cache: Path | None = None,
) -> HubError:
    """The HubError that tells what `error` means; an unknown one by its type and status alone.

    Raises `error` itself where it is not the Hub's, the network's or the disk's doing.
    """
    import httpx2
    from huggingface_hub import errors as hub

    if isinstance(error, HubError):
        return error
    chain = list(_causes(error))
    if full := next((e for e in chain if isinstance(e, OSError) and e.errno in FULL), None):
        return disk_full(cache or Path(str(full.filename or "~")), needed=None, free=_free(cache))
    status = next((e.response.status_code for e in chain if isinstance(e, hub.HfHubHTTPError)), None)
    at = endpoint()
    for cause in chain:
        match cause:
            case hub.OfflineModeIsEnabled():
                return not_cached(model, revision, cache)
            case hub.GatedRepoError():
                return _gated(model, at, token)
            case hub.RevisionNotFoundError():
                return HubError(
                    zh=f"{at} 上的 {model} 没有版本 {revision}；请到 {at}/{model}/commits 查找，改正 revision。",
                    en=f"{model} at {at} has no revision {revision}; look it up at {at}/{model}/commits "
                    "and correct revision.",
                )
            case hub.RepositoryNotFoundError():
                return _not_found(model, at, token)
            case hub.DisabledRepoError():
                return HubError(
                    zh=f"{at} 上的 {model} 已被停用；请换一个模型。",
                    en=f"{model} was disabled at {at}; choose another model.",
                )
            case hub.HfHubHTTPError() | httpx2.HTTPStatusError() if status is not None:
                return _status(status, model, at, token)
            case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
                return HubError(
                    zh=f"HF_ENDPOINT“{at}”不是网址；请写成 https://… 的形式，或取消这个环境变量。",
                    en=f'HF_ENDPOINT "{at}" is no web address; write it as https://…, or unset the variable.',
                )
            case httpx2.ProxyError():
                return HubError(
                    zh=f"经代理连接 {at} 失败；请检查环境变量 HTTPS_PROXY 和 HTTP_PROXY。",
                    en=f"The proxy does not lead to {at}; check the variables HTTPS_PROXY and HTTP_PROXY.",
                )
            case httpx2.TimeoutException():
                return HubBusy(
                    zh=f"{at} 迟迟没有应答（超时）。{MIRROR_ZH}",
                    en=f"{at} did not answer in time. {MIRROR_EN}",
                )
            case socket.gaierror():
                return HubError(
                    zh=f"找不到 {at} 的地址（DNS 解析失败）。{MIRROR_ZH}",
                    en=f"The address of {at} is not to be found (DNS). {MIRROR_EN}",
                )
            case ConnectionRefusedError():
                return HubError(zh=f"{at} 拒绝连接。{MIRROR_ZH}", en=f"{at} refused the connection. {MIRROR_EN}")
            case hub.FileMetadataError():
                return _no_hub(at)
    for cause in chain:
        match cause:
            case httpx2.ConnectError():
                return HubError(zh=f"连不上 {at}。{MIRROR_ZH}", en=f"{at} cannot be reached. {MIRROR_EN}")
            case httpx2.TransportError():
                return partial(model, at)
    return _last(error, model, at, cache)


def disk_full(where: Path, *, needed: int | None, free: int | None) -> HubError:
    room_zh, room_en = "", ""
    if needed is not None:
        room_zh, room_en = f"还需 {_gigabytes(needed)}，", f"{_gigabytes(needed)} more are needed, "
    if free is not None:
        room_zh, room_en = f"{room_zh}剩余 {_gigabytes(free)}，", f"{room_en}{_gigabytes(free)} are free; "
    return HubError(
        zh=f"{where} 所在的磁盘空间（或配额）不够：{room_zh}请腾出空间"
        "（中断的下载会留下 *.incomplete 文件，可以删除），或用 HF_HOME 指到另一块磁盘，再运行一次。",
        en=f"The disk (or quota) of {where} is full: {room_en}free some space (*.incomplete files are left by "
        "interrupted downloads and may be deleted) or point HF_HOME to another disk, then run this again.",
    )


def not_cached(model: str, revision: str, cache: Path | None) -> HubError:
    if not model:
        return HubError(
            zh="设置了 HF_HUB_OFFLINE（离线），无法向 Hub 核对令牌；请取消它后再运行 hcf login。",
            en="HF_HUB_OFFLINE is set, so the token cannot be checked at the Hub; unset it, then run hcf login.",
        )
    return HubError(
        zh=f"设置了 HF_HUB_OFFLINE（离线），而 {model}（{revision}）在缓存 {cache} 里没有或不完整；"
        "请先取消它、联网下载一次，或在 model 里写本地文件夹。",
        en=f"HF_HUB_OFFLINE is set, and {model} ({revision}) is not, or not wholly, in the cache {cache}; "
        "unset it and download once, or name a local folder as model.",
    )


def partial(model: str, at: str) -> HubError:
    return HubBusy(
        zh=f"从 {at} 下载 {model} 时中途断开，文件不完整；请再运行一次，已下载完的文件不会重下"
        "（若总在同一处断开，可设置 HF_HUB_DISABLE_XET=1）。",
        en=f"The download of {model} from {at} broke off in a file; run this again, files that are complete "
        "are not fetched twice (if it always breaks off there, set HF_HUB_DISABLE_XET=1).",
    )


def _gated(model: str, at: str, token: Token | None) -> HubError:
    if token is None:
        return HubError(
            zh=f"{model} 要先同意许可才能下载：请登录 {at}/{model} 同意许可，再运行 hcf login（或设置 HF_TOKEN）。",
            en=f"{model} is gated: accept its licence at {at}/{model}, then run hcf login (or set HF_TOKEN).",
        )
    return HubError(
        zh=f"{model} 要先同意许可才能下载，而 {token.source} 的令牌没有获准：请用同一账号在 {at}/{model} 同意许可"
        "（细粒度令牌还要勾选 gated repos 权限），再运行一次。",
        en=f"{model} is gated and the token from {token.source} has no access: accept the licence at {at}/{model} "
        "with the same account (a fine-grained token also needs access to gated repos), then run this again.",
    )


def _not_found(model: str, at: str, token: Token | None) -> HubError:
    if token is None:
        return HubError(
            zh=f"{at} 上没有公开的模型 {model}；请检查拼写（组织/名称），"
            "若是私有模型请先运行 hcf login 或设置 HF_TOKEN。",
            en=f"There is no public model {model} at {at}; check the spelling (owner/name), "
            "and if it is private run hcf login or set HF_TOKEN first.",
        )
    return HubError(
        zh=f"{at} 上没有模型 {model}，或 {token.source} 的令牌看不到它；请检查拼写（组织/名称）和令牌的权限。",
        en=f"There is no model {model} at {at}, or the token from {token.source} cannot see it; "
        "check the spelling (owner/name) and what the token may read.",
    )


def _status(status: int, model: str, at: str, token: Token | None) -> HubError:
    source = token.source if token else None
    if status == 401 and source:
        return HubError(
            zh=f"{at} 不接受 {source} 的令牌（401）；请到 https://huggingface.co/settings/tokens "
            "查看它是否过期或被撤销，换一个后再运行 hcf login，或重设该环境变量。",
            en=f"{at} refuses the token from {source} (401); see at https://huggingface.co/settings/tokens whether it "
            "has expired or was revoked, then run hcf login with a new one, or set the variable anew.",
        )
    if status in (401, 403):
        return HubError(
            zh=f"没有权限从 {at} 读取 {model}（{status}）；请检查令牌的权限，或运行 hcf login 换一个。",
            en=f"No permission to read {model} at {at} ({status}); check what the token may read, "
            "or run hcf login with another.",
        )
    if status == 429:
        return HubBusy(
            zh=f"{at} 说请求太频繁（429）；请过几分钟再运行，用 hcf login 登录后限额更高。",
            en=f"{at} says too many requests (429); run this again in some minutes, "
            "after hcf login the limit is higher.",
        )
    if status >= 500:
        return HubBusy(
            zh=f"{at} 出了故障（{status}）。{MIRROR_ZH}",
            en=f"{at} has a failure of its own ({status}). {MIRROR_EN}",
        )
    return HubError(
        zh=f"{at} 对 {model} 答复 {status}，不像一个 Hub；请检查 HF_ENDPOINT。",
        en=f"{at} answered {status} for {model}, unlike a Hub; check HF_ENDPOINT.",
    )


def _last(error: Exception, model: str, at: str, cache: Path | None) -> HubError:
    """For what is neither an answer of the Hub nor the network: the file system, or no Hub at all."""
    if isinstance(error, PermissionError) and error.filename and is_closed(Path(error.filename)):
        return HubError(**closed(Path(error.filename)))
    if isinstance(error, (PermissionError, NotADirectoryError, FileExistsError)) and error.errno:
        return HubError(
            zh=f"无法写入缓存文件夹 {cache}；请检查它的权限，或用 HF_HOME 指到别处。",
            en=f"The cache folder {cache} cannot be written; check its permissions or point HF_HOME elsewhere.",
        )
    if isinstance(error, (ValueError, KeyError, TypeError, AssertionError)):
        return _no_hub(at)
    if isinstance(error, (OSError, RuntimeError)) or type(error).__module__.startswith("huggingface_hub"):
        # Neither a size that does not agree nor hf_xet's failures (a full disk among them) have a type of their own.
        free = _free(cache)
        if cache and free is not None and free < 1_000_000:
            return disk_full(cache, needed=None, free=free)
        return partial(model, at)
    raise error


def _no_hub(at: str) -> HubError:
    return HubError(
        zh=f"{at} 的答复不是 Hub 的格式（可能是登录网关，或镜像不完整）；请检查 HF_ENDPOINT 和网络登录页。",
        en=f"What {at} answers is not a Hub's (a network's log-in page, or an incomplete mirror?); "
        "check HF_ENDPOINT and whether the network wants a log-in.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _free(folder: Path | None) -> int | None:
    return shutil.disk_usage(folder).free if folder and folder.is_dir() else None


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10_000_000 else f"{size / 1e6:.2f} MB"
