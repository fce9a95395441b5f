"""What the machine has, told without torch; and that torch tells the same."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hcf_pipeline.machine import hardware
from hcf_pipeline.machine.hardware import has_cuda, resolve_quantize

FAKE_DRIVER = """
#include <stdlib.h>
int cuInit(unsigned flags) { return getenv("FAKE_BROKEN") ? 999 : 0; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuDeviceGetCount(int *count) { const char *n = getenv("FAKE_DEVICES"); *count = n ? atoi(n) : 1; return 0; }
"""


@pytest.fixture
def torch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The version file of another torch, found before the real one."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('must not be imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return tmp_path / "torch" / "version.py"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver with devices: what a shared library of three functions says, loaded as the real one is."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler")
    (tmp_path / "driver.c").write_text(FAKE_DRIVER, encoding="ascii")
    library = tmp_path / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "driver.c")], check=True)
    monkeypatch.setattr(hardware, "DRIVER", str(library))


def test_torch_says_the_same_of_this_machine_and_of_one_whose_devices_are_hidden() -> None:
    code = (
        "import json, sys; from hcf_pipeline.machine.hardware import has_cuda; mine = has_cuda(); early = 'torch' in sys.modules\n"
        "import torch; print(json.dumps([mine, early, torch.cuda.is_available()]))"
    )
    for hidden in ({}, {"CUDA_VISIBLE_DEVICES": ""}):
        environ = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"} | hidden
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
        mine, early, torchs = json.loads(done.stdout)
        assert mine == torchs
        assert not early


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", True),
        ("cuda = '12.1'\n", True),
        (
            "from typing import Optional\n__all__ = ['cuda']\ncuda: Optional[str] = None\nhip: Optional[str] = None\n",
            False,
        ),
        ("cuda: Optional[str] = '13.0'\n", False),  # newer than the driver
    ],
)
def test_a_build_for_cuda_with_a_driver_that_is_new_enough_counts(
    torch_says: Path, driver: None, version: str, expected: bool
) -> None:
    torch_says.write_text(version, encoding="utf-8")
    assert has_cuda() == expected
    assert resolve_quantize("auto", "auto") == ("4bit" if expected else "none")


@pytest.mark.parametrize("environ", [{"FAKE_DEVICES": "0"}, {"FAKE_BROKEN": "1"}])
def test_a_driver_without_a_device_or_that_does_not_start_is_none(
    torch_says: Path, driver: None, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    torch_says.write_text("cuda = '12.1'\n", encoding="utf-8")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert not has_cuda()


def test_without_a_driver_there_is_no_cuda(torch_says: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch_says.write_text("cuda = '12.1'\n", encoding="utf-8")
    monkeypatch.setattr(hardware, "DRIVER", "libno-such-driver.so.1")
    with pytest.raises(OSError):
        ctypes.CDLL(hardware.DRIVER)
    assert not has_cuda()


@pytest.mark.parametrize("version", ["cuda = None\nhip = '6.4'\n", "hip = None\n", "cuda = look(1)\n", None])
def test_a_torch_that_is_not_known_is_asked_itself(torch_says: Path, version: str | None) -> None:
    torch_says.with_name("__init__.py").write_text(
        "class cuda:\n    is_available = staticmethod(lambda: True)\n", encoding="utf-8"
    )
    if version is not None:
        torch_says.write_text(version, encoding="utf-8")
    try:
        assert has_cuda()
    finally:
        sys.modules.pop("torch", None)


def test_only_auto_depends_on_the_machine(torch_says: Path, driver: None) -> None:
    torch_says.write_text("cuda = '12.1'\n", encoding="utf-8")
    assert [resolve_quantize("auto", device) for device in ("cpu", "mps", "cuda", "auto")] == [
        "none",
        "none",
        "4bit",
        "4bit",
    ]
    assert resolve_quantize("4bit", "cpu") == "4bit"
    assert resolve_quantize("none", "cuda") == "none"
