"""Every variable, every way to get it wrong, and no secret in any line about it."""

import ast
import os
import re
from pathlib import Path

import pytest

import sora_mcp
from sora_mcp import settings as module
from sora_mcp.settings import SettingError, Settings

KEY = "sk-canary-77aa41"
ROOT = Path(__file__).parents[1]
VARIABLES = sorted(set(re.findall(r'"((?:SORA_MCP|TOAPIS)_[A-Z_]+)"', Path(module.__file__).read_text("utf-8"))))


def load(**variables):
    return Settings.load({"HOME": "/home/someone", **variables})


def test_nothing_set_gives_the_defaults():
    settings = load()
    assert settings.api_key is None
    assert settings.base_url == "https://toapis.com"
    assert settings.default_model == "sora-2-official"
    assert settings.poll_seconds == 5
    assert settings.daily_seconds == 120
    assert settings.file_hosts == ("files.toapis.com", "files.toapis.cn")
    assert not settings.simulate
    assert not settings.auto_save
    assert settings.log_level == "WARNING"
    assert settings.data_dir.is_absolute()
    assert settings.output_dir.name == "Sora"
    assert Path.home() not in settings.image_roots


def test_every_variable_is_read(tmp_path):
    settings = load(
        TOAPIS_API_KEY=KEY,
        TOAPIS_BASE_URL="https://api.toapis.com/v1/",
        SORA_MCP_SIMULATE="1",
        SORA_MCP_SIMULATE_SPEED="50",
        SORA_MCP_MODEL="sora-2-vvip",
        SORA_MCP_DATA_DIR=str(tmp_path / "data"),
        SORA_MCP_OUTPUT_DIR=str(tmp_path / "videos"),
        SORA_MCP_IMAGE_ROOTS=os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]),
        SORA_MCP_FILE_HOSTS="Files.Example.com, other.example.com",
        SORA_MCP_POLL_SECONDS="0.5",
        SORA_MCP_DAILY_SECONDS="0",
        SORA_MCP_AUTO_SAVE="1",
        SORA_MCP_HTTP_TOKEN="token-canary-1",
        SORA_MCP_LOG_LEVEL="debug",
    )
    assert settings.api_key.get_secret_value() == KEY
    assert settings.http_token.get_secret_value() == "token-canary-1"
    assert settings.base_url == "https://api.toapis.com"
    assert settings.simulate
    assert settings.simulate_speed == 50
    assert settings.default_model == "sora-2-vvip"
    assert settings.data_dir == tmp_path / "data"
    assert settings.output_dir == tmp_path / "videos"
    assert settings.image_roots == (tmp_path / "a", tmp_path / "b")
    assert settings.file_hosts == ("files.example.com", "other.example.com")
    assert settings.poll_seconds == 0.5
    assert settings.daily_seconds == 0
    assert settings.auto_save
    assert settings.log_level == "DEBUG"


def test_secrets_leave_the_environment_and_show_nowhere():
    environment = {"TOAPIS_API_KEY": KEY, "SORA_MCP_HTTP_TOKEN": "token-canary-2"}
    settings = Settings.load(environment)
    assert environment == {}
    assert KEY not in repr(settings)
    assert "token-canary-2" not in repr(settings)


def test_the_key_may_be_in_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"  {KEY}\n")
    assert load(TOAPIS_API_KEY_FILE=str(file)).api_key.get_secret_value() == KEY
    assert load(TOAPIS_API_KEY_FILE=str(file), TOAPIS_API_KEY="sk-other").api_key.get_secret_value() == "sk-other"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "http://localhost:1234/",
        "http://[::1]:9/v1",
        "https://toapis.cn",
        "https://x.example/v1/",
    ],
)
def test_https_and_loopback_are_addresses_of_the_service(url):
    assert load(TOAPIS_BASE_URL=url).base_url == url.rstrip("/").removesuffix("/v1")


BAD = [
    *[("TOAPIS_API_KEY", value) for value in ("your-key", "YOUR_API_KEY", "${TOAPIS_API_KEY}", "<key>", "sk-...")],
    *[
        ("TOAPIS_API_KEY", value)
        for value in (f"{KEY} x", f"{KEY}\tx", f"{KEY}\nx", f"{KEY}\x07", f"{KEY}é", KEY * 200)
    ],
    *[("TOAPIS_API_KEY_FILE", value) for value in ("/no/such/file", "/", "~nobody-here/key")],
    *[("TOAPIS_BASE_URL", value) for value in ("http://example.com", "ftp://toapis.com", "toapis.com", "https://")],
    *[("TOAPIS_BASE_URL", value) for value in ("https://user:pw@toapis.com", "https://toapis.com?x=1", "https://[::1")],
    *[("SORA_MCP_SIMULATE", value) for value in ("2", "maybe")],
    *[("SORA_MCP_SIMULATE_SPEED", value) for value in ("0", "fast", "nan", "inf", "-1")],
    ("SORA_MCP_MODEL", "sora-3"),
    *[("SORA_MCP_DATA_DIR", value) for value in ("data", "./x", "~nobody-here/x")],
    ("SORA_MCP_OUTPUT_DIR", "videos"),
    ("SORA_MCP_IMAGE_ROOTS", "pictures"),
    *[("SORA_MCP_FILE_HOSTS", value) for value in ("https://files.toapis.com", "a/b", "files.toapis.com:443", "a b")],
    *[("SORA_MCP_POLL_SECONDS", value) for value in ("0", "-5", "soon", "1e9", "nan")],
    *[("SORA_MCP_DAILY_SECONDS", value) for value in ("-1", "1.5", "many", "9" * 20)],
    ("SORA_MCP_AUTO_SAVE", "always"),
    *[("SORA_MCP_HTTP_TOKEN", value) for value in ("two words", "changeme")],
    ("SORA_MCP_LOG_LEVEL", "LOUD"),
]


@pytest.mark.parametrize(("variable", "value"), BAD)
def test_a_bad_value_is_one_line_that_names_the_variable_and_no_secret(variable, value):
    with pytest.raises(SettingError) as error:
        load(**{variable: value})
    line = str(error.value)
    assert line.startswith(f"{variable}: ")
    assert "\n" not in line
    assert KEY not in line
    assert len(line) < 300


def test_an_empty_key_file_is_told(tmp_path):
    (tmp_path / "key").write_text("\n")
    with pytest.raises(SettingError, match="empty"):
        load(TOAPIS_API_KEY_FILE=str(tmp_path / "key"))


def test_every_setting_is_in_the_readme():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(VARIABLES) >= 14
    for variable in VARIABLES:
        assert f"`{variable}`" in readme, f"{variable} is read but not documented"


def test_every_setting_of_the_readme_is_read():
    documented = re.findall(r"`((?:SORA_MCP|TOAPIS)_[A-Z_]+)`", (ROOT / "README.md").read_text("utf-8"))
    assert set(documented) <= set(VARIABLES)


def test_nothing_else_reads_the_environment():
    package = Path(sora_mcp.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", ""))
            assert name not in {"environ", "environb", "getenv"}, path
