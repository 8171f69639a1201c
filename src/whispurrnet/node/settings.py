"""Settings: defaults, profile, TOML file, environment and flags, in that order; last one wins.

Top-level keys keep the names and units of the sources (`port`, `message_ttl` in seconds); a key
ending in `_s` is in seconds, in `_ms` in milliseconds. Every key has one environment variable:
`WHISPURRNET_PORT` for `port`, `WHISPURRNET_SESSION_LEVEL` for `session.level`. A few names that the
sources use for the same thing are accepted in files and flags (`SEED_NAMES`).

An unknown key is an error that names the file or variable, the path and the nearest known key; a
wrong value is an error that names the path. Secrets are `SecretText`: nothing prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_origin, get_type_hints

import msgspec

from whispurrnet.base.errors import ConfigError
from whispurrnet.node.sections import (
    Count,
    DirectSettings,
    GatewaySettings,
    GossipSettings,
    IdentitySettings,
    LanSettings,
    LogSettings,
    MembershipSettings,
    NatSettings,
    ObjectSettings,
    PoolSettings,
    Port,
    Seconds,
    SecretText,
    Section,
    SessionSettings,
    SyncSettings,
    TlsSettings,
)
from whispurrnet.node.seed_names import SEED_NAMES

FILE_NAME = "whispurr.toml"
ENV_PREFIX = "WHISPURRNET_"
#: Variables of the command line itself, which are not settings.
ENV_RESERVED = frozenset(
    f"{ENV_PREFIX}{name}"
    for name in ("CONFIG", "API", "TICKET", "TOPIC_KEY", "OBJECT_KEY", "CODE", "OUTPUT", "DEBUG")
)


class Settings(Section, frozen=True):
    """Everything that can be set; `Settings()` is a node of the profile `mesh`."""

    profile: Literal["mesh", "synaptic", "chum", "device"] = "mesh"
    host: str = "0.0.0.0"  # noqa: S104 - peers come from the network; REST answers loopback only
    port: Port = 8765
    """P2P WebSocket on `/ws` and the REST API; 0: any free port."""
    enable_stealth: bool = False
    resonance_timeout: Seconds = 30.0
    """How long handing a resonance to its listeners may take."""
    max_peers: Count = 100
    message_ttl: Seconds = 300.0
    """A message not delivered by then is dropped."""
    listen: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/9000", "/ip6/::/tcp/9000")
    bootstrap: tuple[str, ...] = ()
    """Tickets or addresses to connect to at the start."""
    network_secret: SecretText = SecretText()
    """Only nodes that know it can speak to each other, or read each other's beacons."""
    accept_first_contact: bool = False
    """Accept peers who do not know this node's key and share no network secret with it."""
    identity: IdentitySettings = IdentitySettings()
    session: SessionSettings = SessionSettings()
    pool: PoolSettings = PoolSettings()
    direct: DirectSettings = DirectSettings()
    gossip: GossipSettings = GossipSettings()
    membership: MembershipSettings = MembershipSettings()
    objects: ObjectSettings = ObjectSettings()
    sync: SyncSettings = SyncSettings()
    lan: LanSettings = LanSettings()
    nat: NatSettings = NatSettings()
    gateway: GatewaySettings = GatewaySettings()
    tls: TlsSettings = TlsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def load(
        cls,
        toml_path: Path | None = None,
        env: Mapping[str, str] | None = None,
        flags: Mapping[str, object] | None = None,
    ) -> tuple[Settings, dict[str, str]]:
        """Put the layers together.

        Args:
            toml_path: A TOML file, or None for none; `find_file` looks where it usually is.
            env: The environment, or None for none.
            flags: Values by dotted path (`session.level`) or nested; None values are skipped.

        Returns:
            The settings, and for each path where its value came from: `default`,
            `profile NAME`, `file PATH`, `env NAME` or `flag`.

        Raises:
            ConfigError: A key is unknown, or a value is wrong; names where and what.
        """
        layers: list[_Layer] = []
        if toml_path is not None:
            layers.append(_file_layer(toml_path))
        if env is not None:
            layers.append(_env_layer(env))
        if flags:
            layers.append(_Layer(_flatten(flags, "flag"), lambda _: "flag", text=False))
        values: dict[str, Any] = {}
        origins = dict.fromkeys(KEYS, "default")
        for layer in layers:
            for path, value in layer.values.items():
                origin = layer.origin(path)
                values[path] = _convert(path, value, origin, text=layer.text)
                origins[path] = origin
        profile = values.get("profile", "mesh")
        for path, value in PROFILES[profile].items():
            if path not in values:
                values[path] = value
                origins[path] = f"profile {profile}"
        return _checked(_build(values), origins), origins

    def replace(self, **overrides: object) -> Settings:
        """These settings with some changed: `replace(port=0, lan={"enabled": False})`.

        Another profile brings its defaults for what is neither changed here nor was before.

        Raises:
            ConfigError: A key is unknown, or a value is wrong.
        """
        values, plain = dict(_leaves(self)), dict(_leaves(Settings()))
        changes = {
            path: _convert(path, value, "flag", text=False)
            for path, value in _flatten(overrides, "flag").items()
        }
        profile = changes.get("profile", self.profile)
        if profile != self.profile:
            before, after = {**plain, **PROFILES[self.profile]}, {**plain, **PROFILES[profile]}
            for path in PROFILES[self.profile].keys() | PROFILES[profile].keys():
                if values[path] == before[path]:
                    values[path] = after[path]
        values |= changes
        return _checked(_build(values), {})

    def items(self) -> Iterator[tuple[str, Any]]:
        """Every value by its dotted path."""
        return _leaves(self)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; of a secret, only whether it is set."""
        tree: dict[str, Any] = {}
        for path, value in _leaves(self):
            *sections, key = path.split(".")
            place = tree.setdefault(sections[0], {}) if sections else tree
            place[key] = shown(value)
        return tree


#: A profile is a set of defaults, not a code path.
PROFILES: dict[str, dict[str, Any]] = {
    "mesh": {},
    "synaptic": {"max_peers": 50},
    "chum": {"session.heartbeat_s": 10.0, "identity.long_term": True},
    "device": {"max_peers": 20, "direct.body_max": 1024},
}


def _leaf_types(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, kind in get_type_hints(cls, include_extras=True).items():
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _leaf_types(kind, f"{prefix}{name}.")
        elif not name.startswith("_"):
            yield prefix + name, kind


#: Every key by its dotted path, and its type.
KEYS: dict[str, Any] = dict(_leaf_types(Settings))
SECTIONS = tuple(dict.fromkeys(path.split(".")[0] for path in KEYS if "." in path))


def env_name(path: str) -> str:
    """The environment variable of a key: `session.level` is `WHISPURRNET_SESSION_LEVEL`."""
    return ENV_PREFIX + path.replace(".", "_").upper()


_PATH_BY_ENV = {env_name(path): path for path in KEYS}


def config_dir() -> Path:
    """The user's configuration folder for this program."""
    import platformdirs

    return Path(platformdirs.user_config_dir("whispurrnet", appauthor=False))


def find_file() -> Path | None:
    """The settings file in use: `./whispurr.toml`, else the one in `config_dir`, else None."""
    for candidate in (Path.cwd() / FILE_NAME, config_dir() / FILE_NAME):
        if candidate.is_file():
            return candidate
    return None


class _Layer:
    """Values by path, as one source gave them."""

    def __init__(self, values: dict[str, Any], origin: Callable[[str], str], *, text: bool) -> None:
        self.values = values
        self.origin = origin
        self.text = text


def _file_layer(path: Path) -> _Layer:
    import tomllib

    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: cannot be read ({reason}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    origin = f"file {path}"
    return _Layer(_flatten(tree, origin), lambda _: origin, text=False)


def _env_layer(env: Mapping[str, str]) -> _Layer:
    values: dict[str, Any] = {}
    for name, value in env.items():
        if not name.startswith(ENV_PREFIX) or name in ENV_RESERVED:
            continue
        path = _PATH_BY_ENV.get(name)
        if path is None:
            cure = nearest(name, _PATH_BY_ENV)
            raise ConfigError(f"environment: unknown variable {name}{cure}")
        values[path] = value
    return _Layer(values, lambda path: f"env {env_name(path)}", text=True)


def _flatten(tree: Mapping[str, Any], origin: str, prefix: str = "") -> dict[str, Any]:
    """Nested or dotted keys to paths; unknown ones are refused here."""
    flat: dict[str, Any] = {}
    for key, given in tree.items():
        path, value = prefix + str(key), given
        if path in SEED_NAMES:
            path, turn = SEED_NAMES[path]
            value = turn(value)
        if isinstance(value, Section):
            value = {name: getattr(value, name) for name in value.__struct_fields__}
        if path in KEYS:
            if value is not None:
                flat[path] = value
        elif path in SECTIONS and isinstance(value, Mapping):
            inner = cast("Mapping[str, Any]", value)
            flat.update(_flatten(inner, origin, f"{path}."))
        elif path in SECTIONS:
            example = next(name for name in KEYS if name.startswith(f"{path}."))
            raise ConfigError(f"{_place(origin)}: `{path}` is a section, such as {example} = ...")
        else:
            cure = nearest(path, (*KEYS, *SECTIONS, *SEED_NAMES))
            raise ConfigError(f"{_place(origin)}: unknown key `{path}`{cure}")
    return flat


def _place(origin: str) -> str:
    return "settings" if origin in {"", "flag"} else origin.removeprefix("file ")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint to the known name that is most like one, to end a message with."""
    import difflib

    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not near:
        tail = name.rpartition(".")[2]
        near = [key for key in names if key.rpartition(".")[2] == tail][:1]
    cure = "; `whispurr config show` lists every key"
    return f"; did you mean `{near[0]}`?" if near else cure


def _convert(path: str, given: object, origin: str, *, text: bool) -> Any:
    kind, value = KEYS[path], given
    bare = kind.__origin__ if get_origin(kind) is Annotated else kind
    if text and get_origin(bare) is tuple:
        value = _words(str(value))
    try:
        return msgspec.convert(value, kind, strict=not text, dec_hook=_secret)
    except msgspec.ValidationError as error:
        where = _place(origin)
        raise ConfigError(f"{where}: `{path}` is wrong: {error}") from None


def _secret(kind: type, value: object) -> object:
    if kind is SecretText and isinstance(value, str):
        return SecretText(value)
    if kind is SecretText and isinstance(value, SecretText):
        return value
    raise msgspec.ValidationError("Expected a text")


def _words(text: str) -> object:
    """A list in a variable: JSON, or items between commas."""
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return [item.strip() for item in text.split(",") if item.strip()]


def _build(values: Mapping[str, Any]) -> Settings:
    top: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for path, value in values.items():
        section, dot, key = path.rpartition(".")
        (sections[section] if dot else top)[key] = value
    hints = get_type_hints(Settings)
    return Settings(**top, **{name: hints[name](**keys) for name, keys in sections.items()})


def _leaves(section: Section, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def shown(value: object) -> object:
    """A value as JSON can carry it; of a secret, only whether it is set."""
    if isinstance(value, SecretText):
        return "<set>" if value else ""
    if isinstance(value, tuple):
        return [shown(one) for one in cast("tuple[object, ...]", value)]
    return value


def _checked(settings: Settings, origins: Mapping[str, str]) -> Settings:
    """What single types cannot say."""
    session, pool = settings.session, settings.pool
    rules = (
        (
            session.min_level <= session.level,
            "session.min_level",
            f"is above session.level ({session.level}); lower one or raise the other",
        ),
        (
            session.stale_after_s > session.rekey_after_s * 1.1,
            "session.stale_after_s",
            "must be more than a tenth above session.rekey_after_s, or channels end unrekeyed",
        ),
        (
            settings.identity.overlap_s < settings.identity.lifetime_s,
            "identity.overlap_s",
            "must be below identity.lifetime_s",
        ),
        (pool.backoff_min_s <= pool.backoff_max_s, "pool.backoff_min_s", "is above backoff_max_s"),
        (
            settings.direct.body_max <= 2**20,
            "direct.body_max",
            "is above 1048576, the largest message; send larger things as a stream",
        ),
    )
    for good, path, reason in rules:
        if not good:
            where = _place(origins.get(path, ""))
            raise ConfigError(f"{where}: `{path}` is wrong: it {reason}")
    return settings
