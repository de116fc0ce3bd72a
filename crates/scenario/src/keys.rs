//! Every key that a scenario may have, for people: the book's reference is made from it. A test
//! holds it against what the parser takes.

/// Where a key stands when the document does not give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The document must give it.
    Always,
    /// It has this value, written as in the document.
    Or(&'static str),
    /// It is absent, which means this.
    OrAbsent(&'static str),
}

/// A key of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its path, as `--set` takes it: `link.bandwidth`. Keys of an entry of a list stand below the
    /// list's name.
    pub path: &'static str,
    /// What it is made of: its type, its unit, the names that it may be.
    pub kind: &'static str,
    /// What holds where the document does not give it.
    pub given: Given,
    /// Which values are allowed, where its type does not say it.
    pub range: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

const INTEGER: &str = "integer";
const SHARE: &str = "number";
const SWITCH: &str = "`true` or `false`";
const TIME: &str = "duration";
const RATE: &str = "rate";

const NOT_NEGATIVE: &str = "0 to 2^63 - 1";
const POSITIVE: &str = "1 to 2^63 - 1";
const FRACTION: &str = "0 to 1";
const ANY_SPAN: &str = "0 s to 10 years";
const ANY_RATE: &str = "1 B/s to 18 PB/s";
const A_HOST: &str = "0 to `fleet.hosts` - 1";

const fn key(
    path: &'static str,
    kind: &'static str,
    given: Given,
    range: &'static str,
    meaning: &'static str,
) -> Key {
    Key { path, kind, given, range, meaning }
}

/// Every key, in the order in which a document has them.
pub const KEYS: &[Key] = &{
    use Given::{Always, Or, OrAbsent};
    [
        key(
            "seed",
            INTEGER,
            Always,
            NOT_NEGATIVE,
            "The seed of the first run. Further runs take the numbers after it.",
        ),
        key(
            "warmup_accesses",
            INTEGER,
            Always,
            NOT_NEGATIVE,
            "Accesses that complete before time begins.",
        ),
        key(
            "warmup_jitter",
            INTEGER,
            Or("0"),
            NOT_NEGATIVE,
            "The most accesses that a seed adds to the warm-up, so that seeds differ for workloads that draw nothing.",
        ),
        key(
            "measured_accesses",
            INTEGER,
            Always,
            POSITIVE,
            "Accesses after the resume that the run measures.",
        ),
        key(
            "time_scale",
            INTEGER,
            Or("1"),
            "1 to 2^63 - 1; 1 over an unlimited link",
            "Model time per wall time between processes: at 1000 a model second takes a millisecond. Without effect in virtual time.",
        ),
        key(
            "guest.pages",
            INTEGER,
            OrAbsent("what the recorded program touches; other workloads must say it"),
            "1 to 67,108,864",
            "Pages that the guest can address, 4,096 bytes each.",
        ),
        key(
            "guest.frames",
            INTEGER,
            OrAbsent("`guest.pages` where `resident_at_start` is `\"all\"`; else it must be given"),
            "1 to `guest.pages`",
            "Frames of the guest's memory.",
        ),
        key(
            "guest.think_time",
            TIME,
            OrAbsent("a recorded program has a clock of its own; other workloads must say it"),
            "1 ns to 10 years",
            "From the end of one access to the beginning of the next.",
        ),
        key(
            "guest.write_fraction",
            SHARE,
            Or("0.0"),
            FRACTION,
            "Share of the accesses that write. Recorded programs say it themselves.",
        ),
        key(
            "guest.whole_page_fraction",
            SHARE,
            Or("0.0"),
            FRACTION,
            "Share of the writes that write the whole page.",
        ),
        key(
            "guest.zero_fraction",
            SHARE,
            Or("0.0"),
            FRACTION,
            "Share of the pages whose filler is zeros.",
        ),
        key(
            "guest.compressible_fraction",
            SHARE,
            Or("0.0"),
            "0 to 1 - `guest.zero_fraction`",
            "Share of the pages that compress well, of which many are equal.",
        ),
        key(
            "guest.workload.kind",
            "`\"queue\"`, `\"list\"`, `\"zipf\"`, `\"sequential\"`, `\"trace\"`",
            Always,
            "",
            "What the guest touches: a queue of drawn pages, a written-out list, pages by Zipf's law, page after page, or a recorded program. `workload = \"zipf\"` is short for the kind alone.",
        ),
        key(
            "guest.workload.length",
            INTEGER,
            Or("100"),
            "1 to 16,777,216",
            "Entries of the queue (`queue`).",
        ),
        key(
            "guest.workload.pages",
            "list of integers",
            Always,
            "each below `guest.pages`, 1 at least",
            "The pages of the list (`list`).",
        ),
        key(
            "guest.workload.exponent",
            SHARE,
            Or("1.0"),
            "0 to 10",
            "Zipf's exponent; 0 is uniform (`zipf`).",
        ),
        key(
            "guest.workload.file",
            "path",
            Always,
            "",
            "The recording, by valgrind's lackey, plain or gzip; relative to the scenario's file (`trace`).",
        ),
        key(
            "guest.workload.instruction_time",
            TIME,
            Always,
            "1 ns to 10 years",
            "Model time of an executed instruction (`trace`).",
        ),
        key(
            "guest.resident_at_start",
            "`\"none\"`, `\"all\"`",
            Or("\"none\""),
            "`\"all\"` needs as many frames as pages",
            "What memory holds when the warm-up begins.",
        ),
        key(
            "link.bandwidth",
            "rate, or `\"unlimited\"`",
            Always,
            ANY_RATE,
            "What the link carries. `\"unlimited\"` models no link: real pages go as fast as sockets do, between servers alone.",
        ),
        key(
            "link.latency",
            TIME,
            OrAbsent("refused over an unlimited link; a modelled one must say it"),
            ANY_SPAN,
            "One-way latency of the modelled link.",
        ),
        key(
            "link.connections",
            INTEGER,
            OrAbsent("1 over an unlimited link; refused over a modelled one"),
            "1 to 16",
            "Connections for pages in bulk, besides the one for what is urgent.",
        ),
        key(
            "link.compression",
            "`\"none\"`, `\"lz4\"`",
            OrAbsent("`\"none\"` over an unlimited link; refused over a modelled one"),
            "",
            "How pages in bulk are compressed.",
        ),
        key(
            "link.page_check",
            SWITCH,
            OrAbsent("`true` over an unlimited link; refused over a modelled one"),
            "",
            "Each page has a checksum, which the destination checks.",
        ),
        key(
            "link.congestion",
            "name",
            OrAbsent("the system's default; refused over a modelled link"),
            "at most 15 letters, digits, `_` and `-`",
            "The congestion control of each socket, by the system's name of it.",
        ),
        key(
            "disk.latency_source",
            TIME,
            Always,
            ANY_SPAN,
            "What a load takes at the source, and in ordinary paging.",
        ),
        key(
            "disk.latency_destination",
            TIME,
            Always,
            ANY_SPAN,
            "What a load takes at the destination while the migration lasts.",
        ),
        key(
            "migration.scheme",
            "`\"stop-and-copy\"`, `\"pre-copy\"`, `\"post-copy\"`, `\"lazy-copy\"`, `\"hybrid-post-copy\"`, `\"hybrid-lazy-copy\"`, `\"adaptive-lazy-copy\"`",
            Always,
            "",
            "How the guest is moved.",
        ),
        key(
            "migration.push_order",
            "`\"lru\"`, `\"mru\"`, `\"address\"`, `\"bubbling\"`, `\"predicted\"`",
            Or("\"lru\""),
            "",
            "The order of the background push: least recent first, most recent first, by number, around the pages of the last faults, or by what the guest did before.",
        ),
        key(
            "migration.context_bytes",
            INTEGER,
            Or("4096"),
            "0 to 1,073,741,824",
            "Bytes of the context message besides the residency list and the header.",
        ),
        key(
            "migration.head_start",
            INTEGER,
            Or("0"),
            "0 to `migration.max_lead`",
            "Accesses that the forward context completes before the guest resumes at the destination.",
        ),
        key(
            "migration.max_lead",
            INTEGER,
            OrAbsent("no limit"),
            POSITIVE,
            "The most accesses that the forward context may be ahead by.",
        ),
        key(
            "migration.fault_penalty",
            TIME,
            Or("\"0s\""),
            ANY_SPAN,
            "What every page fault of the migration takes besides.",
        ),
        key(
            "migration.stop_rule",
            "`\"clark\"`, `\"xen\"`, `\"qemu\"`",
            Or("\"qemu\""),
            "",
            "When pre-copy's rounds end.",
        ),
        key(
            "migration.downtime_limit",
            TIME,
            Or("\"300ms\""),
            "1 ns or more",
            "The downtime that the rule `qemu` aims at.",
        ),
        key(
            "migration.bandwidth_cap",
            RATE,
            OrAbsent("what the link gives"),
            "1 B/s or more",
            "The most that the rounds send per second.",
        ),
        key(
            "migration.minimum_rate",
            RATE,
            Or("\"12500000B/s\""),
            "1 B/s or more",
            "The rate of the first round by the rule `clark`, and the least of any.",
        ),
        key(
            "migration.hybrid_rounds",
            INTEGER,
            Or("1"),
            "1 to `migration.max_rounds`",
            "Rounds of a hybrid scheme before its hand-over.",
        ),
        key(
            "migration.max_rounds",
            INTEGER,
            Or("1000"),
            "1 to 4,294,967,295",
            "The round in which rounds are given up as never converging.",
        ),
        key(
            "migration.max_time",
            TIME,
            OrAbsent("no limit"),
            "1 ns or more",
            "When rounds are given up as never converging, after the request.",
        ),
        key(
            "migration.auto_converge",
            SWITCH,
            Or("false"),
            "",
            "Slow the guest down step by step where it dirties pages too fast, as QEMU does.",
        ),
        key(
            "migration.first_write_cost",
            TIME,
            Or("\"0s\""),
            ANY_SPAN,
            "What the first write to a page in each round costs the guest: the price of the dirty log.",
        ),
        key(
            "migration.keeps_pace",
            SWITCH,
            Or("false"),
            "",
            "The guest keeps its pace by the clock: what a first write costs is hidden in the think time after it.",
        ),
        key(
            "migration.burst_share_percent",
            "integer, per cent",
            Or("0"),
            "0 to 99",
            "Share of its processor that the guest loses while a burst of the rule `qemu` is sent.",
        ),
        key(
            "migration.pivots",
            INTEGER,
            Or("7"),
            "1 to 4,294,967,295",
            "The most pivots of `bubbling` at once.",
        ),
        key(
            "migration.direction",
            "`\"dual\"`, `\"forward\"`, `\"backward\"`",
            Or("\"dual\""),
            "",
            "In which direction bubbles grow.",
        ),
        key(
            "migration.sticky_pivot",
            SWITCH,
            OrAbsent("`true` where `direction` is single, else `false`"),
            "`true` where `bubbling` has a single direction",
            "One more pivot that is never replaced.",
        ),
        key(
            "migration.whole_page_writes",
            SWITCH,
            Or("false"),
            "",
            "A page that the guest writes as a whole at the destination is neither waited for nor sent.",
        ),
        key(
            "migration.push_rate",
            RATE,
            OrAbsent("what the link gives"),
            "1 B/s or more",
            "The most that the background push sends per second after the hand-over.",
        ),
        key(
            "migration.checkpoint",
            SWITCH,
            Or("false"),
            "",
            "The dirty pages are written to the disk after the suspension, so that the guest survives its source.",
        ),
        key(
            "migration.recover_within",
            TIME,
            Or("30s"),
            "",
            "How long two servers try to mend a link that broke after the hand-over, by the clock on the wall; 0s: not at all. A simulation has no such breaks.",
        ),
        key("fleet.hosts", INTEGER, Or("2"), "2 to 4,096", "Hosts, numbered from 0."),
        key(
            "fleet.card",
            "rate, or a list with one for each host",
            OrAbsent("as much as the link; neighbours need it"),
            ANY_RATE,
            "What each host's network card carries, in each direction.",
        ),
        key(
            "fleet.moves.guests",
            INTEGER,
            Or("1"),
            "1 to 100,000 in all",
            "How many guests are moved.",
        ),
        key("fleet.moves.source", INTEGER, Or("0"), A_HOST, "From which host."),
        key("fleet.moves.destination", INTEGER, Or("1"), A_HOST, "To which host."),
        key(
            "fleet.moves.starts",
            TIME,
            Or("\"0s\""),
            ANY_SPAN,
            "When the first of them is asked for.",
        ),
        key(
            "fleet.moves.interval",
            TIME,
            Or("\"0s\""),
            ANY_SPAN,
            "From one guest's request to the next one's.",
        ),
        key(
            "fleet.neighbours.source",
            INTEGER,
            OrAbsent("from beyond these hosts"),
            A_HOST,
            "Out of which host the traffic goes.",
        ),
        key(
            "fleet.neighbours.destination",
            INTEGER,
            OrAbsent("to beyond these hosts"),
            A_HOST,
            "Into which host it goes. A neighbour has a source, a destination, or both.",
        ),
        key(
            "fleet.neighbours.rate",
            RATE,
            Always,
            "1 B/s or more",
            "The most that it sends per second.",
        ),
        key(
            "fleet.neighbours.on",
            TIME,
            Or("\"10s\""),
            "a byte's time to 10 years",
            "How long a burst takes at this rate.",
        ),
        key(
            "fleet.neighbours.off",
            TIME,
            Or("\"0s\""),
            ANY_SPAN,
            "From the end of a burst to the next; 0 s is a steady load.",
        ),
        key(
            "fleet.neighbours.begins",
            TIME,
            Or("\"0s\""),
            ANY_SPAN,
            "When its first burst begins.",
        ),
    ]
};
