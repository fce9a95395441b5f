"""`python3 hcf.py`: real environments in temporary folders, round a project that needs nothing from the network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hcf_pipeline_tests.conftest import no_signal_ignored

ROOT = Path(__file__).parents[1]
needs_permissions = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root can only be bound by setpriv"
)

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "hcf-pipeline"
version = "0.1.0"
dependencies = ["helper"]

[project.optional-dependencies]
test = ["pytest"]
"""

# A build backend of the standard library alone; it waits as long as there is a file named `wait`.
BACKEND = """\
import pathlib, time, zipfile
META = "Metadata-Version: 2.1\\nName: hcf-pipeline\\nVersion: 0.1.0\\nRequires-Dist: helper\\nProvides-Extra: test\\n"
META += 'Requires-Dist: pytest; extra == "test"\\n'

def build_editable(folder, config_settings=None, metadata_directory=None):
    here = pathlib.Path.cwd()
    with open(here / "builds", "a") as file:
        file.write("build\\n")
    while (here / "wait").exists():
        time.sleep(0.02)
    name, info = "hcf_pipeline-0.1.0-py3-none-any.whl", "hcf_pipeline-0.1.0.dist-info"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("hcf_here.pth", str(here) + "\\n")
        wheel.writestr(info + "/METADATA", META)
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/entry_points.txt", "[console_scripts]\\nhcf = dummy:main\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
"""

DUMMY = """\
import json, os, sys
import helper

def main():
    if sys.argv[1:2] == ["exit"]:
        return int(sys.argv[2])
    print(json.dumps({"args": sys.argv[1:], "helper": helper.VERSION, "cwd": os.getcwd(), "prefix": sys.prefix,
                      "active": os.environ["VIRTUAL_ENV"]}))
"""


@dataclass
class Project:
    root: Path
    env: dict[str, str]

    def start(self, *arguments: str, python: str = sys.executable, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python, str(self.root / "hcf.py"), *arguments],
            cwd=self.root.parent,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, *arguments: str, python: str = sys.executable, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, python=python, **env)
        out, err = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def answer(self, *arguments: str, **env: str) -> dict[str, object]:
        done = self.run(*arguments, **env)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def with_python_changed(self, change: str, *arguments: str) -> list[str]:
        """The command that runs hcf.py in a Python in which something was changed before."""
        code = f"import runpy, sys; {change}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
        return [sys.executable, "-c", code, str(self.root / "hcf.py"), *arguments]

    @property
    def builds(self) -> int:
        file = self.root / "builds"
        return len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0

    @property
    def site_packages(self) -> Path:
        return next((self.root / ".venv").glob("lib/python*/site-packages"))


def new_project(folder: Path) -> Project:
    root, wheels = folder / "a project", folder / "wheels"
    root.mkdir()
    wheels.mkdir()
    shutil.copy(ROOT / "hcf.py", root)
    (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (root / "backend.py").write_text(BACKEND, encoding="utf-8")
    (root / "dummy.py").write_text(DUMMY, encoding="utf-8")
    (root / "constraints.txt").write_text("helper==1.0\npytest==9.0\n", encoding="utf-8")
    for version in ("1.0", "2.0"):
        wheel(wheels, "helper", version, f"VERSION = {version!r}\n")
    wheel(wheels, "pytest", "9.0", "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.getcwd()]))\n")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_FIND_LINKS": str(wheels),
    }
    return Project(root, env)


def wheel(folder: Path, name: str, version: str, source: str) -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for file, text in files.items()
    )
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One that was installed by its first command; tests leave it as it is."""
    project = new_project(tmp_path_factory.mktemp("installed"))
    first = project.run("ask", "what?")
    assert first.returncode == 0, first.stderr
    assert "making the virtual environment" in first.stderr and "正在安装" in first.stderr
    assert json.loads(first.stdout)["args"] == ["ask", "what?"]  # nothing of pip's on stdout
    assert project.builds == 1
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return new_project(tmp_path)


@pytest.fixture
def copied(installed: Project, tmp_path: Path) -> Iterator[Project]:
    """The installed one, to be changed: its state is put back afterwards."""
    kept = tmp_path / "kept"
    shutil.copytree(installed.root, kept, symlinks=True)
    yield installed
    shutil.rmtree(installed.root)
    shutil.copytree(kept, installed.root, symlinks=True)


def test_the_exact_versions_of_the_constraints_are_installed_from_where_pip_is_told(installed: Project) -> None:
    assert installed.answer("status")["helper"] == "1.0"  # 2.0 lies beside it


def test_a_second_call_installs_nothing_and_says_nothing(installed: Project) -> None:
    done = installed.run("refresh", "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout)["args"] == ["refresh", "--json"]
    assert installed.builds == 1


def test_of_two_at_once_one_installs_and_the_other_waits_for_it(project: Project) -> None:
    with ThreadPoolExecutor() as pool:
        both = [done.result() for done in [pool.submit(project.run, "status") for _ in range(2)]]
    assert [done.returncode for done in both] == [0, 0], both
    assert project.builds == 1
    assert ["another hcf.py is installing" in done.stderr for done in both].count(True) == 1


def test_the_exit_code_and_the_working_folder_are_the_commands_own(installed: Project) -> None:
    assert [installed.run("exit", code).returncode for code in ("0", "3", "42")] == [0, 3, 42]
    assert installed.answer("status")["cwd"] == str(installed.root.parent)


def test_an_active_environment_is_not_used(installed: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    answer = installed.answer("status", VIRTUAL_ENV=str(other), PATH=f"{other}/bin:{os.environ['PATH']}", PIP_USER="1")
    assert answer["prefix"] == answer["active"] == str(installed.root / ".venv")
    assert not other.exists()


def test_help_installs_nothing(project: Project) -> None:
    for arguments in ([], ["--help"]):
        done = project.run(*arguments)
        assert done.returncode == 0
        assert "HCF_VENV" in done.stdout and "hcf.py demo" in done.stdout
    assert not (project.root / ".venv").exists()


def test_the_test_command_adds_its_extra_and_hands_arguments_to_pytest(copied: Project) -> None:
    done = copied.run("test", "-k", "parser", "-x")
    assert json.loads(done.stdout) == [["-k", "parser", "-x"], str(copied.root)]
    assert copied.builds == 2
    copied.run("ask", "what?")  # the other commands want less than is there
    copied.run("test")
    assert copied.builds == 2


def test_changed_constraints_are_installed_with_the_extras_that_were_there(copied: Project) -> None:
    copied.run("test")
    (copied.root / "constraints.txt").write_text("helper==2.0\npytest==9.0\n", encoding="utf-8")
    assert copied.answer("status")["helper"] == "2.0"
    builds = copied.builds
    assert copied.run("test").returncode == 0
    assert copied.builds == builds


def test_an_installation_that_was_killed_is_taken_up_again(project: Project) -> None:
    (project.root / "wait").touch()
    process = project.start("status")
    while not project.builds:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (project.root / "wait").unlink()
    again = project.run("status")
    assert json.loads(again.stdout)["helper"] == "1.0"
    assert "making the virtual environment" not in again.stderr  # what was there is kept
    assert project.run("status").stderr == ""


def test_a_package_that_was_cut_short_by_a_kill_is_installed_again(copied: Project) -> None:
    packages = copied.site_packages
    (packages / "helper.py").unlink()
    (packages / "helper-1.0.dist-info" / "INSTALLER").unlink()
    (packages / "~elper").mkdir()
    venv = copied.root / ".venv"
    (venv / "hcf-installed.json").rename(venv / "hcf-unfinished")
    assert copied.answer("status")["helper"] == "1.0"
    assert not (packages / "~elper").exists()


@pytest.mark.parametrize("made", ["nothing", "no pip", "half of pip"])
def test_a_half_made_environment_is_made_again(project: Project, made: str) -> None:
    venv = project.root / ".venv"
    if made == "no pip":
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    elif made == "half of pip":
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    venv.mkdir(exist_ok=True)
    (venv / "hcf-unfinished").write_text("" if made == "no pip" else "venv", encoding="utf-8")
    (venv / "leftover").touch()
    assert project.answer("status")["helper"] == "1.0"
    assert not (venv / "leftover").exists()


def test_a_project_that_was_moved_gets_a_new_environment(copied: Project) -> None:
    moved = copied.root.with_name("moved")
    copied.root.rename(moved)
    try:
        answer = Project(moved, copied.env).answer("status")
    finally:
        moved.rename(copied.root)
    assert answer["prefix"] == str(moved / ".venv")


def test_a_folder_with_something_else_in_it_is_left_alone(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    done = project.run("status", HCF_VENV=str(tmp_path / "mine"))
    assert done.returncode == 3
    assert "is left alone" in done.stderr and "HCF_VENV" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_another_folder_can_be_named_and_a_failed_installation_says_what_to_do(
    project: Project, tmp_path: Path
) -> None:
    failed = project.run("status", HCF_VENV=str(tmp_path / "elsewhere"), PIP_FIND_LINKS="")
    assert failed.returncode == 3
    assert failed.stdout == ""
    assert "the same command goes on from here" in failed.stderr and "PIP_INDEX_URL" in failed.stderr
    answer = project.answer("status", HCF_VENV=str(tmp_path / "elsewhere"))
    assert answer["prefix"] == str(tmp_path / "elsewhere")
    assert not (project.root / ".venv").exists()


def test_a_python_without_venv_is_told_in_one_sentence(project: Project) -> None:
    """As Debian's python3 is without python3-venv: the module ensurepip is not there."""
    command = project.with_python_changed("sys.modules['ensurepip'] = None", "demo")
    done = subprocess.run(command, env=project.env, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 3
    assert "apt install python3-venv" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.10"])
def test_a_python_that_is_too_old_is_refused_in_one_sentence(project: Project, version: str) -> None:
    python = interpreter(version)
    for more in ({}, {"HCF_ANY_PYTHON": "1"}):
        done = project.run("demo", python=python, **more)
        assert done.returncode == 3
        assert f"Python 3.11 to 3.14 is needed and this is {version}" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (project.root / ".venv").exists()


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_every_python_from_311_to_314_is_welcome(project: Project, version: str) -> None:
    done = project.run("status", python=interpreter(version))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["helper"] == "1.0"


def test_a_python_that_is_too_new_to_have_been_tried_is_refused_unless_it_is_let_through(project: Project) -> None:
    command = project.with_python_changed("sys.version_info = (3, 15, 0, 'final', 0)", "--help")
    refused = subprocess.run(command, env=project.env, capture_output=True, encoding="utf-8", check=False)
    assert refused.returncode == 3 and refused.stdout == "" and len(refused.stderr.splitlines()) == 1
    assert "Python 3.15 was not tried" in refused.stderr and "HCF_ANY_PYTHON=1" in refused.stderr
    env = project.env | {"HCF_ANY_PYTHON": "1"}
    assert subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


def sentences(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("[hcf.py]") and " …" not in line]


@pytest.mark.parametrize("there", ["a folder", "nothing", "an old environment"])
def test_an_environment_behind_a_link_works(project: Project, tmp_path: Path, there: str) -> None:
    far = tmp_path / "far away" / "环境"
    if there != "nothing":
        far.mkdir(parents=True)
    if there == "an old environment":
        (far / "hcf-installed.json").write_text('{"identity": "3.9 elsewhere"}', encoding="utf-8")
        (far / "leftover").mkdir()
    (project.root / ".venv").symlink_to(far)
    assert project.answer("status")["prefix"] == str(far)
    assert (project.root / ".venv").is_symlink() and not (far / "leftover").exists()
    assert project.run("status").stderr == ""


def test_a_link_that_leads_to_itself_is_told_in_one_sentence(project: Project) -> None:
    (project.root / ".venv").symlink_to(project.root / ".venv")
    done = project.run("status")
    assert done.returncode == 3
    assert len(sentences(done)) == 1 and "HCF_VENV" in done.stderr


@pytest.mark.parametrize("place", ["/dev/null/x", "/proc/x", "/" + "x" * 300])
def test_a_place_where_no_environment_can_be_is_told_in_one_sentence(project: Project, place: str) -> None:
    done = project.run("status", HCF_VENV=place)
    assert done.returncode == 3
    assert len(sentences(done)) == 1 and place in sentences(done)[0] and "HCF_VENV" in sentences(done)[0]


@needs_permissions
def test_a_clone_that_cannot_be_written_to_is_told_in_one_sentence(project: Project, tmp_path: Path) -> None:
    with read_only(project.root):
        done = unprivileged(project, "status", HCF_VENV=str(tmp_path / "venv"))
    assert done.returncode == 3
    assert len(sentences(done)) == 1 and "cannot be written to" in done.stderr and "copy it" in done.stderr


@needs_permissions
def test_a_place_that_cannot_be_written_to_is_told_in_one_sentence(project: Project, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    with read_only(tmp_path / "closed"):
        done = unprivileged(project, "status", HCF_VENV=str(tmp_path / "closed" / "venv"))
    assert done.returncode == 3 and len(sentences(done)) == 1
    assert f"{tmp_path}/closed/venv cannot be used" in done.stderr and "HCF_VENV" in done.stderr


@needs_permissions
def test_a_finished_environment_serves_users_who_may_only_read_it(copied: Project) -> None:
    with read_only(copied.root / ".venv"), read_only(copied.root):
        assert unprivileged(copied, "status").returncode == 0
        (copied.root / "constraints.txt").write_text("helper==2.0\npytest==9.0\n", encoding="utf-8")
        done = unprivileged(copied, "status")
    assert done.returncode == 3 and len(sentences(done)) == 1


def test_a_clone_whose_name_ends_in_brackets_is_installed_from(tmp_path: Path) -> None:
    project = new_project(tmp_path)
    odd = project.root.rename(tmp_path / "克隆 copy[1]")
    assert Project(odd, project.env).answer("status")["prefix"] == str(odd / ".venv")


def test_packages_of_other_pythons_are_not_taken_for_installed(project: Project, tmp_path: Path) -> None:
    """As a cluster's modules set PYTHONPATH; pip would find everything there already."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "helper.py").write_text("VERSION = 'foreign'", encoding="utf-8")
    info = foreign / "helper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: helper\nVersion: 1.0\n", encoding="utf-8")
    assert project.answer("status", PYTHONPATH=str(foreign))["helper"] == "1.0"


def test_pips_own_settings_for_users_do_not_get_in_the_way(project: Project, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\n", encoding="utf-8")
    assert project.answer("status", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))["helper"] == "1.0"


@pytest.mark.parametrize(
    ("complaint", "help_"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "make room"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "apt install ca-certificates"),
        ("WARNING: Retrying: NameResolutionError(...)\nERROR: No matching distribution found for x", "HTTPS_PROXY"),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "apt install build-essential"),
        ("ERROR: No matching distribution found for helper==1.0", "there is no helper==1.0 for Python"),
    ],
)
def test_what_pip_complains_of_is_summed_up_with_what_helps(project: Project, complaint: str, help_: str) -> None:
    """A build backend that complains as pip and compilers do."""
    (project.root / "backend.py").write_text(
        f"import sys\nprint({complaint!r}, file=sys.stderr)\nraise SystemExit(1)\n", encoding="utf-8"
    )
    done = project.run("status")
    assert done.returncode == 3
    assert len(sentences(done)) == 1 and help_ in sentences(done)[0]
    assert "the same command goes on from here" in sentences(done)[0]


def test_a_library_that_the_system_lacks_is_named_with_its_package(project: Project) -> None:
    wheels = Path(project.env["PIP_FIND_LINKS"])
    wheel(wheels, "torch", "1.0", "raise ImportError('libgomp.so.1: cannot open shared object file: No such file')\n")
    text = (project.root / "backend.py").read_text(encoding="utf-8")
    (project.root / "backend.py").write_text(
        text.replace("Requires-Dist: helper", "Requires-Dist: helper\\nRequires-Dist: torch"), encoding="utf-8"
    )
    done = project.run("status")
    assert done.returncode == 3
    assert len(sentences(done)) == 1 and "lacks libgomp.so.1; run apt install libgomp1 first" in sentences(done)[0]


def test_the_tests_need_git_and_say_so_before_anything_is_installed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = project.run("test", PATH=str(tmp_path / "bin"))
    assert done.returncode == 3
    assert len(sentences(done)) == 1 and "apt install git" in done.stderr
    assert not (project.root / ".venv").exists()


def test_ctrl_c_is_answered_in_one_sentence(project: Project) -> None:
    (project.root / "wait").touch()
    with no_signal_ignored():
        process = project.start("status")
    while not project.builds:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    (project.root / "wait").unlink()
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("interrupted; the same command goes on from here.")


def unprivileged(project: Project, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs it as somebody whom permissions bind; root is bound once it has given up its rights."""
    bound = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*bound, sys.executable, str(project.root / "hcf.py"), *arguments],
        cwd=project.root.parent,
        env={**project.env, **env},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(mode)


def interpreter(version: str) -> str:
    """A real Python of that version, or the test is skipped."""
    code = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
    pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")  # its shims find only the chosen one
    for python in (*pyenv, shutil.which(f"python{version}")):
        if python:
            done = subprocess.run([python, "-c", code], capture_output=True, encoding="utf-8", check=False)
            if done.stdout == version:
                return str(python)
    pytest.skip(f"no Python {version} here")


def test_the_constraints_pin_every_dependency_to_a_version_that_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        assert name in pins, f"{name} is not in constraints.txt"
        assert wanted.specifier.contains(pins[name]), f"constraints.txt: {name}=={pins[name]} is not {wanted.specifier}"


def test_the_ci_script_calls_the_test_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "python3 hcf.py test" in lines
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
