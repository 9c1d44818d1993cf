"""A plugin as an installed package, without pip: what an installation leaves in a folder of the path."""

from __future__ import annotations

from pathlib import Path


def installed(folder: Path, name: str, module: str) -> str:
    """Lay the module out as an installed package with the entry point; the folder for ``PYTHONPATH``."""
    distribution = folder / f"{name}-0.1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (distribution / "entry_points.txt").write_text(f"[maestro_daemon]\n{name} = maestro_{name}\n")
    (folder / f"maestro_{name}.py").write_text(module)
    return str(folder)
