//! Rules broken on purpose, to see that the checkers of the fault simulation bite. Compiled with
//! the feature `broken-rules` alone, which no program asks for.

use std::cell::Cell;

thread_local! {
    static BROKEN_HERE: Cell<Option<BrokenRule>> = const { Cell::new(None) };
}

/// A rule that a machine is told to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenRule {
    /// Source: a page is sent with the forward context's own writes.
    SendOwnWrites,
    /// Destination: a page that was held before is installed again.
    InstallHeld,
    /// Source: a dirty page that the forward context evicts is dropped as if it were clean.
    DropDirty,
    /// Source: the guest is freed, as complete, when the last page is on its way.
    FreeEarly,
    /// Source: the guest goes on at the source when the link breaks after the hand-over.
    ResumeBoth,
    /// Source: what was lost in flight is taken for arrived.
    ForgetLost,
    /// Destination: the bitmap of a recovery counts pages as arrived that were announced alone.
    StaleBitmap,
    /// Source: of a page that was sent several times any copy that arrived is taken for the last.
    TrustOldCopies,
    /// Destination: a source that may live is taken for dead, and the guest resumed without it.
    ResumeOnSuspicion,
    /// Source: an operator's reclaim is obeyed whatever the destination may have done.
    ReclaimAlways,
    /// Destination: a guest of which dirty pages are missing goes on without the source.
    TakeStaleFromDisk,
}

impl BrokenRule {
    /// Machines that are made on this thread from now on break that rule, or none: for drivers that
    /// make their machines themselves.
    pub fn break_here(rule: Option<BrokenRule>) {
        BROKEN_HERE.set(rule);
    }

    pub(crate) fn broken_here() -> Option<BrokenRule> {
        BROKEN_HERE.get()
    }

    /// Every rule that can be broken.
    pub const ALL: [BrokenRule; 11] = [
        BrokenRule::SendOwnWrites,
        BrokenRule::InstallHeld,
        BrokenRule::DropDirty,
        BrokenRule::FreeEarly,
        BrokenRule::ResumeBoth,
        BrokenRule::ForgetLost,
        BrokenRule::StaleBitmap,
        BrokenRule::TrustOldCopies,
        BrokenRule::ResumeOnSuspicion,
        BrokenRule::ReclaimAlways,
        BrokenRule::TakeStaleFromDisk,
    ];
}
