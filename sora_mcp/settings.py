"""The settings, and the only place that reads the environment."""

import ipaddress
import logging
import os
import re
from collections.abc import MutableMapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from sora_mcp.addresses import origin
from sora_mcp.catalog import load_catalog
from sora_mcp.errors import UrlNotAllowed

DEFAULT_BASE_URL = "https://toapis.com"
DEFAULT_FILE_HOSTS = "files.toapis.com,files.toapis.cn"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9._~+/=:-]")
_PLACEHOLDER = re.compile(
    r"\$\{|\{\{|^[$<]|^%.*%$"  # a template or a shell did not fill it in
    r"|\.\.\.|\*\*\*"  # a console left out the middle
    r"|(^|[-_.])your[-_.]|your(api)?key|placeholder|(change|replace)[-_]?me|[-_.]here$"
    r"|^sk[-_.x]*$|^x{3,}$|^(toapis[-_.])?(api[-_.]?)?key$|^(none|null|undefined|todo)$",
    re.IGNORECASE,
)
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_MAX_SECRET_CHARACTERS = 1000


class SettingError(Exception):
    """A setting that cannot be used; the text names the variable and the fix, never a key."""

    def __init__(self, variable: str, problem: str) -> None:
        """Name the variable first: the line is all that the user sees."""
        super().__init__(f"{variable}: {problem}")


class Settings(BaseModel):
    """Every setting, checked. Made by :meth:`load`; tests make it directly."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr | None = None
    base_url: str = DEFAULT_BASE_URL
    simulate: bool = False
    simulate_speed: float = 10.0
    default_model: str = load_catalog().default_model
    data_dir_override: Path | None = None
    output_dir_override: Path | None = None
    image_roots_override: tuple[Path, ...] | None = None
    file_hosts: tuple[str, ...] = tuple(DEFAULT_FILE_HOSTS.split(","))
    poll_seconds: float = 5.0
    daily_seconds: int = 120
    auto_save: bool = False
    http_token: SecretStr | None = None
    log_level: str = "WARNING"

    @classmethod
    def load(cls, environment: MutableMapping[str, str] | None = None) -> "Settings":
        """Read the environment and take the secrets out of it, so that no child process inherits them.

        Raises:
            SettingError: A value cannot be used.
        """
        env = os.environ if environment is None else environment
        values: dict[str, object] = {}
        # Both are taken out before either is judged: a refusal must not leave the other one behind.
        key, token = env.pop("TOAPIS_API_KEY", "").strip(), env.pop("SORA_MCP_HTTP_TOKEN", "").strip()
        key_file = env.get("TOAPIS_API_KEY_FILE", "").strip()
        if key:
            values["api_key"] = _key("TOAPIS_API_KEY", key)
        elif key_file:
            values["api_key"] = _key("TOAPIS_API_KEY_FILE", _read_key("TOAPIS_API_KEY_FILE", key_file))
        if token:
            values["http_token"] = _secret("SORA_MCP_HTTP_TOKEN", token)
        readers = {
            "TOAPIS_BASE_URL": ("base_url", _base_url),
            "SORA_MCP_SIMULATE": ("simulate", _switch),
            "SORA_MCP_SIMULATE_SPEED": ("simulate_speed", _positive_number),
            "SORA_MCP_MODEL": ("default_model", _model),
            "SORA_MCP_DATA_DIR": ("data_dir_override", _folder),
            "SORA_MCP_OUTPUT_DIR": ("output_dir_override", _folder),
            "SORA_MCP_IMAGE_ROOTS": ("image_roots_override", _folders),
            "SORA_MCP_FILE_HOSTS": ("file_hosts", _hosts),
            "SORA_MCP_POLL_SECONDS": ("poll_seconds", _positive_number),
            "SORA_MCP_DAILY_SECONDS": ("daily_seconds", _whole_number),
            "SORA_MCP_AUTO_SAVE": ("auto_save", _switch),
            "SORA_MCP_LOG_LEVEL": ("log_level", _log_level),
        }
        for variable, (field, read) in readers.items():
            if text := env.get(variable, "").strip():
                values[field] = read(variable, text)
            elif read in {_folder, _folders} and not _home_is_known():
                raise SettingError(variable, "the home folder is unknown, so it has no default; set it to a full path.")
        return cls.model_validate(values)

    @cached_property
    def data_dir(self) -> Path:
        """Where the journal lives."""
        if self.data_dir_override:
            return self.data_dir_override
        from platformdirs import user_data_path  # noqa: PLC0415 - only needed without an override

        return user_data_path("sora-mcp", appauthor=False)

    @cached_property
    def output_dir(self) -> Path:
        """Where videos are saved."""
        if self.output_dir_override:
            return self.output_dir_override
        from platformdirs import user_videos_path  # noqa: PLC0415 - only needed without an override

        return user_videos_path() / "Sora"

    @cached_property
    def image_roots(self) -> tuple[Path, ...]:
        """Folders that local images may come from."""
        if self.image_roots_override is not None:
            return self.image_roots_override
        from platformdirs import user_desktop_path, user_downloads_path, user_pictures_path  # noqa: PLC0415

        roots = [user_pictures_path(), user_downloads_path(), user_desktop_path()]
        with suppress(OSError):  # the working directory may have been removed
            roots.append(Path.cwd())
        # A desktop that is switched off is the home folder itself on Linux.
        home = os.path.realpath(Path.home())
        return tuple(root for root in roots if os.path.realpath(root) not in {home, root.anchor})


def quiet_foreign_loggers() -> None:
    """Keep httpx and httpcore at WARNING: at INFO they log full links, which are secrets."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _read_key(variable: str, file: str) -> str:
    try:
        with Path(file).expanduser().open(encoding="utf-8-sig") as stream:
            key = stream.read(_MAX_SECRET_CHARACTERS * 2).strip()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise SettingError(variable, f"the file cannot be read ({reason}). Give the path of a readable file.") from None
    if not key:
        raise SettingError(variable, "the file is empty. Put the key into it, on one line.")
    return key


def _key(variable: str, text: str) -> SecretStr:
    key = _secret(variable, text)
    if _NOT_IN_A_KEY.search(text):
        raise SettingError(variable, "it has characters that no key has. Set your real key, without quotes.")
    return key


def _secret(variable: str, text: str) -> SecretStr:
    if any(character.isspace() for character in text):
        raise SettingError(variable, "there is white space inside. Set it without spaces or line breaks.")
    if len(text) > _MAX_SECRET_CHARACTERS or not text.isascii() or not text.isprintable():
        raise SettingError(variable, "it is too long or has odd characters. Set it to plain letters and digits.")
    if _PLACEHOLDER.search(text):
        raise SettingError(variable, "this is a placeholder. Set the real value.")
    return SecretStr(text)


def _base_url(variable: str, text: str) -> str:
    advice = f"give an https address, or http on loopback; the usual one is {DEFAULT_BASE_URL}."
    try:
        scheme, host, _ = origin(text)
    except UrlNotAllowed:
        raise SettingError(variable, f"not a plain address; {advice}") from None
    if "?" in text or "#" in text:
        raise SettingError(variable, f"not a plain address; {advice}")
    if scheme != "https" and not is_loopback(host):
        raise SettingError(variable, f"the key must not travel in clear; {advice}")
    address, path = urlsplit(text).netloc, urlsplit(text).path
    return f"{scheme}://{address}{path.rstrip('/').removesuffix('/v1').rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _switch(variable: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise SettingError(variable, "set it to 1 or 0.")


def _positive_number(variable: str, text: str) -> float:
    try:
        number = float(text) if text.isascii() and "_" not in text else -1.0
    except ValueError:
        number = -1.0
    if not 0 < number <= 86_400:  # noqa: PLR2004 - a day
        raise SettingError(variable, "set it to a number above 0 and at most 86400.")
    return number


def _whole_number(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 - no absurd figures
        raise SettingError(variable, "set it to a whole number, 0 or more; 0 means no limit.")
    return int(text)


def _model(variable: str, text: str) -> str:
    models = load_catalog().models
    if text not in models:
        raise SettingError(variable, f"unknown model; set it to one of {', '.join(models)}.")
    return text


def _folder(variable: str, text: str) -> Path:
    try:
        text.encode()
        folder = Path(text).expanduser()
    except (RuntimeError, ValueError):
        raise SettingError(variable, "its home folder is unknown, or it is not text; give a full path.") from None
    if not folder.is_absolute() or "\0" in text:
        raise SettingError(variable, "give a full path: programs start this server in folders of their own.")
    return folder


def _home_is_known() -> bool:
    try:
        return Path.home().is_absolute()
    except RuntimeError:
        return False


def _folders(variable: str, text: str) -> tuple[Path, ...]:
    return tuple(_folder(variable, part.strip()) for part in text.split(os.pathsep) if part.strip())


def _hosts(variable: str, text: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not all(_HOST_NAME.fullmatch(host) for host in hosts):
        raise SettingError(variable, "give host names separated by commas, without scheme, port or path.")
    return hosts


def _log_level(variable: str, text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise SettingError(variable, f"set it to one of {', '.join(LOG_LEVELS)}.")
    return text.upper()
