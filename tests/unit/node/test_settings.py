from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

from whispurrnet.base.errors import ConfigError
from whispurrnet.node import settings as module
from whispurrnet.node.sections import SecretText, SessionSettings
from whispurrnet.node.settings import KEYS, PROFILES, Settings, env_name, find_file

SAMPLES: dict[str, tuple[str, Any]] = {
    "session.level": ("5", 5),
    "session.min_level": ("1", 1),
    "identity.overlap_s": ("7", 7.0),
    "session.rekey_after_s": ("60", 60.0),
    "session.stale_after_s": ("9000", 9000.0),
    "pool.backoff_min_s": ("0.25", 0.25),
    "direct.body_max": ("77", 77),
    "lan.methods": ("mdns, broadcast", ("mdns", "broadcast")),
    "nat.ice_servers": ("stun:a:1, stun:b:2", (SecretText("stun:a:1"), SecretText("stun:b:2"))),
}


def sample(path: str) -> tuple[str, Any]:
    if path in SAMPLES:
        return SAMPLES[path]
    default = dict(Settings().items())[path]
    others = [value for value in get_args(KEYS[path]) if value != default]
    if get_origin(KEYS[path]) is Literal:
        return str(others[0]), others[0]
    match default:
        case bool():
            return str(not default).lower(), not default
        case int() | float():
            return str(default + 1), default + 1
        case SecretText():
            return "hush", SecretText("hush")
        case tuple() if path == "nat.ice_servers":
            return "stun:a, stun:b", (SecretText("stun:a"), SecretText("stun:b"))
        case tuple():
            return "/a, /b", ("/a", "/b")
        case _:
            return "elsewhere", "elsewhere"


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "whispurr.toml"
    path.write_text(text)
    return path


def test_the_names_of_the_sources() -> None:
    env = {
        "WHISPURRNET_HOST": "127.0.0.1",
        "WHISPURRNET_PORT": "8766",
        "WHISPURRNET_ENABLE_STEALTH": "false",
        "WHISPURRNET_RESONANCE_TIMEOUT": "31",
        "WHISPURRNET_MAX_PEERS": "99",
        "WHISPURRNET_MESSAGE_TTL": "299",
    }
    settings, origins = Settings.load(env=env)
    assert (settings.host, settings.port, settings.enable_stealth) == ("127.0.0.1", 8766, False)
    assert (settings.resonance_timeout, settings.max_peers, settings.message_ttl) == (31, 99, 299)
    assert origins["port"] == "env WHISPURRNET_PORT"
    assert origins["listen"] == "default"


def test_defaults_are_those_of_the_sources() -> None:
    settings, origins = Settings.load()
    assert settings == Settings()
    assert (settings.host, settings.port) == ("0.0.0.0", 8765)
    assert (settings.resonance_timeout, settings.max_peers, settings.message_ttl) == (30, 100, 300)
    assert settings.listen == ("/ip4/0.0.0.0/tcp/9000", "/ip6/::/tcp/9000")
    assert settings.session.timeout_s == 30.0
    assert set(origins) == set(KEYS)
    assert set(origins.values()) == {"default"}


@pytest.mark.parametrize("path", KEYS)
def test_every_key_has_a_variable(path: str) -> None:
    text, value = sample(path)
    settings, origins = Settings.load(env={env_name(path): text})
    assert dict(settings.items())[path] == value
    assert origins[path] == f"env {env_name(path)}"


def test_variables_do_not_collide() -> None:
    assert len({env_name(path) for path in KEYS} | module.ENV_RESERVED) == len(KEYS) + len(
        module.ENV_RESERVED
    )


@pytest.mark.parametrize("path", KEYS)
def test_every_key_round_trips_through_flags(path: str) -> None:
    _, value = sample(path)
    settings, origins = Settings.load(flags={path: value})
    assert origins[path] == "flag"
    again, _ = Settings.load(flags=dict(settings.items()))
    assert again == settings


def test_every_default_round_trips_through_a_file(tmp_path: Path) -> None:
    tree = Settings().to_json()
    path = toml(tmp_path, "\n".join(f"{key} = {_literal(value)}" for key, value in _flat(tree)))
    settings, origins = Settings.load(path)
    assert settings == Settings()
    assert origins["port"] == f"file {path}"


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    return [
        leaf
        for key, value in tree.items()
        for leaf in (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
        )
    ]


def _literal(value: object) -> str:
    return msgspec.json.encode(value).decode()


def test_the_order_of_the_layers(tmp_path: Path) -> None:
    path = toml(tmp_path, 'profile = "device"\nport = 1\nhost = "a"\n[session]\nheartbeat_s = 2\n')
    env = {"WHISPURRNET_PORT": "2", "WHISPURRNET_HOST": "b", "HOME": "/root"}
    settings, origins = Settings.load(path, env, {"port": 3, "lan": {"enabled": None}})
    assert (settings.port, settings.host, settings.max_peers) == (3, "b", 20)
    assert settings.session.heartbeat_s == 2.0
    assert origins["port"] == "flag"
    assert origins["host"] == "env WHISPURRNET_HOST"
    assert origins["session.heartbeat_s"] == f"file {path}"
    assert origins["max_peers"] == "profile device"
    assert origins["lan.enabled"] == "default"


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_are_valid_defaults(profile: str) -> None:
    settings, origins = Settings.load(flags={"profile": profile})
    for path, value in PROFILES[profile].items():
        assert dict(settings.items())[path] == value
        assert origins[path] == f"profile {profile}"


def test_unknown_keys_name_file_path_and_nearest(tmp_path: Path) -> None:
    path = toml(tmp_path, "[session]\nhartbeat_s = 5\n")
    with pytest.raises(ConfigError) as caught:
        Settings.load(path)
    assert str(caught.value) == (
        f"{path}: unknown key `session.hartbeat_s`; did you mean `session.heartbeat_s`?"
    )
    with pytest.raises(ConfigError, match="did you mean `session.heartbeat_s`"):
        Settings.load(flags={"heartbeat_s": 3})
    with pytest.raises(ConfigError, match="config show"):
        Settings.load(flags={"qqqqqqqqq": 3})


def test_unknown_variables_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="WHISPURRNET_PROT; did you mean `WHISPURRNET_PORT`"):
        Settings.load(env={"WHISPURRNET_PROT": "1"})
    Settings.load(env={"WHISPURRNET_TICKET": "x", "WHISPURRNET_CONFIG": "y"})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"port": "x"}, "`port` is wrong: Expected `int`"),
        ({"port": 70000}, "`port` is wrong: Expected `int` <= 65535"),
        ({"session.level": 2}, "`session.level` is wrong: Invalid enum value 2"),
        ({"listen": "/ip4/0.0.0.0/tcp/1"}, "`listen` is wrong: Expected `array`"),
        ({"network_secret": 4}, "`network_secret` is wrong: Expected a text"),
        ({"session": 3}, "`session` is a section, such as session.level"),
        ({"session.level": 1}, "`session.min_level` is wrong: it is above"),
        ({"session.stale_after_s": 3601}, "`session.stale_after_s` is wrong"),
        ({"identity.overlap_s": 3600}, "`identity.overlap_s` is wrong"),
        ({"pool.backoff_min_s": 61}, "`pool.backoff_min_s` is wrong"),
        ({"direct.body_max": 2**21}, "`direct.body_max` is wrong"),
        ({"profile": "cat"}, "`profile` is wrong"),
    ],
)
def test_wrong_values_name_the_path(flags: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load(flags=flags)
    assert message in str(caught.value)


def test_wrong_values_of_the_environment_name_the_variable() -> None:
    with pytest.raises(ConfigError, match="env WHISPURRNET_PORT: `port` is wrong"):
        Settings.load(env={"WHISPURRNET_PORT": "many"})


def test_broken_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not TOML"):
        Settings.load(toml(tmp_path, "port ="))
    with pytest.raises(ConfigError, match="cannot be read"):
        Settings.load(tmp_path / "none.toml")


def test_seed_names_in_files(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        'whispurrnet_port = 9\nenable_stealth_mode = true\nmlkem_security_level = "Level5"\n'
        "timeout = 20000\nmaxRetries = 4\nheartbeatInterval = 15000\n"
        'listen_addrs = ["/ip4/127.0.0.1/tcp/1"]\nbootstrap_peers = ["/ip4/1.2.3.4/tcp/9000"]\n',
    )
    settings, _ = Settings.load(path)
    assert (settings.port, settings.enable_stealth, settings.session.level) == (9, True, 5)
    assert settings.session.timeout_s == 20.0
    assert (settings.session.max_retries, settings.session.heartbeat_s) == (4, 15.0)
    assert settings.listen == ("/ip4/127.0.0.1/tcp/1",)
    assert settings.bootstrap == ("/ip4/1.2.3.4/tcp/9000",)


def test_lists_of_the_environment_may_be_json() -> None:
    settings, _ = Settings.load(env={"WHISPURRNET_LISTEN": '["/a,b", "/c"]'})
    assert settings.listen == ("/a,b", "/c")
    with pytest.raises(ConfigError, match="`listen` is wrong"):
        Settings.load(env={"WHISPURRNET_LISTEN": '["/a'})
    assert Settings.load(env={"WHISPURRNET_LISTEN": ""})[0].listen == ()


def test_secrets_are_not_shown() -> None:
    settings = Settings().replace(network_secret="moon-milk", gateway={"token": "night-bird"})
    for text in (repr(settings), str(settings), str(settings.to_json())):
        assert "moon" not in text
        assert "bird" not in text
    assert settings.to_json()["network_secret"] == "<set>"
    assert settings.network_secret.reveal() == "moon-milk"
    assert settings.network_secret
    assert not Settings().network_secret
    assert SecretText("a") != SecretText("b")
    assert SecretText("a") != "a"


def test_replace() -> None:
    settings = Settings().replace(port=0, lan={"enabled": False}, session={"level": 5})
    assert (settings.port, settings.lan.enabled, settings.session.level) == (0, False, 5)
    assert settings.replace(session=SessionSettings()).session.level == 3
    with pytest.raises(ConfigError, match="did you mean `port`"):
        settings.replace(prot=1)


def test_replacing_the_profile_brings_its_defaults() -> None:
    device = Settings().replace(profile="device")
    assert (device.max_peers, device.direct.body_max) == (20, 1024)
    mesh = device.replace(profile="mesh")
    assert mesh.to_json() == Settings().to_json()
    own = Settings(max_peers=7).replace(profile="device")
    assert (own.max_peers, own.direct.body_max) == (7, 1024)
    both = Settings().replace(profile="device", max_peers=5)
    assert both.max_peers == 5
    assert device.replace(port=0).max_peers == 20


def test_an_error_names_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "flags.toml"
    path.write_text("prot = 1")
    with pytest.raises(ConfigError, match=r"flags\.toml: unknown key"):
        Settings.load(path)


def test_find_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert find_file() is None
    home = tmp_path / "config" / "whispurrnet"
    home.mkdir(parents=True)
    (home / "whispurr.toml").write_text("")
    assert find_file() == home / "whispurr.toml"
    toml(tmp_path, "")
    assert find_file() == tmp_path / "whispurr.toml"
