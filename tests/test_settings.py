"""Every variable, every way to get it wrong, and no secret in any line about it."""

import ast
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import sora_mcp
from sora_mcp import settings as module
from sora_mcp.settings import SettingError, Settings, is_loopback, quiet_foreign_loggers

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


@pytest.mark.parametrize("bad", [{"TOAPIS_API_KEY": f"{KEY} x"}, {"SORA_MCP_HTTP_TOKEN": "two words"}])
def test_secrets_leave_the_environment_though_one_of_them_is_refused(bad):
    environment = {"TOAPIS_API_KEY": KEY, "SORA_MCP_HTTP_TOKEN": "token-canary-2", "PATH": "/bin"} | bad
    with pytest.raises(SettingError):
        Settings.load(environment)
    assert environment == {"PATH": "/bin"}


def test_secrets_show_in_no_form_of_the_settings():
    settings = load(TOAPIS_API_KEY=KEY, SORA_MCP_HTTP_TOKEN="token-canary-2")
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "canary" not in shown
    with pytest.raises(ValidationError) as error:
        Settings(api_key=KEY, poll_seconds=KEY, unknown=KEY)
    assert "canary" not in str(error.value)


def test_a_child_process_inherits_no_secret():
    script = """
import subprocess, sys
from sora_mcp.settings import Settings
settings = Settings.load()
assert settings.api_key and settings.http_token
print(subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True).stdout)
"""
    secrets = {"TOAPIS_API_KEY": KEY, "SORA_MCP_HTTP_TOKEN": "token-canary-2"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | secrets, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "PATH" in run.stdout
    assert "canary" not in run.stdout + run.stderr


def test_white_space_around_a_value_is_no_part_of_it():
    settings = load(TOAPIS_API_KEY=f" {KEY}\r\n", SORA_MCP_DAILY_SECONDS=" 60 ", SORA_MCP_LOG_LEVEL="info\n")
    assert settings.api_key.get_secret_value() == KEY
    assert settings.daily_seconds == 60
    assert settings.log_level == "INFO"


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("blank", ["", "  \t"])
def test_a_blank_value_is_as_good_as_none(variable, blank):
    assert load(**{variable: blank}) == load()


@pytest.mark.parametrize(
    "key", [KEY, "sk-" + "aB3" * 16, "sk-a_b.c~d+e/f=-12", "a1b2c3", "x:y", "yours-truly-1", "sk-your7"]
)
def test_what_may_be_a_key_is_taken_for_one(key):
    assert load(TOAPIS_API_KEY=key).api_key.get_secret_value() == key


def test_a_token_may_hold_what_a_key_may_not():
    assert load(SORA_MCP_HTTP_TOKEN="a$b%c'd\"e!").http_token.get_secret_value() == "a$b%c'd\"e!"


def test_the_key_may_be_in_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"  {KEY}\n")
    assert load(TOAPIS_API_KEY_FILE=str(file)).api_key.get_secret_value() == KEY
    assert load(TOAPIS_API_KEY_FILE=str(file), TOAPIS_API_KEY="sk-other").api_key.get_secret_value() == "sk-other"


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + KEY.encode(), f"\n\n{KEY}\r\n".encode()])
def test_a_key_file_of_any_editor_is_read(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    assert load(TOAPIS_API_KEY_FILE=str(tmp_path / "key")).api_key.get_secret_value() == KEY


def test_a_key_file_may_be_a_pipe():
    read_end, write_end = os.pipe()
    os.write(write_end, KEY.encode())
    os.close(write_end)
    try:
        assert load(TOAPIS_API_KEY_FILE=f"/dev/fd/{read_end}").api_key.get_secret_value() == KEY
    finally:
        os.close(read_end)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (KEY.encode("utf-16"), "not a text file"),
        (b"\xff\xfe\x00", "not a text file"),
        (f"{KEY}\n{KEY}".encode(), "white space"),
        (f"TOAPIS_API_KEY = {KEY}".encode(), "white space"),
        (f'"{KEY}"'.encode(), "without quotes"),
        (b"your-key", "placeholder"),
        (KEY.encode() * 100_000, "too long"),
        (b"\0" * 4096, "odd characters"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_told_without_its_content(tmp_path, content, words):
    (tmp_path / "canary").write_bytes(content)
    with pytest.raises(SettingError, match=words) as error:
        load(TOAPIS_API_KEY_FILE=str(tmp_path / "canary"))
    assert str(error.value).startswith("TOAPIS_API_KEY_FILE: ")
    assert "canary" not in str(error.value)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_an_endless_key_file_is_not_read_to_its_end():
    with pytest.raises(SettingError, match="odd characters"):
        load(TOAPIS_API_KEY_FILE="/dev/zero")


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("HTTPS://ToApis.com/V1", "https://ToApis.com/V1"),
        ("https://v1", "https://v1"),
        ("https://v1/v1", "https://v1"),
        ("https://toapis.com///", "https://toapis.com"),
        ("https://toapis.com//v1//", "https://toapis.com"),
        ("https://proxy.example:8443/toapis/v1/", "https://proxy.example:8443/toapis"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://LOCALHOST:1", "http://LOCALHOST:1"),
        ("https://10.0.0.1", "https://10.0.0.1"),
    ],
)
def test_an_address_of_the_service_is_kept_without_its_version(text, base_url):
    assert load(TOAPIS_BASE_URL=text).base_url == base_url


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


BAD = {
    "TOAPIS_API_KEY": [
        *["your-key", "YOUR_API_KEY", "sk-your-key", "your_toapis_key", "YOUR-KEY-HERE", "yourapikey", "put-key-here"],
        *["${TOAPIS_API_KEY}", "${input:toapis-key}", "$TOAPIS_API_KEY", "%TOAPIS_API_KEY%", "{{key}}", "<key>"],
        *["sk-", "sk-...", "…", "sk-xxxx-xxxx", "xxxxxxxx", "sk-abc...xyz", "sk-ab***yz", "TOAPIS_API_KEY", "api-key"],
        *["change-me", "changeme", "replace_me", "null", "None", "placeholder"],
        *[f"{KEY} x", f"{KEY}\tx", f"{KEY}\nx", f"{KEY}\r\nX-Evil: 1", f"{KEY}\u00a0x", f"Bearer {KEY}"],
        *[f"{KEY}\x07", f"{KEY}é", f"{KEY}\u200b", f"{KEY}\ud800", f'"{KEY}"', f"'{KEY}'", f"{KEY};", f"{KEY},"],
        KEY * 200,
    ],
    "TOAPIS_API_KEY_FILE": ["/no/such/file", "/", "~nobody-here/key", "/no/a\0b", KEY, f"/no/{KEY}/key"],
    "TOAPIS_BASE_URL": [
        *["http://example.com", "ftp://toapis.com", "file:///etc/passwd", "toapis.com", "//toapis.com", "https:a", KEY],
        *["https://", "https:///v1", "https://a.com:0", "https://a.com:99999", "https://a.com:", "https://[::1"],
        *["https://user:pw@toapis.com", "https://@toapis.com", f"https://{KEY}@a.com", "https://a.com\\@b.com"],
        *["https://toapis.com?x=1", "https://toapis.com?", "https://toapis.com#x", "https://toapis.com#"],
        *["https://a\t.com", "https://a b.com", "https://a.com%00.b", "https://t\u043eapis.com"],
        *["http://localhost.example.com", "http://127.0.0.1.example.com", "http://0.0.0.0", "http://[::]"],
        *["http://127.1", "http://2130706433", "http://10.0.0.1", "http://[fe80::1]"],
    ],
    "SORA_MCP_SIMULATE": ["2", "maybe"],
    "SORA_MCP_SIMULATE_SPEED": ["0", "fast", "nan", "inf", "-1", "1_0", "٣"],
    "SORA_MCP_MODEL": ["sora-3", "sora-2", "SORA-2-OFFICIAL", KEY],
    "SORA_MCP_DATA_DIR": ["data", "./x", "~nobody-here/x", "/no/a\0b", "~a\0b", "/no/\udcff", "${HOME}/data", KEY],
    "SORA_MCP_OUTPUT_DIR": ["videos", "~nobody-here/x"],
    "SORA_MCP_IMAGE_ROOTS": ["pictures", f"/no{os.pathsep}pictures"],
    "SORA_MCP_FILE_HOSTS": [
        *["https://files.toapis.com", "a/b", "files.toapis.com:443", "a b", "a@b", "dé.com"],
        *["*.toapis.com", "*", "a..b", ".a", "a.", "-a", "[::1]"],
    ],
    "SORA_MCP_POLL_SECONDS": ["0", "-5", "soon", "5s", "1e9", "86401", "nan"],
    "SORA_MCP_DAILY_SECONDS": ["-1", "+5", "1.5", "1e2", "many", "9" * 20, "٣", "²"],
    "SORA_MCP_AUTO_SAVE": ["always"],
    "SORA_MCP_HTTP_TOKEN": ["two words", "changeme", "${TOKEN}", "canary\x07", "canaryé"],
    "SORA_MCP_LOG_LEVEL": ["LOUD"],
}


@pytest.mark.parametrize(("variable", "value"), [(variable, value) for variable in BAD for value in BAD[variable]])
def test_a_bad_value_is_one_line_that_names_the_variable_and_the_fix_and_no_secret(variable, value):
    with pytest.raises(SettingError) as error:
        load(**{variable: value})
    line = str(error.value)
    assert line.startswith(f"{variable}: ")
    assert re.search(r"\b([Ss]et|[Gg]ive) ", line), "it does not say what to do"
    assert line.isprintable()
    assert "canary" not in line
    assert len(line) < 300


def test_every_variable_has_a_bad_value_here():
    assert sorted(BAD) == VARIABLES


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_whatever_is_set_the_answer_is_a_setting_or_one_line(text):
    for variable in set(VARIABLES) - {"TOAPIS_API_KEY_FILE"}:
        line = ""
        try:
            load(**{variable: text})
        except SettingError as error:
            line = str(error)
        assert not line or (line.startswith(f"{variable}: ") and line.isprintable())


@pytest.mark.parametrize("text", ["1", "true", "YES", "On"])
def test_a_switch_is_on(text):
    assert load(SORA_MCP_SIMULATE=text, SORA_MCP_AUTO_SAVE=text).simulate
    assert load(SORA_MCP_AUTO_SAVE=text).auto_save


@pytest.mark.parametrize("text", ["0", "false", "NO", "Off"])
def test_a_switch_is_off(text):
    assert not load(SORA_MCP_SIMULATE=text).simulate
    assert not load(SORA_MCP_AUTO_SAVE=text).auto_save


# Folders


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load(SORA_MCP_DATA_DIR="~", SORA_MCP_OUTPUT_DIR="~/clips", SORA_MCP_IMAGE_ROOTS="~/a")
    assert settings.data_dir == tmp_path
    assert settings.output_dir == tmp_path / "clips"
    assert settings.image_roots == (tmp_path / "a",)


def test_the_folders_a_user_has_are_the_default_of_where_images_may_come_from(tmp_path, monkeypatch):
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(work)
    roots = load().image_roots
    assert work in roots
    assert len(roots) == 4
    assert all(home in root.parents for root in roots if root != work)


@pytest.mark.parametrize("here", ["home", "link", "/"])
def test_neither_the_home_folder_nor_the_whole_disk_is_a_default(tmp_path, monkeypatch, here):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    monkeypatch.chdir(tmp_path / here)
    roots = load().image_roots
    assert len(roots) == 3
    assert not {root.resolve() for root in roots} & {home, Path("/")}


@pytest.mark.skipif(sys.platform != "linux", reason="how desktops of Linux name their folders")
def test_a_desktop_that_is_switched_off_does_not_open_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "user-dirs.dirs").write_text('XDG_DESKTOP_DIR="$HOME/"\nXDG_DOWNLOAD_DIR="$HOME"\n')
    for variable in ("XDG_CONFIG_HOME", "XDG_DESKTOP_DIR", "XDG_DOWNLOAD_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert [root.name for root in load().image_roots] == ["Pictures"]


def test_a_working_directory_that_is_gone_is_no_root(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert len(load().image_roots) == 3


def test_no_image_root_at_all_may_be_chosen():
    assert load(SORA_MCP_IMAGE_ROOTS=os.pathsep).image_roots == ()


def test_no_other_file_host_at_all_may_be_chosen():
    assert load(SORA_MCP_FILE_HOSTS=",").file_hosts == ()


FOLDERS = ("SORA_MCP_DATA_DIR", "SORA_MCP_OUTPUT_DIR", "SORA_MCP_IMAGE_ROOTS")


@pytest.mark.parametrize("variable", FOLDERS)
def test_an_unknown_home_folder_is_told_where_a_default_needs_it(monkeypatch, tmp_path, variable):
    others = {other: str(tmp_path) for other in FOLDERS if other != variable}
    monkeypatch.setenv("HOME", "not/a/full/path")
    with pytest.raises(SettingError, match=f"^{variable}: the home folder is unknown"):
        load(**others)
    assert load(**others, **{variable: str(tmp_path)})


def test_a_user_without_any_home_folder_is_told(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(SettingError, match="the home folder is unknown"):
        load()


def test_settings_do_not_change():
    settings = load()
    with pytest.raises(ValidationError):
        settings.daily_seconds = 0


def test_libraries_that_log_links_are_kept_quiet():
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    quiet_foreign_loggers()
    for name in ("httpx", "httpcore"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[(host, True) for host in ("localhost", "127.0.0.1", "127.255.0.1", "::1")],
        *[(host, False) for host in ("0.0.0.0", "::", "localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1", "")],
    ],
)
def test_what_can_only_be_this_machine(host, loopback):
    assert is_loopback(host) is loopback


# What else is promised


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
