"""The vocabulary of the generated corpus: English engineering words by domain.

Each repository draws its own subset, so that a word usual in one is unusual in another.
"""

from __future__ import annotations

DOMAINS: dict[str, tuple[str, ...]] = {
    "web": tuple(
        "router component stylesheet button modal dropdown form validation tooltip sidebar theme "
        "layout viewport carousel hydration bundle stylesheet accessibility focus keyboard locale "
        "translation cookie session redirect avatar notification toast pagination search".split()
    ),
    "database": tuple(
        "index query planner transaction snapshot checkpoint replica vacuum page buffer cursor "
        "schema migration constraint partition tablespace lock deadlock isolation recovery journal "
        "statistics optimizer join aggregate sequence trigger view compaction tombstone".split()
    ),
    "command line": tuple(
        "flag subcommand argument prompt terminal colour pager completion shell exit-code stdin "
        "stdout progress spinner verbose config profile alias help manpage glob path symlink "
        "permission tempfile signal timeout pipe encoding newline".split()
    ),
    "learning": tuple(
        "tensor gradient optimizer scheduler checkpoint dataset loader batch embedding attention "
        "loss metric precision kernel device tokenizer sampler inference quantization weight bias "
        "dropout activation epoch seed callback trainer pipeline encoder decoder".split()
    ),
    "infrastructure": tuple(
        "cluster node pod ingress certificate secret rollout probe autoscaler namespace volume "
        "gateway firewall subnet balancer registry manifest chart overlay operator webhook quota "
        "alert dashboard metric backup retention failover provisioner inventory".split()
    ),
    "mobile": tuple(
        "activity fragment gesture keyboard notification permission camera gallery offline sync "
        "cache battery orientation widget deep-link splash onboarding tablet animation haptics "
        "scroll thumbnail upload download bluetooth location map store review crash".split()
    ),
    "compiler": tuple(
        "lexer parser token grammar syntax-tree type-checker inference borrow lifetime trait macro "
        "codegen register allocator inliner lowering diagnostic span lint symbol linker intrinsic "
        "constant-folding pattern closure generic module visibility attribute panic".split()
    ),
    "game": tuple(
        "shader sprite mesh collision physics camera light texture animation particle scene level "
        "inventory quest enemy player controller input audio music savegame frame renderer voxel "
        "terrain skeleton joystick leaderboard lobby replay".split()
    ),
    "cryptography": tuple(
        "key signature nonce scalar curve point hash digest cipher padding entropy handshake "
        "certificate multiplication constant-time side-channel verification commitment proof field "
        "element batch seed derivation keypair blinding context benchmark vector".split()
    ),
    "data": tuple(
        "column row schema partition parquet stream offset watermark window join sink source "
        "connector batch backfill lineage quality null timestamp timezone duplicate catalog job "
        "scheduler retry dependency sensor operator report export".split()
    ),
    "firmware": tuple(
        "interrupt register timer bootloader watchdog sensor driver bus clock voltage flash sector "
        "peripheral firmware pin debounce buffer dma uart calibration sleep wakeup power radio "
        "packet checksum heap stack linker-script board".split()
    ),
    "documentation": tuple(
        "guide tutorial chapter glossary reference example snippet diagram screenshot heading link "
        "anchor typo wording translation changelog faq install quickstart index footnote table "
        "sidebar search template style license contributor badge".split()
    ),
}

GENERIC = tuple(
    "handler helper test timeout error message default option setting cache log memory thread "
    "connection request response client server parser serializer loader builder factory wrapper "
    "interface version release dependency warning assertion fixture benchmark example script".split()
)

VERBS = {
    "feat": ("Add", "Support", "Introduce", "Implement", "Allow", "Expose", "Enable", "Provide"),
    "fix": ("Fix", "Correct", "Handle", "Prevent", "Avoid", "Repair", "Guard against", "Resolve"),
    "docs": ("Document", "Explain", "Clarify", "Describe", "Fix typo in", "Update docs for"),
    "refactor": ("Refactor", "Simplify", "Extract", "Rename", "Move", "Split", "Clean up", "Inline"),
    "test": ("Test", "Cover", "Add tests for", "Stabilise test of", "Speed up tests of"),
    "chore": ("Update", "Remove", "Drop", "Deprecate", "Pin", "Regenerate", "Reorganise"),
}
"""Kind of change -> first words of its title. The kinds are those of conventional commits."""

ADJECTIVES = tuple(
    "stale missing empty nested duplicate invalid slow flaky unused optional lazy concurrent large "
    "partial legacy internal public async default broken implicit recursive remote local".split()
)

CIRCUMSTANCES = (
    "when the {noun} is {adjective}",
    "for {adjective} {nouns}",
    "on {platform}",
    "in the {noun} {noun2}",
    "during {noun} {noun2}",
    "without a {noun}",
    "after {noun} changes",
    "before the first {noun}",
    "under load",
    "behind a {noun} flag",
)

PLATFORMS = ("Windows", "macOS", "Linux", "ARM64", "Python 3.12", "Firefox", "Android 14", "musl")

SENTENCES = (
    "The {noun} was {adjective} {circumstance}.",
    "This change makes the {noun} {noun2} handle {adjective} input.",
    "Previously we computed the {noun} twice, which showed up in profiles.",
    "I noticed this while working on the {noun} {noun2}.",
    "The old behaviour stays available behind a {noun} option.",
    "It also removes an {adjective} {noun} that nothing used any more.",
    "Benchmarks: {count} ms before, {count2} ms after, on a {adjective} {noun}.",
    "Tested by hand with {count} {nouns} and with the new unit tests.",
    "No change of the public {noun} interface is intended.",
    "Users reported that the {noun} fails {circumstance}.",
    "As discussed, the {noun} now owns its {noun2}.",
    "I am not sure about the name `{identifier}`, suggestions are welcome.",
    "`{identifier}()` returned too early {circumstance}.",
    "The first commit only moves code; the second one changes the {noun}.",
    "There is still a follow-up to do for the {adjective} {noun}.",
    "We keep the {noun} until the next release so nobody breaks.",
    "A {noun} with more than {count} {nouns} is rejected with a clear message.",
    "Naïve retries made the {noun} worse — now there is a back-off.",
    "Thanks to the reviewers of #{reference} for the idea.",
    "The {noun} is documented in `docs/{slug}.md`.",
)

LOGIN_FIRST = tuple(
    "amber brisk calm copper dusty early fabled gentle hollow ivory jolly keen lunar mellow nimble "
    "olive pale quiet rustic silver tidy umber velvet windy young zesty cobalt hazel misty sunny".split()
)
LOGIN_SECOND = tuple(
    "otter falcon maple harbor lantern pebble thicket comet anchor badger cedar drift ember fjord "
    "glacier heron island juniper kestrel lichen meadow nettle orchard pine quarry ridge sparrow "
    "tundra willow beacon".split()
)
OWNERS = tuple(
    "tidewater northlight greyfield stonebridge clearbrook hillcrest oakline marshgate farpoint "
    "lowland highwind deepwell redmoor longacre brightwater ashgrove".split()
)
