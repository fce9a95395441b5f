"""What torch would find on this machine, in milliseconds and without importing it.

Recipes are made whenever definitions are loaded, and an adapter's depends on whether its base is quantized.
"""

from __future__ import annotations

import ast
import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
SUCCESS = 0

Device = Literal["auto", "cpu", "cuda", "mps"]
Quantize = Literal["auto", "4bit", "none"]


def resolve_quantize(quantize: Quantize, device: Device) -> Literal["4bit", "none"]:
    """What `[base] quantize` comes to on the device that `[chat] device` names: "auto" is 4-bit where CUDA is."""
    if quantize != "auto":
        return quantize
    return "4bit" if device == "cuda" or (device == "auto" and has_cuda()) else "none"


def has_cuda() -> bool:
    """As `torch.cuda.is_available()`: torch was built for CUDA, and the driver shows it a device.

    The driver itself heeds CUDA_VISIBLE_DEVICES. A build of torch that isn't known here (ROCm) is imported and asked.
    """
    built_for = _built_for()
    if built_for is None:
        import torch

        return bool(torch.cuda.is_available())
    return bool(built_for) and _driver_has_a_device(int(built_for.partition(".")[0]))


def _built_for() -> str | None:
    """The CUDA version that torch was built for, "" for none; None where its version file doesn't tell."""
    torch = find_spec("torch")
    try:
        said = _assigned(Path(str(torch and torch.origin)).with_name("version.py").read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    if "cuda" not in said or said.get("hip"):
        return None
    return str(said["cuda"] or "")


def _assigned(source: str) -> dict[str, object]:
    """The plain values that a module gives names at its top."""
    found: dict[str, object] = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value:
            found[line.target.id] = ast.literal_eval(line.value)
        elif isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            found[line.targets[0].id] = ast.literal_eval(line.value)
    return found


def _driver_has_a_device(major: int) -> bool:
    """Whether NVIDIA's driver is there, new enough for that major version of CUDA, and shows a device."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return False
    version, count = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) != SUCCESS or driver.cuDriverGetVersion(ctypes.byref(version)) != SUCCESS:
        return False
    if version.value // 1000 < major:
        return False
    return bool(driver.cuDeviceGetCount(ctypes.byref(count)) == SUCCESS and count.value > 0)
