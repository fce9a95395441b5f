"""Installs this project into an environment of its own and runs it: `python3 hcf.py demo`, `python3 hcf.py test`.

Needs nothing but Python and its venv module. Read by old Pythons too, up to the sentence that refuses them: so no
syntax newer than 3.6 here, and no `from __future__ import annotations`.
"""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)  # that it was tried on, and what is between
ENVIRONMENT_ERROR = 3
INTERRUPTED = 130
READER_GONE = 141  # as a shell tells a death by SIGPIPE

HELP = """\
python3 hcf.py demo              样例语料，全部步骤，三个问答 / the sample corpus, every step, three answered questions
python3 hcf.py test [ARGS]       安装测试依赖并运行测试 / installs what the tests need and runs them (ARGS go to pytest)
python3 hcf.py COMMAND [ARGS]    任何 hcf 命令 / any other hcf command, such as: ask "…", refresh, status, chat, ui

第一次运行会在 .venv 里安装 constraints.txt 中的确切版本；之后没有变化就不再安装，中断了再运行一次即可。
The first run installs the exact versions of constraints.txt into .venv; unchanged, nothing is installed again;
after an interruption run the same command again.

HCF_VENV=DIR             用另一个文件夹代替 .venv（已激活的其他环境和 PYTHONPATH 不会被使用或改动）
                         another folder instead of .venv (an environment that is active and PYTHONPATH are neither used
                         nor changed)
HCF_ANY_PYTHON=1         允许没有试过的 Python 版本（3.15 以上） / lets a Python run that was not tried (3.15 or later)
PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, …
                         照常传给 pip / go to pip as they are; for example the CPU build of torch, far smaller on Linux:
                         PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu python3 hcf.py demo
"""

if __name__ == "__main__":
    version = "{}.{}".format(*sys.version_info)
    refusal = ""
    if sys.version_info[:2] < OLDEST:
        refusal = (
            "需要 Python 3.11 到 3.14，这里是 " + version + "；请用新一些的，例如 python3.12 hcf.py …。 / "
            "Python 3.11 to 3.14 is needed and this is " + version + ": run a newer one, such as python3.12 hcf.py ….\n"
        )
    elif sys.version_info[:2] > NEWEST and os.environ.get("HCF_ANY_PYTHON") != "1":
        refusal = (
            "没有在 Python " + version + " 上试过，请用 python3.14 hcf.py …（或设 HCF_ANY_PYTHON=1 一试）。 / "
            "Python " + version + " was not tried: run python3.14 hcf.py … (or let it try with HCF_ANY_PYTHON=1).\n"
        )
    if refusal:
        if sys.stderr:
            sys.stderr.write(refusal)
        sys.exit(ENVIRONMENT_ERROR)

ROOT = Path(__file__).resolve().parent
STAMP = "hcf-installed.json"  # written last: what the environment holds
UNFINISHED = "hcf-unfinished"  # in a folder that this script began to make into an environment
NOT_EVEN_PIP = "venv"  # written there while the environment itself is being made
NOT_OURS = ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"]

# Modules of the standard library that a Python lacks which was built where their C library was not; and its package.
BUILT_WITH = {
    "_bz2": "libbz2-dev",
    "_ctypes": "libffi-dev",
    "_lzma": "liblzma-dev",
    "_sqlite3": "libsqlite3-dev",
    "_ssl": "libssl-dev",
    "zlib": "zlib1g-dev",
}
LIBRARIES = {
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
}  # that wheels expect of the system, in Debian's names
USES_LIBRARIES = "import torch, faiss, pyarrow, scipy"
AGAIN_ZH, AGAIN_EN = "再运行同一命令会接着安装。", "the same command goes on from here."

# What pip says, why, and what helps; the first that fits. A network that fails ends in "no matching distribution" too.
DIAGNOSES = [
    (
        r"Errno 28|Errno 122|No space left|Disk quota exceeded",
        "磁盘满了（{venv} 剩 {free}，临时目录 {tmp} 剩 {tmp_free}；共需约 2.2 GB，CUDA 版 torch 约 6 GB）；"
        "请腾出空间，或用 HCF_VENV、TMPDIR 换个地方；",
        "the disk is full ({free} left at {venv}, {tmp_free} in the temporary folder {tmp}; about 2.2 GB are needed, 6 GB with "
        "a CUDA build of torch); make room, or go elsewhere with HCF_VENV and TMPDIR; ",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLError|TLS CA certificate",
        "软件源的证书没有通过验证；请先运行 apt install ca-certificates，公司代理的证书用 PIP_CERT 指定；",
        "the certificate of the package index was not accepted; run apt install ca-certificates first, or name a company "
        "proxy's certificate with PIP_CERT; ",
    ),
    (
        r"NameResolutionError|name resolution|NewConnectionError|ConnectTimeout|ReadTimeout|Read timed out|ProxyError|"
        r"Network is unreachable|Connection refused|Connection reset|IncompleteRead|Connection aborted|RemoteDisconnected",
        "连不上软件源，或连接断了；可设 PIP_INDEX_URL（镜像）或 HTTPS_PROXY（代理）；",
        "the package index was not reached, or the connection broke off; PIP_INDEX_URL names a mirror, HTTPS_PROXY a proxy; ",
    ),
    (
        r"ResolutionImpossible",
        "软件源里没有 constraints.txt 里的某个版本（见上）；可设 PIP_INDEX_URL 换一个软件源；",
        "the package index lacks a version that constraints.txt names, see above; PIP_INDEX_URL names another index; ",
    ),
    (
        r"No matching distribution found for (?P<package>\S+)",
        "软件源里 {package} 没有给 Python {python}（{machine}）的安装包；可设 PIP_INDEX_URL 换一个软件源；",
        "there is no {package} for Python {python} on {machine} where pip looks; PIP_INDEX_URL names another index; ",
    ),
    (
        r"error: command '?\S*(?:gcc|cc|clang|g\+\+|c\+\+)'? failed|Python\.h: No such file|Unable to find a compiler|"
        r"Unknown compiler|Failed building wheel for|Failed to build",
        "有个包没有现成的安装包，要在这里编译；请先运行 apt install build-essential python3-dev；",
        "a package has no ready wheel for this machine and has to be compiled; run apt install build-essential python3-dev "
        "first; ",
    ),
    (
        r"Errno 13|Errno 30|Permission denied|Read-only file system",
        "{venv} 里不能写；请用 HCF_VENV 另指一个可写的文件夹；",
        "{venv} cannot be written to; name a folder that can with HCF_VENV; ",
    ),
]


def main(arguments: list[str]) -> int:
    fill_closed_streams()
    if not arguments or arguments[0] in ("-h", "--help"):
        return show_help()
    # where a link leads: Python makes no environment in place of a link
    venv = Path(os.path.realpath(os.environ.get("HCF_VENV") or ROOT / ".venv"))
    testing = arguments[0] == "test"
    if testing and shutil.which("git") is None:
        fail("测试需要 git；请先运行 apt install git。", "the tests need git; run apt install git first.")
    try:
        prepare(venv, ["test"] if testing else [])
    except OSError as error:
        fail(*unusable(venv, error))
    if testing:
        os.chdir(ROOT)
        return run([str(binary(venv, "python")), "-m", "pytest", *arguments[1:]], venv)
    return run([str(binary(venv, "hcf")), *arguments], venv)


def prepare(venv: Path, extras: list[str]) -> None:
    """Makes or completes the environment; does nothing where it holds all that is wanted."""
    if not complete(venv, extras):
        with one_at_a_time():
            if not complete(venv, extras):  # by now
                install(venv, extras)


def complete(venv: Path, extras: list[str]) -> bool:
    stamp, installed = read_stamp(venv), extras_in(venv)
    return installed is not None and stamp.get("inputs") == inputs() and set(extras) <= set(installed)


def extras_in(venv: Path) -> list[str] | None:
    """The extras that are installed; None where there is no usable environment."""
    stamp = read_stamp(venv)
    if stamp.get("identity") != identity(venv) or not binary(venv, "python").exists():
        return None
    had = stamp.get("extras")
    return [str(extra) for extra in had] if isinstance(had, list) else []


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two that install into one folder at the same time spoil each other's work: the second one waits."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (ROOT / "constraints.txt").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("另一个 hcf.py 正在安装，等它装完……", "another hcf.py is installing; waiting until it has ended …")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield


def install(venv: Path, extras: list[str]) -> None:
    wanted, here = inputs(), identity(venv)
    stamp, found = read_stamp(venv), extras_in(venv)
    usable, installed = found is not None, found or []
    if not os.access(ROOT, os.W_OK):  # pip notes there what an editable installation holds
        fail(
            f"{ROOT} 不能写，从这里安装不了；请把它复制到可写的地方，从那里运行。",
            f"{ROOT} cannot be written to, so nothing can be installed from it; copy it to where you can write, and run that.",
        )
    if not usable and (stamp or not completable(venv)):
        create(venv)
    (venv / STAMP).unlink(missing_ok=True)
    (venv / UNFINISHED).touch()
    drop_half_installed(venv)
    extras = sorted({*installed, *extras})
    folder = f"{ROOT}{os.sep}."  # a name that ends in [brackets] would be taken for extras
    target = folder + ("[" + ",".join(extras) + "]" if extras else "")
    say(
        f"正在安装到 {venv}（首次要几分钟，装好约 2 GB；CUDA 版 torch 更大）……",
        f"installing into {venv} (the first time some minutes and about 2 GB, more with a CUDA build of torch) …",
    )
    command = [str(binary(venv, "python")), "-m", "pip", "install", "--disable-pip-version-check", "-e", target]
    code, said = overheard([*command, "-c", str(ROOT / "constraints.txt")], venv)
    if code != 0:
        zh, en = "安装没有完成，原因见上；", "the installation did not finish, see above; "
        fail(*diagnosis(venv, code, said, zh, en))
    require_libraries(venv)
    (venv / UNFINISHED).unlink()
    draft = venv / (STAMP + ".new")
    text = json.dumps({"identity": here, "inputs": wanted, "extras": extras})
    draft.write_text(text, encoding="utf-8")
    draft.replace(venv / STAMP)


def inputs() -> str:
    """Changes when anything that decides on the installed versions does."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def identity(venv: Path) -> str:
    """What an environment cannot outlive: its scripts hold these paths, its folders this version."""
    return "{}.{} {} {}".format(*sys.version_info[:2], venv, ROOT)


def read_stamp(venv: Path) -> dict[str, object]:
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def completable(venv: Path) -> bool:
    """Whether pip works there, in this version of Python: an installation that broke off, or a hand-made environment."""
    unfinished = venv / UNFINISHED
    if unfinished.exists() and unfinished.read_text(encoding="utf-8") == NOT_EVEN_PIP:
        return False
    if not (venv / "pyvenv.cfg").exists():
        return False
    check = f"import pip._internal.cli.main, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    try:
        return subprocess.call([str(binary(venv, "python")), "-c", check], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def create(venv: Path) -> None:
    ours = any((venv / name).exists() for name in (UNFINISHED, STAMP))
    empty = not venv.exists() or (venv.is_dir() and not any(venv.iterdir()))
    if not ours and not empty:
        fail(
            f"{venv} 不是可用的环境，也不是本脚本建的，所以不动它；请移走它，或用 HCF_VENV 另指一个文件夹。",
            f"{venv} is no working environment and not of this script's making, so it is left alone; "
            "move it away, or name another folder with HCF_VENV.",
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        own = "python{}.{}-venv".format(*sys.version_info)
        fail(
            f"这个 Python 缺少 venv；请先运行 apt install python3-venv（或 {own}）。",
            f"this Python lacks its venv module; run apt install python3-venv (or {own}) first.",
        )
    lacking = [package for module, package in BUILT_WITH.items() if importlib.util.find_spec(module) is None]
    if lacking:
        packages = " ".join(lacking)
        fail(
            f"这个 Python（{sys.executable}）编译时缺少一些库；请运行 apt install {packages}，再重新编译它，或用系统的 python3。",
            f"this Python ({sys.executable}) was built without some libraries; run apt install {packages} and build it again, or "
            "use the system's python3.",
        )
    say(f"正在建立虚拟环境 {venv} ……", f"making the virtual environment {venv} …")
    venv.mkdir(parents=True, exist_ok=True)
    (venv / UNFINISHED).write_text(NOT_EVEN_PIP, encoding="utf-8")  # before anything goes: it stays ours
    for entry in venv.iterdir():  # not the folder itself, which may be a disk of its own
        if entry.name != UNFINISHED:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    code, said = overheard([sys.executable, "-m", "venv", str(venv)], venv)
    if code != 0:
        zh, en = "虚拟环境没有建成，原因见上；", "the virtual environment was not made, see above; "
        fail(*diagnosis(venv, code, said, zh, en))
    (venv / UNFINISHED).write_text("", encoding="utf-8")


def overheard(command: list[str], venv: Path) -> tuple[int, str]:
    """Runs it, shows on stderr what it says, and returns its exit code with the end of its complaints."""
    said: list[str] = []
    with subprocess.Popen(command, env=environment(venv), stdout=2, stderr=subprocess.PIPE) as process:
        assert process.stderr
        for line in process.stderr:
            said = [*said[-200:], line.decode("utf-8", "replace")]
            with contextlib.suppress(OSError):
                os.write(2, line)
    return process.returncode, "".join(said)


def diagnosis(venv: Path, code: int, said: str, zh: str, en: str) -> tuple[str, str]:
    """Why an installation failed, and what helps, as far as what was said tells."""
    if code == -9:
        return (
            "安装被系统终止了，多半是内存不够；" + AGAIN_ZH,
            "the installation was killed, as a system does that runs out of memory; " + AGAIN_EN,
        )
    words = {
        "venv": venv,
        "free": room(venv),
        "tmp": tempfile.gettempdir(),
        "tmp_free": room(Path(tempfile.gettempdir())),
        "python": "{}.{}".format(*sys.version_info),
        "machine": f"{sys.platform} {platform.machine()}",
    }
    for pattern, why_zh, why_en in DIAGNOSES:
        found = re.search(pattern, said)
        if found:
            zh, en = why_zh.format(**words, **found.groupdict()), why_en.format(**words, **found.groupdict())
            break
    return zh + AGAIN_ZH, en + AGAIN_EN


def room(folder: Path) -> str:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return f"{shutil.disk_usage(there).free / 1e9:.1f} GB"


def unusable(venv: Path, error: OSError) -> tuple[str, str]:
    """A folder or a file that the system refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return diagnosis(venv, 1, "No space left", "", "")
    file, why = error.filename or venv, error.strerror
    if str(file).startswith(str(ROOT)) and not str(file).startswith(str(venv)):
        return f"{file} 用不了（{why}）。", f"{file} cannot be used ({why})."
    return (
        f"{file} 用不了（{why}）；请用 HCF_VENV 另指一个可写的文件夹。",
        f"{file} cannot be used ({why}); name a folder that can be written to with HCF_VENV.",
    )


def require_libraries(venv: Path) -> None:
    """Wheels bring nearly all that they need; what they expect of the system a bare one may lack."""
    command = [str(binary(venv, "python")), "-c", USES_LIBRARIES]
    done = subprocess.run(command, env=environment(venv), capture_output=True, check=False)
    lacking = re.search(r"([\w+.-]+\.so[.\d]*): cannot open shared object file", done.stderr.decode("utf-8", "replace"))
    if lacking:
        package = LIBRARIES.get(lacking[1], "")
        fail(
            f"系统里没有 {lacking[1]}；"
            + (f"请先运行 apt install {package}。" if package else "请先安装含有它的软件包。"),
            f"this system lacks {lacking[1]}; "
            + (f"run apt install {package} first." if package else "install the package that holds it first."),
        )


def drop_half_installed(venv: Path) -> None:
    """Takes away what pip would take for installed although it was killed while writing it.

    pip writes INSTALLER and RECORD after a package's own files, and moves what it replaces to names with a ~.
    """
    for packages in [*venv.glob("lib/python*/site-packages"), *venv.glob("Lib/site-packages")]:
        for info in packages.glob("*.dist-info"):
            if not ((info / "INSTALLER").exists() and (info / "RECORD").exists()):
                shutil.rmtree(info)
        for leftover in packages.glob("~*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def run(command: list[str], venv: Path) -> int:
    if os.name == "nt":  # exec there returns to the shell before the command has ended
        return subprocess.call(command, env=environment(venv))
    os.execve(command[0], command, environment(venv))


def binary(venv: Path, name: str) -> Path:
    return venv / "Scripts" / (name + ".exe") if os.name == "nt" else venv / "bin" / name


def environment(venv: Path) -> dict[str, str]:
    """The variables as they are, with this environment as the active one."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    try:
        Path.home()
    except RuntimeError:  # a user whom the system doesn't know: pip would make a folder named ~
        kept["HOME"] = str(venv)
    kept["PIP_USER"] = "0"  # whatever pip's own settings say
    return {**kept, "VIRTUAL_ENV": str(venv), "PATH": f"{binary(venv, '').parent}{os.pathsep}{kept.get('PATH', '')}"}


def fill_closed_streams() -> None:
    """A stream that was closed before the start is taken for /dev/null, or the next file opened would get its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def show_help() -> int:
    """ "?" where the encoding lacks Chinese: every line says the same in English."""
    if sys.stdout is None:
        return 0
    try:
        sys.stdout.buffer.write(HELP.encode(sys.stdout.encoding, "replace"))
        sys.stdout.flush()
        return 0
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again at its end
        if isinstance(error, BrokenPipeError):
            return READER_GONE
        say(f"输出写不出去（{error.strerror}）。", f"the output could not be written ({error.strerror}).")
        return ENVIRONMENT_ERROR


def say(zh: str, en: str) -> None:
    """On stderr, for stdout belongs to the command; what cannot be said there is not said."""
    line = f"[hcf.py] {zh} / {en}\n"
    with contextlib.suppress(AttributeError, OSError):  # there may be no stderr
        sys.stderr.buffer.write(line.encode(sys.stderr.encoding, "replace"))
        sys.stderr.flush()


def fail(zh: str, en: str) -> None:
    say(zh, en)
    sys.exit(ENVIRONMENT_ERROR)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("中断了；" + AGAIN_ZH, "interrupted; " + AGAIN_EN)
        sys.exit(INTERRUPTED)
