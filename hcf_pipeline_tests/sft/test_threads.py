"""Fits and trainings compute with a number of threads of their own, whatever the process did or was told before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from hcf_pipeline.machine.threads import environment, processor, threads, wanted_threads
from hcf_pipeline.rag.encode.encoder_fit import fit_encoder
from hcf_pipeline.settings import EncoderSettings
from hcf_pipeline.sft.base_model import fit_base
from hcf_pipeline_tests.sft.conftest import BASE, HELD_OUT, SYSTEM

FIT = """
import sys
from pathlib import Path
from hcf_pipeline_tests.sft.conftest import BASE, HELD_OUT, SYSTEM
from hcf_pipeline.sft.base_model import fit_base
fit_base(Path(sys.argv[1]), BASE, HELD_OUT, SYSTEM, Path(sys.argv[2]), n_threads=2)
"""


def blas_threads() -> set[int]:
    np.ones((4, 4)) @ np.ones((4, 4))
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_number_of_threads_holds_for_torch_and_numpy_and_ends_with_its_block(number: int) -> None:
    before = torch.get_num_threads(), blas_threads()
    with threads(number):
        assert torch.get_num_threads() == number and blas_threads() == {number}
        with threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == number and blas_threads() == {number}
    assert (torch.get_num_threads(), blas_threads()) == before
    with pytest.raises(KeyError), threads(number):
        raise KeyError
    assert torch.get_num_threads() == before[0]


def test_as_many_as_the_process_may_use_where_no_number_is_set() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from hcf_pipeline.machine.threads import *; "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(wanted_threads(0), wanted_threads(5))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["1", "5"]
    assert wanted_threads(0) == len(os.sched_getaffinity(0))


def test_a_process_of_its_own_is_told_before_its_libraries_load_and_keeps_the_users_choice_of_mode() -> None:
    told = environment(3, {"OMP_NUM_THREADS": "8"})
    assert {told[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert told["MKL_CBWR"] == "AVX2"
    assert environment(3, {"MKL_CBWR": "COMPATIBLE"})["MKL_CBWR"] == "COMPATIBLE"
    assert environment(3, {})["GOMP_SPINCOUNT"] == "1000"
    assert environment(3, {"GOMP_SPINCOUNT": "7"})["GOMP_SPINCOUNT"] == "7"


def test_the_kind_of_processor_and_the_reproducible_mode_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    plain = processor()
    assert torch.backends.cpu.get_cpu_capability() in plain
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert processor() != plain


def test_a_fit_computes_with_its_own_number_whatever_the_process_used_before(pairs: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    used: list[int] = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            fit_base(
                pairs, BASE, HELD_OUT, SYSTEM, tmp_path / str(number), lambda *_: used.append(torch.get_num_threads()),
                n_threads=2,
            )  # fmt: skip
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    assert set(used) == {2}
    fit_encoder(
        pairs,
        EncoderSettings(steps=3, dim=8),
        (),
        tmp_path / "encoder",
        lambda *_: used.append(torch.get_num_threads()),
    )
    assert used[-3:] == [1, 1, 1]


@pytest.mark.slow
def test_the_environments_number_of_threads_changes_no_byte(pairs: Path, tmp_path: Path) -> None:
    for number in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", FIT, str(pairs), str(tmp_path / number)],
            env=os.environ | {"OMP_NUM_THREADS": number}, check=True,
        )  # fmt: skip
    assert (tmp_path / "1" / "model.safetensors").read_bytes() == (tmp_path / "2" / "model.safetensors").read_bytes()
