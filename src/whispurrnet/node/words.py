"""Names for people: `quiet-heron-41` instead of 64 hexadecimal characters."""

from __future__ import annotations

from whispurrnet.crypto.hash import sha256

ADJECTIVES = (
    "amber", "ancient", "autumn", "bold", "brave", "bright", "brisk", "calm",
    "clever", "cosmic", "crisp", "curious", "daring", "dawn", "deep", "dusty",
    "eager", "early", "fair", "fleet", "fond", "frosty", "gentle", "glad",
    "golden", "grand", "happy", "hidden", "humble", "jolly", "keen", "kind",
    "lively", "lone", "lucky", "lunar", "mellow", "merry", "mild", "misty",
    "modest", "noble", "patient", "proud", "quick", "quiet", "rapid", "royal",
    "rustic", "sage", "shy", "silent", "silver", "sleek", "smooth", "snowy",
    "solar", "steady", "sunny", "swift", "tidy", "vivid", "wild", "wise",
)  # fmt: skip
ANIMALS = (
    "badger", "bear", "beaver", "bee", "bison", "cat", "cobra", "condor",
    "crane", "crow", "deer", "dingo", "dolphin", "dove", "duck", "eagle",
    "egret", "elk", "falcon", "ferret", "finch", "fox", "frog", "gecko",
    "goose", "gull", "hare", "hawk", "hedgehog", "heron", "ibex", "ibis",
    "jackal", "jaguar", "koala", "lark", "lemur", "lizard", "llama", "lynx",
    "marten", "mole", "moose", "moth", "newt", "orca", "osprey", "otter",
    "owl", "panda", "puffin", "quail", "rabbit", "raven", "robin", "salmon",
    "seal", "sparrow", "stork", "swan", "tiger", "turtle", "whale", "wolf",
)  # fmt: skip
NUMBERS = 100


def name_of(peer_id: bytes) -> str:
    """The friendly name of an id, the same on every machine.

    A name is a convenience and not unique: there are 409,600 of them, and anybody can make ids
    until one has the name wanted. Trust rests on pins and safety numbers, never on a name.

    Args:
        peer_id: Any id; 32 bytes for a peer.
    """
    number = int.from_bytes(sha256(b"WN1 name", peer_id)[:8], "big")
    number, suffix = divmod(number, NUMBERS)
    number, animal = divmod(number, len(ANIMALS))
    adjective = number % len(ADJECTIVES)
    return f"{ADJECTIVES[adjective]}-{ANIMALS[animal]}-{suffix:02d}"
