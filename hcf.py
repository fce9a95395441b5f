"""Installs this project into an environment of its own and runs it: `python3 hcf.py demo`, `python3 hcf.py test`.

Needs nothing but Python and its venv module. Read by old Pythons too, up to the sentence that refuses them: so no
syntax newer than 3.6 here, and no `from __future__ import annotations`.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TRIED = [(3, 11)]
ENVIRONMENT_ERROR = 3
READER_GONE = 141  # as a shell tells a death by SIGPIPE

HELP = """\
python3 hcf.py demo              样例语料，全部步骤，三个问答 / the sample corpus, every step, three answered questions
python3 hcf.py test [ARGS]       安装测试依赖并运行测试 / installs what the tests need and runs them (ARGS go to pytest)
python3 hcf.py COMMAND [ARGS]    任何 hcf 命令 / any other hcf command, such as: ask "…", refresh, status, chat, ui

第一次运行会在 .venv 里安装 constraints.txt 中的确切版本；之后没有变化就不再安装，中断了再运行一次即可。
The first run installs the exact versions of constraints.txt into .venv; unchanged, nothing is installed again;
after an interruption run the same command again.

HCF_VENV=DIR             用另一个文件夹代替 .venv（已激活的其他环境不会被使用或改动）
                         another folder instead of .venv (an environment that is active is neither used nor changed)
HCF_ANY_PYTHON=1         允许没有试过的 Python 版本 / lets a Python run that was not tried
PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, …
                         照常传给 pip / go to pip as they are; for example the CPU build of torch, far smaller on Linux:
                         PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu python3 hcf.py demo
"""

if __name__ == "__main__" and sys.version_info[:2] not in TRIED:
    if sys.version_info < (3, 11) or os.environ.get("HCF_ANY_PYTHON") != "1":
        version = "{}.{}".format(*sys.version_info)
        sys.stderr and sys.stderr.write(
            "没有在 Python " + version + " 上试过，请用 python3.11 hcf.py …（3.12 以上可设 HCF_ANY_PYTHON=1 一试）。 / "
            "Python "
            + version
            + " was not tried: run python3.11 hcf.py … (from 3.12 on HCF_ANY_PYTHON=1 lets it try).\n"
        )
        sys.exit(ENVIRONMENT_ERROR)

ROOT = Path(__file__).resolve().parent
STAMP = "hcf-installed.json"  # written last: what the environment holds
UNFINISHED = "hcf-unfinished"  # in a folder that this script began to make into an environment
NOT_EVEN_PIP = "venv"  # written there while the environment itself is being made
NOT_FOR_PIP = ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "__PYVENV_LAUNCHER__"]


def main(arguments: list[str]) -> int:
    fill_closed_streams()
    if not arguments or arguments[0] in ("-h", "--help"):
        return show_help()
    venv = Path(os.environ.get("HCF_VENV") or ROOT / ".venv").absolute()
    testing = arguments[0] == "test"
    prepare(venv, ["test"] if testing else [])
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
    if not usable and (stamp or not completable(venv)):
        create(venv)
    (venv / STAMP).unlink(missing_ok=True)
    (venv / UNFINISHED).touch()
    drop_half_installed(venv)
    extras = sorted({*installed, *extras})
    target = str(ROOT) + ("[" + ",".join(extras) + "]" if extras else "")
    say(
        f"正在安装到 {venv}（首次要几分钟，装好约 2 GB；CUDA 版 torch 更大）……",
        f"installing into {venv} (the first time some minutes and about 2 GB, more with a CUDA build of torch) …",
    )
    command = [str(binary(venv, "python")), "-m", "pip", "install", "--disable-pip-version-check", "-e", target]
    done = subprocess.call([*command, "-c", str(ROOT / "constraints.txt")], env=environment(venv), stdout=sys.stderr)
    if done != 0:
        fail(
            "安装没有完成，原因见上。网络慢可设 PIP_INDEX_URL（镜像）；再运行同一命令会接着安装。",
            "the installation did not finish, see above. PIP_INDEX_URL names a mirror; "
            "the same command goes on from here.",
        )
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
        fail(
            "这个 Python 缺少 venv；请先运行 apt install python3-venv。",
            "this Python lacks its venv module; run apt install python3-venv first.",
        )
    if not empty:
        shutil.rmtree(venv)
    say(f"正在建立虚拟环境 {venv} ……", f"making the virtual environment {venv} …")
    venv.mkdir(parents=True, exist_ok=True)
    (venv / UNFINISHED).write_text(NOT_EVEN_PIP, encoding="utf-8")
    if subprocess.call([sys.executable, "-m", "venv", str(venv)], stdout=sys.stderr) != 0:
        fail("虚拟环境没有建成，原因见上。", "the virtual environment was not made, see above.")
    (venv / UNFINISHED).write_text("", encoding="utf-8")


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
    kept = {name: value for name, value in os.environ.items() if name not in NOT_FOR_PIP}
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
    sys.exit(main(sys.argv[1:]))
