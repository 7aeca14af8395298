"""What is published: the same bytes from every build, all of the package's data, nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds the wheel")

REPOSITORY = Path(__file__).resolve().parents[1]
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.sqlite*")
FILES = ("pyproject.toml", "README.md", "LICENSE", "reports/data/zoo.json")


def build(folder: Path, target: str, changed_at: float, mask: int) -> Path:
    """The one file that a build of a copy of the source makes, its files of some age and mode."""
    source = folder / "source"
    shutil.copytree(REPOSITORY / "gadprof", source / "gadprof", ignore=NOT_SOURCE)
    for name in FILES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, source / name)
    for path in source.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)
        os.utime(path, (changed_at, changed_at))
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder / "out")]
    done = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "out").iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), "wheel", 1e9, 0o022)


@pytest.mark.slow
def test_two_builds_are_equal_in_bytes(wheel: Path, tmp_path: Path) -> None:
    again = build(tmp_path, "wheel", 1.5e9, 0o002)
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "gadprof").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == package | {
        "gadprof/data/zoo.json"
    }
    beside = {name.partition("/")[2] for name in names if ".dist-info/" in name}
    assert beside == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_source_distribution_holds_what_a_build_needs(tmp_path: Path) -> None:
    made = build(tmp_path / "sdist", "sdist", 1e9, 0o022)
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(FILES) <= names
    assert "gadprof/cli.py" in names
