"""What the tests see of the environment that they are run in."""

from __future__ import annotations

from pathlib import Path

from tests.support.environment import fetching, shut_out


def test_what_changes_our_programs_is_gone_and_what_fetches_packages_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").touch()
    environ = {
        "HOME": str(tmp_path),
        "PATH": "/bin",
        "EDITOR": "ed",
        "OPENAI_API_KEY": "sk-of-the-user",
        "XDG_STATE_HOME": "/state",
        "STATE_DIRECTORY": "/var/lib/another",
        "FORCE_COLOR": "1",
        "PIP_USER": "1",
        "PIP_INDEX_URL": "https://packages.lan/simple",
        "https_proxy": "http://proxy.lan:3128",
    }
    for home in ("/one", "/of-a-worker"):
        shut_out(environ, Path(home))
    left = dict(environ)
    fetched_with = left.pop("TESTS_FETCH_WITH")
    assert left == {
        "HOME": "/of-a-worker",
        "PATH": "/bin",
        "EDITOR": "ed",
        "PIP_INDEX_URL": "https://packages.lan/simple",
    }
    assert "sk-of-the-user" not in fetched_with
    kept = {
        "HOME": str(tmp_path),
        "PATH": "/bin",
        "PIP_INDEX_URL": "https://packages.lan/simple",
        "https_proxy": "http://proxy.lan:3128",
        "no_proxy": "127.0.0.1,localhost,::1",
        "NO_PROXY": "127.0.0.1,localhost,::1",
    }
    assert fetching(given=environ) == kept
    elsewhere = {"HOME": "/elsewhere", "PIP_CONFIG_FILE": f"{tmp_path}/.config/pip/pip.conf"}
    assert fetching(Path("/elsewhere"), given=environ) == {**kept, **elsewhere}
