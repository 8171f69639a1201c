from __future__ import annotations

import pytest

from whispurrnet.cli.report import redacted, report_lines

NEEDLE = "needle"


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("cryptography", "50.0.2", "50.0.2"),
        ("starlette", "1.2rc1", "1.2rc1"),
        ("whispurrnet", f"0.1.0+{NEEDLE}", "0.1.0"),
        ("uvicorn", NEEDLE, "other"),
        ("pynacl", "not installed", "not installed"),
        ("system", "Linux", "Linux"),
        ("system", NEEDLE, "other"),
        ("python", "3.11.7", "3.11.7"),
    ],
)
def test_versions_are_versions(name: str, text: str, shown: str) -> None:
    assert redacted({name: text}, (), None)["versions"] == {name: shown}


def test_causes_and_cures_stay_here() -> None:
    checks = [
        {
            "title": "the runtime folder is ours",
            "state": "problem",
            "cause": NEEDLE,
            "cure": NEEDLE,
        },
        {"title": "clock", "state": NEEDLE, "cause": "", "cure": ""},
    ]
    made = redacted({}, checks, None)
    assert made["machine"] == {"the runtime folder is ours": "problem", "clock": "other"}
    assert NEEDLE not in "\n".join(report_lines(made))
