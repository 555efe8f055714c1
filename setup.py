"""What pyproject.toml cannot say: a wheel carries the project that ``platform-ctl init`` copies."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PARTS = ("recipes", "pipelines", "runbooks", "platform-ctl.toml")


class WithTemplate(build_py):
    """Copies the parts of a project into the wheel, beside the code that starts one."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "platform_ctl" / "project" / "template"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for part in PARTS:
            if (ROOT / part).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(ROOT / part, target / part, ignore=ignored)
            else:
                shutil.copy(ROOT / part, target / part)


setup(cmdclass={"build_py": WithTemplate})
