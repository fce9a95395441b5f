"""What pyproject.toml cannot say: the wheel holds the sample corpus, of which there is one copy, data/sample."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SAMPLE = Path("data/sample")
INSIDE = Path("hcf_pipeline/sample")  # sample_of() in hcf_pipeline/cli/demo.py looks there


class WithSample(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / INSIDE
            shutil.rmtree(target, ignore_errors=True)
            for source, copy in self._sample():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, *(str(copy) for _, copy in self._sample())]

    def _sample(self) -> list[tuple[Path, Path]]:
        files = sorted(file for file in SAMPLE.rglob("*") if file.is_file())
        return [(file, Path(self.build_lib) / INSIDE / file.relative_to(SAMPLE)) for file in files]


setup(cmdclass={"build_py": WithSample})
