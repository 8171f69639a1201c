"""The figures as Prometheus reads them; its own parser says whether it can."""

from __future__ import annotations

import math
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from whispurrnet.base.meter import COUNTERS, Meter
from whispurrnet.gateway.metrics import METRICS, OBJECTS, exposition, storage
from whispurrnet.node.settings import Settings
from whispurrnet.testing.virtual_loop import run

ON = Settings().replace(gateway={"metrics": True})


@pytest.fixture
def counted(node: Any) -> Any:
    meter = Meter()
    meter.count("sessions", 7)
    stats = {
        "connectedPeers": 2,
        "quantumSecureConnections": 2,
        "neighbours": 1,
        "messagesSent": 10**15 + 1,
        "messagesReceived": 5,
        "averageLatency": None,
        "messageProcessingLatency": 0.25,
        "messageProcessingLatencyP99": 4,
        "uptime": 12_340,
        "gossipEfficiency": 0.25,
        "bytesSent": 20,
        "bytesReceived": 40,
        "activeExtensions": ["journal"],
        "counters": meter.snapshot(),
    }
    node.stats = lambda: stats
    return node


def test_prometheus_reads_it(counted: Any) -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(exposition(counted, run(storage(counted))))
    }
    values = {name: family.samples[0].value for name, family in families.items()}
    assert values["whispurrnet_connected_peers"] == 2
    assert values["whispurrnet_uptime_seconds"] == 12.34
    assert values["whispurrnet_gossip_efficiency_ratio"] == 0.25
    assert values["whispurrnet_message_processing_p50_seconds"] == 0.00025
    assert values["whispurrnet_message_processing_p99_seconds"] == 0.004
    assert values["whispurrnet_sessions"] == 7
    assert values["whispurrnet_messages_sent"] == 10**15 + 1
    assert families["whispurrnet_sessions"].type == "counter"
    assert values["whispurrnet_objects"] == 3
    assert values["whispurrnet_objects_fetched_bytes"] == 0
    assert "whispurrnet_objects_quota_bytes" not in values, "there is none"
    assert len(families) == len(METRICS) - 1 + len(OBJECTS) - 1 + len(COUNTERS)
    assert all(family.documentation.endswith(".") for family in families.values())
    assert all(math.isfinite(value) for value in values.values())


def test_nothing_has_a_label_and_nobody_a_name(counted: Any) -> None:
    text = exposition(counted, run(storage(counted)))
    for family in text_string_to_metric_families(text):
        assert [sample.labels for sample in family.samples] == [{}]
    for secret in (counted.name, counted.id, counted.known_peers[0].name, "journal"):
        assert secret not in text


def test_what_is_not_known_is_left_out(counted: Any) -> None:
    assert "round_trip" not in exposition(counted, run(storage(counted)))
    counted.stats()["averageLatency"] = 2.5
    assert "whispurrnet_round_trip_seconds 0.0025\n" in exposition(counted, run(storage(counted)))


def test_a_store_that_nobody_used_is_not_opened_to_be_counted(counted: Any) -> None:
    counted.objects.opened = False
    text = exposition(counted, run(storage(counted)))
    assert "whispurrnet_objects_fetching 0\n" in text
    assert "whispurrnet_objects_bytes" not in text


def test_it_is_off_unless_asked_for(calling: Any, counted: Any) -> None:
    async def call() -> None:
        async with calling() as http:
            answer = await http.get("/metrics")
            assert answer.status_code == 404
            assert "gateway.metrics = true" in answer.json()["cure"]
        async with calling(ON) as http:
            answer = await http.get("/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert "whispurrnet_connected_peers 2\n" in answer.text
        async with calling(ON, client=("192.0.2.9", 5)) as http:
            assert (await http.get("/metrics")).status_code == 403

    run(call())
