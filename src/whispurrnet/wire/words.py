"""Codes of words, for people to read to each other: `7-otter-ladder`.

A number from 1 to 999, by which the two sides find each other, and words that only they know: each
is one of 256, so two of them are 16 bits. That is little, and enough where a guess can be made only
once (`session.pairing`), never where it can be tried offline.

The words at the odd places live or grow or are out there, those at the even places are made by
people, so that a word that was left out or swapped is noticed. No word begins another, and no two
of one list sound alike: `tests/unit/wire/test_words.py` holds the lists to it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Final

import msgspec

from whispurrnet.base.errors import UsageError

NAMEPLATE_MAX: Final = 999
WORDS_MIN: Final = 2
WORDS_MAX: Final = 8
TEXT_MAX: Final = 256
"""Longer text is not looked at."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LIVING: Final = _words(
    """
    acorn alder almond alpaca anemone antelope apricot arctic aspen aurora autumn avocado badger
    bamboo banana baobab barley basil beaver beetle birch bison blizzard blossom bluebell boulder
    bramble breeze broccoli buffalo bumblebee butterfly cactus camel canary canyon carrot cashew
    cavern cedar celery cheetah cherry chestnut chipmunk cinnamon citrus clover cobalt coconut
    condor copper cornfield cougar crater cricket crocus crystal cucumber cypress daffodil dahlia
    daisy dandelion daybreak delta desert diamond dolphin donkey dragonfly drizzle dune eagle
    earthworm eclipse eggplant elephant emerald evergreen falcon fennel ferret firefly flamingo
    forest foxglove galaxy garlic gazelle gecko geyser ginger giraffe glacier gorilla granite
    grape guava haddock hailstone hamster harvest hawthorn hazelnut heather hedgehog honeybee
    horizon hornet ibis iceberg impala indigo inlet island ivory jackal jaguar jasmine jellyfish
    jungle juniper kangaroo kelp kestrel kingfish kiwi koala lagoon lavender lemon leopard lettuce
    lilac lime lobster locust lynx macaw mackerel magnolia magpie mallard mammoth manatee mango
    marigold marsh meerkat meteor monsoon mosquito mountain mulberry mushroom mussel mustard
    narwhal nebula nectarine newt nutmeg ocean ocelot octopus onion opal orange orchid osprey
    ostrich otter panda panther parakeet peacock pebble pelican penguin pheasant plankton plum
    poplar porcupine porpoise possum prairie primrose puffin pumpkin quartz quince rabbit raccoon
    radish rainbow raspberry redwood reindeer river robin rosemary ruby saffron sandstone sapling
    sapphire scallop seagull sesame shadow shrimp skylark sloth snapper snowdrop sparrow spider
    spinach spruce squirrel starfish stork summit sunbeam sunflower swan tadpole tangerine thistle
    thunder toad tomato tornado toucan trout truffle tulip turkey turmeric turtle twilight
    umbrella velvet vulture wallaby walnut weasel whale wildcat wolf wombat woodland yellow zebra
    """
)
"""256 words for the first place, the third, ..."""

MADE: Final = _words(
    """
    accordion airplane album anchor antenna anvil apron aqueduct arcade archive armchair atlas
    attic awning backpack bagel bagpipe bakery balcony ballad banner basket beacon bedroom bellows
    bicycle blueprint bonfire bookcase boomerang bottle bracelet bridge briefcase building button
    cabin calendar camera campus candle canteen canvas capsule cardboard carousel carpet cartoon
    cartwheel cathedral chariot chimney chisel chocolate cinema clarinet clipboard clockwork cocoa
    coffee collar college concert confetti cookbook corkscrew cottage counter crayon curry cushion
    cutlery deckchair denim depot diary domino doorbell dumpling duvet eggcup elevator emblem
    engine envelope fabric factory faucet festival flagpole flannel folder football footstool
    forge freezer frisbee furnace gadget galleon garage garland girder granary guitar hairbrush
    hallway hammer hammock handbag headphone helmet highway hinge holiday honeycomb hostel
    hourglass jewel jigsaw journal jukebox keyboard kitchen ladder lampshade laptop laundry
    lawnmower library linen locket logbook lollipop loom lounge luggage machine magazine magnet
    mailbox mansion marble marmalade mattress medal microwave monument museum napkin necklace
    needle newspaper notebook novel nozzle oboe office omelette orchestra origami overcoat package
    pancake pantry parachute parchment passport pasta pavement pencil pendant piano picnic pillow
    pizza platform popcorn porcelain postcard pottery pretzel propeller pyramid quiver quiz radio
    raft raincoat recipe recorder rowboat sailboat sandwich satchel saxophone scarecrow scissors
    sculpture seesaw shelf shoelace signpost silo slipper souvenir spaghetti speedboat sponge
    stadium staircase station statue steamboat stove subway suitcase symphony telegraph telescope
    temple terrace thermos throne timber toolbox toothpick tractor treehouse trolley trombone
    trophy trousers trumpet tunnel turbine ukulele uniform vehicle vessel video village violin
    waffle wagon wardrobe warehouse weekend windmill wineglass wizard workshop xylophone yacht
    yoyo zeppelin
    """
)
"""256 words for the second place, the fourth, ..."""

_LISTS: Final = (LIVING, MADE)
_BETWEEN: Final = re.compile(r"[\s\-_.,\u2010-\u2015\u2212]+")
_EXAMPLE: Final = "a code is like 7-otter-ladder"


class Code(msgspec.Struct, frozen=True):
    """A number and words; a secret until it is used, so its `repr` shows neither."""

    nameplate: int
    """1 to 999; not secret."""

    words: tuple[str, ...]
    """At least two."""

    @property
    def text(self) -> str:
        """As people write it: `7-otter-ladder`."""
        return "-".join((str(self.nameplate), *self.words))

    @property
    def secret(self) -> bytes:
        """What is to be proved: the words."""
        return "-".join(self.words).encode()

    @property
    def salt(self) -> bytes:
        """What goes with it and is not secret: the number."""
        return str(self.nameplate).encode()

    @property
    def name(self) -> str:
        """The name under which the two sides meet; it says nothing of the words."""
        return f"pair/{self.nameplate}"

    def __str__(self) -> str:
        return self.__repr__()

    def __repr__(self) -> str:
        return f"<code of {len(self.words)} words>"


def code(nameplate: int, entropy: Callable[[int], bytes], words: int = WORDS_MIN) -> Code:
    """A fresh code.

    Args:
        nameplate: 1 to 999; see `nameplates`.
        entropy: Gives random bytes; one makes one word.
        words: How many, 2 to 8.

    Raises:
        UsageError: The number or the count is out of range.
    """
    if not 1 <= nameplate <= NAMEPLATE_MAX:
        raise UsageError(f"the number of a code is 1 to {NAMEPLATE_MAX}, not {nameplate}")
    if not WORDS_MIN <= words <= WORDS_MAX:
        raise UsageError(f"a code has {WORDS_MIN} to {WORDS_MAX} words, not {words}")
    picked = entropy(words)
    return Code(nameplate, tuple(_LISTS[n % 2][byte] for n, byte in enumerate(picked)))


def nameplates(entropy: Callable[[int], bytes], count: int) -> list[int]:
    """Numbers to try one after the other, each once; the first is seldom taken where few pair."""
    found: dict[int, None] = {}
    while len(found) < min(count, NAMEPLATE_MAX):
        number = int.from_bytes(entropy(2), "big")
        if number < 65536 - 65536 % NAMEPLATE_MAX:
            found[number % NAMEPLATE_MAX + 1] = None
    return list(found)


def parse(text: str) -> Code:
    """Read a code; case does not matter, and words may stand apart by spaces, dots or dashes.

    Raises:
        UsageError: It is not one; says which word is meant, perhaps.
    """
    if len(text) > TEXT_MAX:
        raise UsageError(f"not a code: {len(text)} characters are too many; {_EXAMPLE}")
    parts = [part for part in _BETWEEN.split(text.strip().casefold()) if part]
    if not parts:
        raise UsageError(f"not a code: it is empty; {_EXAMPLE}")
    number, words = parts[0], parts[1:]
    if not (number.isascii() and number.isdecimal()):
        raise UsageError(f"not a code: it begins with {number[:20]!r}, not a number; {_EXAMPLE}")
    if len(number) > len(str(NAMEPLATE_MAX)) or not 1 <= int(number) <= NAMEPLATE_MAX:
        raise UsageError(f"not a code: its number is 1 to {NAMEPLATE_MAX}; ask for it again")
    for place, word in enumerate(words):
        if word not in _LISTS[place % 2]:
            raise UsageError(_unknown(word, place))
    if not WORDS_MIN <= len(words) <= WORDS_MAX:
        raise UsageError(
            f"not a code: it has {len(words)} words, and {WORDS_MIN} to {WORDS_MAX} are needed; "
            f"{_EXAMPLE}"
        )
    return Code(int(number), words=tuple(words))


def _unknown(word: str, place: int) -> str:
    """What is wrong with a word that is not in its list."""
    if word in _LISTS[1 - place % 2]:
        return f"not a code: {word!r} is not at its place; is a word missing, or are two swapped?"
    near = difflib.get_close_matches(word[:20], _LISTS[place % 2], n=1, cutoff=0.6)
    cure = f"did you mean {near[0]!r}?" if near else "ask for it again, letter by letter"
    return f"not a code: {word[:20]!r} is not a word of codes; {cure}"


def complete(text: str) -> list[str]:
    """What the text may be meant to become, word by word: `7-ot` to `7-otter`.

    Nothing is completed before the number and a dash are there.
    """
    head, dash, last = text.rpartition("-")
    number, *words = head.split("-")
    if not dash or not number.isdecimal():
        return []
    place = len(words)
    if place >= WORDS_MAX or any(w.casefold() not in _LISTS[n % 2] for n, w in enumerate(words)):
        return []
    start = last.strip().casefold()
    return [f"{head}-{word}" for word in _LISTS[place % 2] if word.startswith(start)]
