from __future__ import annotations

from pathlib import Path

import pytest

from whispurrnet.base.errors import ConfigError
from whispurrnet.sim.scenario import Scenario, configure, from_tree, load
from whispurrnet.stack.config import Config

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_scenario(path: Path) -> None:
    scenario = load(path)
    assert scenario.name == path.stem
    assert path.read_text().startswith("# ")
    assert scenario.work


def test_there_are_examples() -> None:
    assert {"quiet", "lossy", "hostile", "partition"} <= {path.stem for path in EXAMPLES}


def test_nothing_given_is_a_scenario_too() -> None:
    assert from_tree({}) == Scenario()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"node": {"chanel": {}}}, "unknown key `node.chanel`; did you mean `node.channel`?"),
        ({"wire": {"lost": 0.1}}, "unknown key `wire.lost`; did you mean `wire.loss`?"),
        ({"seeed": 5}, "unknown key `seeed`; did you mean `seed`?"),
        ({"work": [{}, {"cuont": 5}]}, "unknown key `work[1].cuont`; did you mean `work[1].count`"),
        ({"nat": {"zzz": 1}}, "unknown key `nat.zzz`; known are nat.full_cone"),
        ({"nodes": 1}, "`nodes` is wrong"),
        ({"wire": {"loss": 1.5}}, "`wire.loss` is wrong"),
        ({"wire": 5}, "`wire` is wrong"),
        ({"work": [{"kind": "shout"}]}, "`work[0].kind` is wrong"),
        ({"work": [{"size_bytes": 3}]}, "`work[0].size_bytes` is wrong"),
        ({"hostile": {"liar": 0.6, "flooder": 0.6}}, "the shares in `hostile` are more than 1"),
        ({"nat": {"symmetric": 0.6, "full_cone": 0.6}}, "the shares in `nat` are more than 1"),
        ({"nodes": 10, "nat": {"symmetric": 0.9, "relays": 2}}, "`nat.relays` is more than"),
        ({"hostile": {"liar": 0.5}, "nat": {"symmetric": 0.6, "relays": 1}}, "`nat.relays` is"),
        ({"nat": {"relays": -1}}, "`nat.relays` is wrong"),
        ({"partition": [{"from_s": 9.0, "until_s": 3.0}]}, "`partition[0].until_s` is before"),
        ({"node": {"channel": {"heartbeat_s": "x"}}}, "`node.channel.heartbeat_s` is wrong"),
        ({"node": {"links_max": "x"}}, "`node.links_max` is wrong"),
    ],
)
def test_a_mistake_is_named_with_its_place(tree: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        from_tree(tree, "some.toml")
    assert str(raised.value).startswith("some.toml: ")
    assert message in str(raised.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("nodes = = 5")
    with pytest.raises(ConfigError, match="is not TOML"):
        load(tmp_path / "bad.toml")


def test_settings_of_the_stack_are_changed_by_section() -> None:
    tree = {"channel": {"heartbeat_s": 5}, "links_max": 9}
    config = configure(Config(), tree, "scenario", "node")
    assert config.channel.heartbeat_s == 5.0
    assert config.links_max == 9
    assert config.courier == Config().courier
