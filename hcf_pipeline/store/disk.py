"""A disk that refuses is the machine's trouble, not a bug of ours: it is told in a sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hcf_pipeline.errors import DENIED, MachineError, closed
from hcf_pipeline.files import is_closed


@contextmanager
def raise_disk_errors(home: Path) -> Iterator[None]:
    """What the disk refuses is raised as MachineError."""
    try:
        yield
    except OSError as error:
        if told := disk_trouble(error, home):
            raise told from error
        raise


REASONS = {
    errno.ENOSPC: ("磁盘满了", "the disk is full"),
    errno.EDQUOT: ("磁盘配额用完了", "the disk quota is used up"),
    errno.EFBIG: ("文件超过系统允许的大小", "a file is larger than the system allows"),
    errno.EIO: ("磁盘读写出错", "the disk cannot be read or written"),
    errno.EROFS: ("磁盘是只读的", "the disk is read-only"),
    errno.ENOTDIR: ("要用作目录的地方是一个文件", "a file stands where a folder should be"),
    errno.EEXIST: ("要用作目录的地方是一个文件", "a file stands where a folder should be"),
    errno.EACCES: ("没有写入权限", "there is no permission to write"),
    errno.EPERM: ("没有写入权限", "there is no permission to write"),
    errno.ENAMETOOLONG: ("路径太长", "a path is longer than the system takes"),
}
SQLITE = {  # what Dagster's storage says
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
}


def disk_trouble(error: BaseException, home: Path | None = None) -> MachineError | None:
    """What a full, broken or read-only disk is called; None for any other error. `home` is named where no file is."""
    number, file = _told_by(error)
    if number not in REASONS:
        return None
    zh, en = REASONS[number]
    where = file or home or Path.cwd()
    if number in DENIED and isinstance(where, str | Path) and is_closed(Path(where)):
        return MachineError(**closed(Path(where)))
    return MachineError(
        zh=f"{zh}（{where}）；已有的发布没有动。请处理好后再运行 hcf refresh，它会接着做。",
        en=f"{en[0].upper()}{en[1:]} ({where}); what is released is untouched. Mend that and run hcf refresh: it goes on.",
    )


def _told_by(error: BaseException) -> tuple[int | None, object]:
    """The number of the trouble, and the file that it is about, if these are known."""
    if isinstance(error, OSError):
        return error.errno, error.filename
    if type(error).__name__ == "OperationalError":  # sqlite3's, and sqlalchemy's round it
        return next((number for said, number in SQLITE.items() if said in str(error)), None), None
    return None, None
