//! Schemes, the parts that they are made of, and the parameters of a migration.

use lazycopy_units::{Duration, Rate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a guest is moved. A scheme is a name for a combination of [`Parts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Suspend, send every page, then the context.
    StopAndCopy,
    /// Send the running guest's pages in rounds, what it writes meanwhile again, until a rule says
    /// that the rest is small enough; then stop-and-copy of the rest (Clark 2005).
    PreCopy,
    /// Send the context at once; pages follow in the background or on demand (Hines 2009).
    PostCopy,
    /// As post-copy, while the source runs a forward context ahead of the guest and pushes what it
    /// touches (the paper's).
    LazyCopy,
    /// A number of rounds, then post-copy of what is outdated.
    HybridPostCopy,
    /// A number of rounds, then lazy-copy of what is outdated.
    HybridLazyCopy,
    /// Lazy-copy that takes no more of the link than post-copy does, and pushes in the order in
    /// which the forward context can still spare it pages (ours).
    AdaptiveLazyCopy,
}

/// What a scheme is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What is sent before the hand-over.
    pub before_handover: BeforeHandover,
    /// The guest goes on at the source as the forward context after the hand-over.
    pub forward_context: bool,
    /// The forward context yields to the link: what it loads from the disk is pushed only where
    /// the link has room for it and is faster than the disk. The scheme chooses head start and
    /// push order itself.
    pub yields: bool,
}

/// What is sent before the hand-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeHandover {
    /// Nothing: pages follow the context.
    Nothing,
    /// Every page, from the suspended guest.
    Copy,
    /// Every page in rounds from the running guest, until the stop rule ends them; then what is
    /// outdated, from the suspended guest.
    RoundsThenCopy,
    /// Every page in a number of rounds from the running guest; what is outdated then follows the
    /// context.
    RoundsThenPush,
}

impl BeforeHandover {
    /// Whether the guest runs while pages are sent before the hand-over.
    pub const fn has_rounds(self) -> bool {
        matches!(self, BeforeHandover::RoundsThenCopy | BeforeHandover::RoundsThenPush)
    }

    /// Whether everything is sent before the context.
    pub const fn copies_all(self) -> bool {
        matches!(self, BeforeHandover::Copy | BeforeHandover::RoundsThenCopy)
    }
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Scheme; 7] = [
        Scheme::StopAndCopy,
        Scheme::PreCopy,
        Scheme::PostCopy,
        Scheme::LazyCopy,
        Scheme::HybridPostCopy,
        Scheme::HybridLazyCopy,
        Scheme::AdaptiveLazyCopy,
    ];

    /// What it is made of.
    pub const fn parts(self) -> Parts {
        use BeforeHandover::{Copy, Nothing, RoundsThenCopy, RoundsThenPush};
        let (before_handover, forward_context) = match self {
            Scheme::StopAndCopy => (Copy, false),
            Scheme::PreCopy => (RoundsThenCopy, false),
            Scheme::PostCopy => (Nothing, false),
            Scheme::LazyCopy => (Nothing, true),
            Scheme::HybridPostCopy => (RoundsThenPush, false),
            Scheme::HybridLazyCopy => (RoundsThenPush, true),
            Scheme::AdaptiveLazyCopy => (Nothing, true),
        };
        Parts { before_handover, forward_context, yields: matches!(self, Scheme::AdaptiveLazyCopy) }
    }

    /// Its name in configurations, commands and results.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::StopAndCopy => "stop-and-copy",
            Scheme::PreCopy => "pre-copy",
            Scheme::PostCopy => "post-copy",
            Scheme::LazyCopy => "lazy-copy",
            Scheme::HybridPostCopy => "hybrid-post-copy",
            Scheme::HybridLazyCopy => "hybrid-lazy-copy",
            Scheme::AdaptiveLazyCopy => "adaptive-lazy-copy",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Scheme, String> {
        Scheme::ALL.into_iter().find(|scheme| scheme.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Scheme::ALL.iter().map(|scheme| scheme.name()).collect();
            format!("\"{text}\" is no scheme; the schemes are {}", names.join(", "))
        })
    }
}

/// The order in which the resident pages are pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PushOrder {
    /// Least recently used first (the paper's array order).
    #[default]
    Lru,
    /// Most recently used first.
    Mru,
    /// By page number.
    Address,
    /// Around the pages of the last faults: pre-paging by bubbling (Hines 2009).
    Bubbling,
    /// What will be needed soonest first, learned from the guest's recent accesses (ours).
    Predicted,
}

/// In which direction a bubble grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To higher and to lower page numbers in turn.
    #[default]
    Dual,
    /// To higher page numbers.
    Forward,
    /// To lower page numbers.
    Backward,
}

/// The parameters of bubbling. Without effect for other push orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrePaging {
    /// The most pivots at once, at least 1: one per recent fault. Hines found 7 best.
    pub pivots: u32,
    /// In which direction each bubble grows.
    pub direction: Direction,
    /// One more pivot that is never replaced, at the first page in the direction of growth. A
    /// single direction needs it to reach every page.
    pub sticky_pivot: bool,
}

impl Default for PrePaging {
    fn default() -> Self {
        PrePaging { pivots: 7, direction: Direction::Dual, sticky_pivot: false }
    }
}

/// When the rounds of pre-copy end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopRule {
    /// Clark et al., NSDI 2005: a round goes at the rate at which the last one's pages were
    /// dirtied plus 50 Mbit/s; stop when that would be above the maximum, or when less than
    /// 256 KiB remain. The maximum is the cap; where there is none, what the link gives: the
    /// fastest that a message of the rounds went.
    Clark,
    /// Xen today: stop under 50 dirty pages or after 5 rounds.
    Xen,
    /// QEMU: stop when what remains takes less than the downtime limit at the bandwidth of the
    /// last tenth of a second. It looks when a tenth of a second begins, after every 50 ms of
    /// sending, and when nothing is left.
    #[default]
    Qemu,
}

/// The parameters of rounds. Without effect for schemes without them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundParameters {
    /// When pre-copy's rounds end.
    pub stop_rule: StopRule,
    /// The downtime that the QEMU rule aims at, above zero.
    pub downtime_limit: Duration,
    /// The most that the rounds send per second; `None`: what the link gives. What follows the
    /// suspension is not capped, as in QEMU. By the QEMU rule each tenth of a second sends its
    /// share in a burst, to the end of the page that spends it; what that is above the share the
    /// next ones have less (QEMU itself forgets it, far below 1 % at its usual rates).
    pub bandwidth_cap: Option<Rate>,
    /// The rate of the first round by the Clark rule, and the least of any.
    pub minimum_rate: Rate,
    /// Rounds of a hybrid scheme, at least 1 and at most `max_rounds`.
    pub hybrid_rounds: u32,
    /// The round in which pre-copy is given up as never converging, at least 1.
    pub max_rounds: u32,
    /// When rounds that go on are given up as never converging, after the request, above zero. A
    /// page that is on its way then is sent to its end.
    pub max_time: Option<Duration>,
    /// Slow the guest down step by step where it dirties pages too fast, as QEMU does.
    pub auto_converge: bool,
    /// What the first write to a page in each round costs the guest: the price of the dirty log.
    pub first_write_cost: Duration,
    /// The guest paces its accesses by the clock: the cost of a first write is hidden in the think
    /// time after it, and slows the guest only where it is longer. Otherwise it is added.
    pub keeps_pace: bool,
    /// The share of its processor that the guest loses while a burst of the QEMU rule is sent, 0
    /// to 99 per cent: above 0 on a host with fewer cores than busy threads.
    pub burst_share_percent: u8,
}

impl Default for RoundParameters {
    /// QEMU's rule and downtime limit, no cap, Clark's 100 Mbit/s for the first round, one round
    /// of a hybrid, and bounds that no converging migration comes near.
    fn default() -> Self {
        RoundParameters {
            stop_rule: StopRule::Qemu,
            downtime_limit: Duration::from_millis(300),
            bandwidth_cap: None,
            minimum_rate: Rate::from_bytes_per_sec(12_500_000).expect("it is above zero"),
            hybrid_rounds: 1,
            max_rounds: 1_000,
            max_time: None,
            auto_converge: false,
            first_write_cost: Duration::ZERO,
            keeps_pace: false,
            burst_share_percent: 0,
        }
    }
}

/// The parameters of one migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationParameters {
    /// How the guest is moved.
    pub scheme: Scheme,
    /// The order of the background push.
    pub push_order: PushOrder,
    /// Bytes of the context message besides residency list and header.
    pub context_bytes: u64,
    /// Accesses that the forward context completes before the destination resumes the guest.
    /// Without effect where there is no forward context.
    pub head_start: u64,
    /// The most accesses that the forward context may be ahead by, at least 1; `None`: no limit.
    /// Without effect where there is no forward context.
    pub max_lead: Option<u64>,
    /// What every fault of the migration takes besides.
    pub fault_penalty: Duration,
    /// What a load from the disk takes at the source, and in ordinary paging.
    pub disk_latency_source: Duration,
    /// What a load takes at the destination while the migration lasts.
    pub disk_latency_destination: Duration,
    /// Accesses after the resume that the run measures.
    pub measured_accesses: u64,
    /// How the rounds go, where the scheme has them.
    pub rounds: RoundParameters,
    /// How bubbles grow, where the push order has them.
    pub pre_paging: PrePaging,
    /// A page that the guest writes as a whole at the destination is not waited for, and exempt
    /// from transfer (the paper's further work).
    pub whole_page_writes: bool,
    /// The most that the background push sends per second, from the hand-over on; `None`: what the
    /// link gives. Demand and forward pages do not wait for it (QEMU's max-postcopy-bandwidth).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_rate: Option<Rate>,
    /// Write the suspended guest's dirty pages to the disk before anything else of it is sent, one
    /// after another: then the destination does without the source if that is lost (ours).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpoint: bool,
}

/// The most bytes that a context may have: 1 GiB, so that its time on the link cannot overflow.
pub const MAX_CONTEXT_BYTES: u64 = 1 << 30;

/// What is wrong with [`MigrationParameters`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ParameterError {
    /// The key of the scenario that is wrong.
    pub key: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl MigrationParameters {
    /// Checks the parameters against each other.
    ///
    /// # Errors
    /// The first key that breaks its rule.
    pub fn validate(&self) -> Result<(), ParameterError> {
        let fail = |key, problem| Err(ParameterError { key, problem });
        if self.context_bytes > MAX_CONTEXT_BYTES {
            return fail(
                "migration.context_bytes",
                format!("{} is above {MAX_CONTEXT_BYTES}", self.context_bytes),
            );
        }
        if self.max_lead == Some(0) {
            return fail("migration.max_lead", "it must be at least 1".to_owned());
        }
        if let Some(max_lead) = self.max_lead
            && self.head_start > max_lead
        {
            return fail(
                "migration.head_start",
                format!(
                    "{} is above migration.max_lead, which is {max_lead}: the forward context \
                     would wait for the guest and the guest for it",
                    self.head_start
                ),
            );
        }
        if self.rounds.downtime_limit == Duration::ZERO {
            return fail("migration.downtime_limit", "it must be at least 1ns".to_owned());
        }
        if self.pre_paging.pivots == 0 {
            return fail("migration.pivots", "it must be at least 1".to_owned());
        }
        if self.push_order == PushOrder::Bubbling
            && self.pre_paging.direction != Direction::Dual
            && !self.pre_paging.sticky_pivot
        {
            return fail(
                "migration.sticky_pivot",
                "a single direction of bubbling needs it: pages behind every pivot would never \
                 be pushed"
                    .to_owned(),
            );
        }
        if self.rounds.hybrid_rounds == 0 {
            return fail("migration.hybrid_rounds", "it must be at least 1".to_owned());
        }
        if self.rounds.max_rounds == 0 {
            return fail("migration.max_rounds", "it must be at least 1".to_owned());
        }
        if self.scheme.parts().before_handover == BeforeHandover::RoundsThenPush
            && self.rounds.hybrid_rounds > self.rounds.max_rounds
        {
            return fail(
                "migration.hybrid_rounds",
                format!(
                    "{} is above migration.max_rounds, which is {}: the rounds would be given up \
                     before the hand-over",
                    self.rounds.hybrid_rounds, self.rounds.max_rounds
                ),
            );
        }
        if self.rounds.max_time == Some(Duration::ZERO) {
            return fail("migration.max_time", "it must be at least 1ns".to_owned());
        }
        if self.rounds.burst_share_percent > 99 {
            return fail(
                "migration.burst_share_percent",
                format!("{} is outside 0 to 99", self.rounds.burst_share_percent),
            );
        }
        if self.measured_accesses == 0 {
            return fail("measured_accesses", "it must be at least 1".to_owned());
        }
        Ok(())
    }

    /// The head start that counts: zero where there is no forward context.
    pub(crate) fn effective_head_start(&self) -> u64 {
        let parts = self.scheme.parts();
        if parts.forward_context && !parts.yields { self.head_start } else { 0 }
    }

    /// The push order that counts. A forward context that yields saves the link the pages that it
    /// evicts before they are sent: its least recent ones, which therefore go last.
    pub(crate) fn effective_push_order(&self) -> PushOrder {
        if self.scheme.parts().yields { PushOrder::Mru } else { self.push_order }
    }

    /// After how many accesses the destination reports its progress, if it does.
    pub(crate) fn progress_step(&self) -> Option<u64> {
        let max_lead = self.max_lead.filter(|_| self.scheme.parts().forward_context)?;
        Some((max_lead / 4).max(1))
    }
}
