//! Schemes, the parts that they are made of, and the parameters of a migration.

use lazycopy_units::Duration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a guest is moved. A scheme is a name for a combination of [`Parts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Suspend, send every page, then the context.
    StopAndCopy,
    /// Send the context at once; pages follow in the background or on demand (Hines 2009).
    PostCopy,
    /// As post-copy, while the source runs a forward context ahead of the guest and pushes what it
    /// touches (the paper's).
    LazyCopy,
}

/// What a scheme is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Every resident page is sent between the suspension and the hand-over.
    pub copy_before_handover: bool,
    /// The guest goes on at the source as the forward context after the hand-over.
    pub forward_context: bool,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Scheme; 3] = [Scheme::StopAndCopy, Scheme::PostCopy, Scheme::LazyCopy];

    /// What it is made of.
    pub const fn parts(self) -> Parts {
        match self {
            Scheme::StopAndCopy => Parts { copy_before_handover: true, forward_context: false },
            Scheme::PostCopy => Parts { copy_before_handover: false, forward_context: false },
            Scheme::LazyCopy => Parts { copy_before_handover: false, forward_context: true },
        }
    }

    /// Its name in configurations, commands and results.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::StopAndCopy => "stop-and-copy",
            Scheme::PostCopy => "post-copy",
            Scheme::LazyCopy => "lazy-copy",
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
        if self.measured_accesses == 0 {
            return fail("measured_accesses", "it must be at least 1".to_owned());
        }
        Ok(())
    }

    /// The head start that counts: zero where there is no forward context.
    pub(crate) fn effective_head_start(&self) -> u64 {
        if self.scheme.parts().forward_context { self.head_start } else { 0 }
    }

    /// After how many accesses the destination reports its progress, if it does.
    pub(crate) fn progress_step(&self) -> Option<u64> {
        let max_lead = self.max_lead.filter(|_| self.scheme.parts().forward_context)?;
        Some((max_lead / 4).max(1))
    }
}
