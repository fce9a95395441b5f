"""Mutation score of a room: how many small faults put into its code make its tests fail.

    python benchmarks/mutants.py --room store [--sample 60] [--seed 0] [--module gc.py]

Needs cosmic-ray and coverage beside the project's packages (CONTRIBUTING.md). Works on a copy of the checkout in a
temporary folder. Each test file runs once with coverage; then each mutant is tried with the files that reach its
statement (or, where none is seen to, that name its module), in a process forked from one that has the libraries loaded already. A
mutant that no file reaches survives.

Not counted, since no test should notice: annotations, class decorators, `__repr__`, what is logged or drawn, sleeps and time
limits, the layout of JSON, digits that a figure is rounded to, `strict=` (an assertion), and a number that stands alone under a
name at the top of a module (it was tuned by measurement: a test that pins it only says it twice). Of the operators those are left out that only repeat another
(`+` becomes `-`, and not each of eleven others).
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import difflib
import importlib
import itertools
import math
import os
import py_compile
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = "hcf_pipeline", "hcf_pipeline_tests"
LIBRARIES = ("numpy", "pandas", "pyarrow.parquet", "pydantic", "psutil", "filelock", "typer", "rich", "hypothesis.strategies",
             "safetensors", "tokenizers", "torch", "faiss", "transformers.trainer", "transformers.models.qwen2.modeling_qwen2",
             "datasets", "peft", "trl.trainer.sft_trainer", "matplotlib.figure", "dagster", "coverage", "pytest")  # fmt: skip


@dataclass(frozen=True)
class Room:
    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "gates": Room(
        ("gates.py", "chat/release.py", "chat/releases.py", "chat/hold.py", "chat/serving.py"),
        ("test_gates.py", "chat/test_release*.py", "chat/test_serving.py", "rag/test_self_test.py", "test_gc.py"),
    ),
    "store": Room(
        ("store/*.py", "gc.py"),
        ("test_store*.py", "test_gc.py", "test_leases.py", "test_making.py", "test_models.py", "test_locks.py"),
    ),
    "corpus": Room(("corpus/*.py",), ("corpus/test_*.py", "defs/test_why.py", "sft/test_split.py", "sft/test_samples.py")),
    "rag": Room(
        ("rag/index/*.py", "rag/search/*.py", "rag/chunking/lines.py", "rag/evaluation/measures.py", "rag/evaluation/questions.py"),
        ("rag/test_*.py",),
    ),
    "sft": Room(
        tuple(f"sft/{name}.py" for name in ("left_out", "pretrain", "sampler", "samples", "split", "training_log", "windows")),
        tuple(f"sft/test_{name}.py" for name in ("base_model", "left_out", "pretrain", "sampler", "samples", "split", "training_log")),
    ),
    "lm": Room(("lm/*.py",), ("lm/test_*.py", "chat/test_generate.py")),
    "training": Room(
        (
            *(f"sft/{name}.py" for name in ("base_model", "checkpoints", "held_out", "rows", "tokenizer", "train", "trainer")),
            *(f"defs/sft/{name}.py" for name in ("train_process", "worker")),
        ),
        ("sft/test_base_model.py", "sft/test_threads.py", "sft/test_train.py", "sft/test_train_process.py"),
    ),
}  # fmt: skip

OPERATORS = (
    *("ReplaceBinaryOperator_" + name for name in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul", "RShift_LShift",
        "LShift_RShift", "BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitOr")),
    *("ReplaceComparisonOperator_" + name for name in (
        "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt",
        "Is_IsNot", "IsNot_Is")),
    "ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "AddNot", "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer", "ZeroIterationForLoop",
)  # fmt: skip

NOTHING_COLLECTED = 5  # of pytest's exit status
Span = tuple[tuple[int, int], tuple[int, int]]  # (line, column) of the first character and after the last, in bytes


@dataclass(frozen=True)
class Mutant:
    file: str  # of the checkout
    operator: str
    line: int
    code: str


def span(node: ast.AST) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def _is_number(node: ast.AST | None) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand)
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def uncounted(tree: ast.AST) -> Iterator[Span]:
    """Where a fault is none, or nobody's to notice."""
    yield from (span(node) for node in getattr(tree, "body", []) if _is_number(getattr(node, "value", None)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield from (span(a.annotation) for a in ast.walk(node.args) if isinstance(a, ast.arg) and a.annotation)
            if node.args.kwonlyargs:  # the bare `*` before them is no product
                before = [*node.args.posonlyargs, *node.args.args, *node.args.defaults]
                first = max((span(one)[1] for one in before), default=(node.lineno, node.col_offset))
                yield first, span(node.args.kwonlyargs[0])[0]
            if node.returns:
                yield span(node.returns)
            if node.name == "__repr__":
                yield span(node)
        elif isinstance(node, ast.ClassDef):
            yield from map(span, node.decorator_list)
        elif isinstance(node, ast.AnnAssign):
            yield span(node.annotation)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp | ast.Subscript):
            if "Callable" in ast.dump(node.value):  # a type that has a name
                yield span(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield span(node)
        elif isinstance(node, ast.keyword) and node.arg in {"indent", "strict", "ensure_ascii", "timeout", "nullable"}:
            yield span(node.value)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "round":
                yield from map(span, node.args[1:])
            elif (
                called.startswith(("log.", "logger.", "self._say", "time.sleep", "axes.", "figure.", "Figure"))
                or called == "warnings.warn"
            ):
                yield span(node)


@dataclass(frozen=True)
class Place:
    """Where an operator can change a file."""

    file: str
    operator: str
    occurrence: int
    line: int

    def mutant(self) -> Mutant | None:
        """None where the operator fails (`except a.b`), or makes no other code."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        source = (ROOT / self.file).read_text(encoding="utf-8")
        with contextlib.suppress(SyntaxError, AttributeError):
            code = mutate_code(source, get_operator(f"core/{self.operator}")(), self.occurrence)
            if code and ast.dump(ast.parse(code)) != ast.dump(ast.parse(source)):
                return Mutant(self.file, self.operator, self.line, code)
        return None


def places(file: str) -> Iterator[Place]:
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    source = (ROOT / file).read_text(encoding="utf-8")
    lines = source.split("\n")
    spans = list(uncounted(ast.parse(source)))
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        positions = [at for node in nodes for at in operator.mutation_positions(node)]
        for occurrence, ((line, column), _) in enumerate(positions):
            at = line, len(lines[line - 1][:column].encode("utf-8"))
            if not any(first <= at < last for first, last in spans):
                yield Place(file, name, occurrence, line)


class Quick:
    """A plugin for pytest: without the tests that first make a whole project, which takes minutes."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if "finished" not in getattr(item, "fixturenames", ())]


class Bench:
    """A copy of the checkout in which tests run, each time in a process of their own."""

    def __init__(self, folder: Path) -> None:
        self.copy, self._tmp, self._said = folder / "checkout", folder / "tmp", folder / "output.txt"
        listed = subprocess.run(
            ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        for name in filter(None, listed.decode("utf-8").split("\0")):
            if (ROOT / name).is_file():
                (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.copy / name)
        # By its hash, since a changed digit changes neither a file's size nor, so soon after, its time.
        compileall.compile_dir(
            self.copy / PACKAGE, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
        )

    def run(self, files: Sequence[str], timeout_s: float, coverage: Path | None = None) -> int | None:
        """pytest's exit status; None where the tests took too long."""
        shutil.rmtree(self._tmp, ignore_errors=True)
        child = os.fork()
        if not child:
            self._in_child(files, coverage)
        try:
            return self._wait(child, timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)

    @staticmethod
    def _wait(child: int, timeout_s: float) -> int | None:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

    def _in_child(self, files: Sequence[str], coverage: Path | None) -> None:
        code = 70
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with self._said.open("wb") as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            os.chdir(self.copy)
            sys.path.insert(0, str(self.copy))
            os.environ["PYTHONPATH"] = str(self.copy)
            code = self._tests(files, coverage)
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _tests(self, files: Sequence[str], coverage: Path | None) -> int:
        import hypothesis
        import pytest
        from coverage import Coverage

        no_shrink = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, phases=no_shrink)
        hypothesis.settings.load_profile("mutants")
        measure = Coverage(data_file=str(coverage), include=[f"{self.copy / PACKAGE}/*"]) if coverage else None
        if measure:
            measure.start()
        options = ["-n", "0", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", f"--basetemp={self._tmp}"]
        code = int(pytest.main([*options, *files], plugins=[Quick()]))
        if measure:
            measure.stop()
            measure.save()
        return code

    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Reach:
    """Which lines of the package a test file runs, and how long it takes."""

    seconds: float
    lines: dict[str, frozenset[int]]


def reach(bench: Bench, test: str, data: Path) -> Reach:
    from coverage import CoverageData

    began = time.monotonic()
    if bench.run([test], 600, data) not in {0, NOTHING_COLLECTED}:
        raise SystemExit(f"{test} fails without a mutant:\n{bench.said()[-3000:]}")
    seconds = time.monotonic() - began
    measured = CoverageData(str(data))
    measured.read()
    files = {str(Path(file).relative_to(bench.copy)): file for file in measured.measured_files()}
    return Reach(seconds, {name: frozenset(measured.lines(file) or ()) for name, file in files.items()})


def statement(file: str, line: int) -> frozenset[int]:
    """The lines of the smallest statement around a line; of a compound one only its head."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = frozenset({line})
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            if line <= max(last, node.lineno):
                found = frozenset(range(node.lineno, max(last, node.lineno) + 1))
    return found


def wilson(killed: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of a share."""
    z, p = 1.96, killed / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def diff(mutant: Mutant) -> str:
    before = (ROOT / mutant.file).read_text(encoding="utf-8").splitlines()
    return "\n".join(
        difflib.unified_diff(before, mutant.code.splitlines(), mutant.file, mutant.operator, lineterm="", n=1)
    )


def try_out(bench: Bench, mutant: Mutant, reached: dict[str, Reach]) -> str:
    lines = statement(mutant.file, mutant.line)
    tests = [test for test, one in reached.items() if lines & one.lines.get(mutant.file, frozenset())] or [
        test for test in reached if Path(mutant.file).stem in (bench.copy / test).read_text(encoding="utf-8")
    ]  # what runs in a process of its own is not seen by coverage
    if not tests:
        return "survived (no test reaches it)"
    tests.sort(key=lambda test: reached[test].seconds)
    changed = bench.copy / mutant.file
    before = changed.read_text(encoding="utf-8")
    changed.write_text(mutant.code, encoding="utf-8")
    try:
        code = bench.run(tests, 15 + 2 * sum(reached[test].seconds for test in tests))
    finally:
        changed.write_text(before, encoding="utf-8")
    return {None: "killed (too long)", 0: "survived", NOTHING_COLLECTED: "survived"}.get(code, "killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", choices=ROOMS, required=True)
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--module", help="only this module of the room, as gc.py or store/store.py")
    given = parser.parse_args()
    room = ROOMS[given.room]
    files = sorted({str(p.relative_to(ROOT)) for m in room.modules for p in (ROOT / PACKAGE).glob(m)})
    tests = sorted({str(p.relative_to(ROOT)) for t in room.tests for p in (ROOT / TESTS).glob(t)})
    every = [place for file in files if given.module in {None, file.partition("/")[2]} for place in places(file)]
    random.Random(given.seed).shuffle(every)
    drawn = list(itertools.islice(filter(None, (place.mutant() for place in every)), given.sample))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the tests and the copy go too
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as in the tests' conftest, which comes too late here
    for name in LIBRARIES:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as made:
        bench = Bench(Path(made))
        reached = {test: reach(bench, test, Path(made) / f"coverage-{n}") for n, test in enumerate(tests)}
        total = sum(one.seconds for one in reached.values())
        print(
            f"{given.room}: {len(drawn)} mutants of {len(every)} places, {len(tests)} test files ({total:.0f} s)",
            flush=True,
        )
        survivors, began = 0, time.monotonic()
        for n, mutant in enumerate(drawn, 1):
            outcome = try_out(bench, mutant, reached)
            if outcome.startswith("survived"):
                survivors += 1
                print(f"\n{outcome}\n{diff(mutant)}", flush=True)
            print(f"{n}/{len(drawn)} {time.monotonic() - began:.0f} s {mutant.file}:{mutant.line} {outcome}", file=sys.stderr, flush=True)  # fmt: skip
    killed = len(drawn) - survivors
    low, high = wilson(killed, len(drawn))
    print(
        f"\n{given.room}: {killed} killed, {survivors} survived: score {killed / len(drawn):.1%} "
        f"(95 % confidence {low:.0%} to {high:.0%}; seed {given.seed})"
    )


if __name__ == "__main__":
    main()
