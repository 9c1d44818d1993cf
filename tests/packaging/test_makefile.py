"""What `make` says on a machine that lacks something. The interpreters here are scripts that lack it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TOOLS = ("sh", "rm", "cat", "touch", "echo", "env", "mkdir", "ln")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, and beside it `bin` with what a bare machine has."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    return tree


def interpreter(tree: Path, name: str, script: str) -> None:
    path = tree.parent / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\nexit 0\n")
    path.chmod(0o755)


def make(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    make_program = shutil.which("make")
    assert make_program is not None
    env = {"PATH": str(tree.parent / "bin"), "LC_ALL": "C"}
    return subprocess.run(
        [make_program, *arguments], cwd=tree, env=env, capture_output=True, text=True, timeout=30
    )


def sentences(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]


WITHOUT_ENSUREPIP = 'case "$*" in *ensurepip*) exit 1;; esac'
TOO_OLD = 'case "$*" in *version_info*) exit 1;; esac'


@pytest.mark.parametrize("target", ["run", "test", "lint", "bench"])
def test_python_without_venv_is_one_sentence_with_the_command(checkout: Path, target: str) -> None:
    interpreter(checkout, "python3", WITHOUT_ENSUREPIP)
    result = make(checkout, target)
    assert result.returncode != 0
    assert sentences(result) == [
        "python3 cannot make virtual environments: install what is missing with: "
        "sudo apt-get install python3-venv libgomp1"
    ]
    assert not (checkout / ".venv").exists()


def test_a_named_minor_version_without_venv_names_its_own_package(checkout: Path) -> None:
    interpreter(checkout, "python3", TOO_OLD)
    interpreter(checkout, "python3.12", WITHOUT_ENSUREPIP)
    assert sentences(make(checkout, "run")) == [
        "python3.12 cannot make virtual environments: install what is missing with: "
        "sudo apt-get install python3.12-venv libgomp1"
    ]


def test_no_python_is_one_sentence(checkout: Path) -> None:
    assert sentences(make(checkout, "run")) == [
        "maestro-daemon needs Python 3.11 or newer and found none: install it with: "
        "sudo apt-get install python3 python3-venv libgomp1"
    ]


def test_an_old_python_is_one_sentence(checkout: Path) -> None:
    interpreter(checkout, "python3", TOO_OLD)
    assert sentences(make(checkout, "run")) == [
        "maestro-daemon needs Python 3.11 or newer and python3 is older: install one, or name it with "
        "PYTHON=/path/to/python"
    ]


def test_an_engine_without_its_library_is_one_sentence_with_the_command(checkout: Path) -> None:
    missing = "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory"
    interpreter(checkout, "engineless", f'case "$*" in *xllamacpp*) echo "{missing}" >&2; exit 1;; esac')
    program = checkout.parent / "bin" / "engineless"
    interpreter(
        checkout,
        "python3",
        f'case "$*" in "-m venv"*) mkdir -p .venv/bin; ln -s {program} .venv/bin/python;; esac',
    )
    result = make(checkout, "run")
    assert result.returncode != 0
    assert sentences(result) == [
        "the embedded engine needs libgomp.so.1: install it with: sudo apt-get install libgomp1"
    ]


def test_a_named_python_that_does_not_run_is_one_sentence(checkout: Path) -> None:
    assert sentences(make(checkout, "run", "PYTHON=/nowhere/python")) == [
        "PYTHON=/nowhere/python is no Python that runs: name one of version 3.11 or newer"
    ]


def test_make_alone_lists_the_commands(checkout: Path) -> None:
    result = make(checkout)
    assert result.returncode == 0
    assert {line.split()[1] for line in result.stdout.splitlines()} >= {"run", "test", "lint", "bench"}


def test_neither_pip_nor_the_interpreter_sees_a_foreign_environment(checkout: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    interpreter(checkout, "python3", f"env >{seen}\nexit 1")
    make_program = shutil.which("make")
    assert make_program is not None
    foreign = {
        "VIRTUAL_ENV": "/x",
        "PYTHONPATH": "/x",
        "PYTHONHOME": "/x",
        "PIP_USER": "1",
        "PIP_TARGET": "/x",
    }
    subprocess.run(
        [make_program, "run"],
        cwd=checkout,
        env={"PATH": str(tmp_path / "bin"), **foreign},
        capture_output=True,
        timeout=30,
        check=False,
    )
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert names & set(foreign) == set()
    assert os.fspath(tmp_path / "bin") in seen.read_text()
