from __future__ import annotations

import msgspec

from whispurrnet.gateway.api import Api
from whispurrnet.gateway.examples import EXAMPLES, PARAMETERS

ROUTES = Api.routes(Api.__new__(Api))
ASKS = {route.ask.__name__: route.ask for route in ROUTES if route.ask not in (None, bytes)}


def test_every_body_has_an_example_that_is_one() -> None:
    assert EXAMPLES.keys() == ASKS.keys()
    for name, kind in ASKS.items():
        msgspec.convert(EXAMPLES[name], kind)


def test_every_parameter_has_a_value_that_is_one() -> None:
    for route in ROUTES:
        for name, kind in route.parameters.items():
            msgspec.convert(PARAMETERS[name], kind, strict=False)


def test_a_route_needs_only_what_it_knows() -> None:
    for route in ROUTES:
        assert set(route.required) <= route.parameters.keys()
