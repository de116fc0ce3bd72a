//! The way back: what a side does about a link that broke after the hand-over.
//!
//! The source connects again, as often as it takes, and asks the destination what it has; the
//! destination waits for it. Both do so for a while, and the source at once where an operator says
//! so. The machines know nothing of all this: they are told of a new connection when both sides
//! have said their first word on it.

use crate::connection::{BulkStream, Connection};
use crate::handshake::{HANDSHAKE_DEADLINE, await_return, come_back};
use crate::host::Host;
use crate::vm::Request;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lazycopy_link::LinkSpec;
use lazycopy_migration::{RecoveryAnswer, Side, SourceRecovery, Verdict};
use lazycopy_protocol::control::{MigrationId, Pause, ServerReply, StartMigration};
use lazycopy_protocol::peer::Offer;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

/// The pause after the first try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// So many times longer than the destination the source waits: it is to hear of a destination that
/// has thrown the guest away when its own time was up, which may have begun later.
const SOURCE_WAITS_TIMES: u32 = 2;

/// Operators' words that wait for a try: the commands of a few.
const MAX_WAITING: usize = 16;

/// The first word of the other side on a new connection.
#[derive(Debug)]
pub(crate) enum Word {
    /// The destination's.
    Answer(RecoveryAnswer),
    /// The source goes on.
    GoesOn(Box<SourceRecovery>),
    /// The source has heard that the guest is here, and has freed it.
    Released,
    /// The source has the guest.
    Withdrawn(Verdict),
}

/// A new connection, and what came of it.
#[derive(Debug)]
pub(crate) struct Regained {
    pub(crate) connection: Connection,
    pub(crate) bulk: Vec<BulkStream>,
    pub(crate) word: Word,
}

/// What happened on the way back.
pub(crate) enum Turn {
    /// There is a link again.
    Regained(Box<Regained>),
    /// It has been waited for long enough.
    GivenUp,
}

/// What a source needs to find its destination again.
pub(crate) struct Seeker {
    pub(crate) host: Arc<Host>,
    pub(crate) start: StartMigration,
    /// Pages of the guest.
    pub(crate) pages: u32,
}

/// What a destination needs to let its source in again.
pub(crate) struct Awaiter {
    pub(crate) host: Arc<Host>,
    pub(crate) link: LinkSpec,
    pub(crate) migration: MigrationId,
    pub(crate) source: String,
    pub(crate) pages: u32,
}

enum Role {
    Seeks(Arc<Seeker>),
    Awaits(Arc<Awaiter>),
}

type Attempt = BoxFuture<'static, Result<Regained, String>>;

/// A link is broken.
struct Broken {
    /// `None`: nothing ends the waiting but an operator's word.
    gives_up_at: Option<Instant>,
    /// When the source tries again by itself.
    tries_at: Option<Instant>,
    pause: Duration,
    attempt: Option<Attempt>,
}

impl Broken {
    fn at_rest() -> Self {
        Broken { gives_up_at: None, tries_at: None, pause: FIRST_PAUSE, attempt: None }
    }
}

/// The way back of one side of a migration.
pub(crate) struct WayBack {
    role: Role,
    within: Duration,
    broken: Option<Broken>,
    /// The source's new connection, which is to be answered.
    came: Option<Connection>,
    /// Who has asked for a try.
    waiting: Vec<Request>,
    /// The other side's process is dead: it will not be found.
    is_dead: bool,
}

impl WayBack {
    /// The source's, of a guest that has so many pages.
    pub(crate) fn of_source(host: &Arc<Host>, start: &StartMigration, pages: u32) -> Self {
        let within = wall(start.recover_within).saturating_mul(SOURCE_WAITS_TIMES);
        let seeker = Seeker { host: Arc::clone(host), start: start.clone(), pages };
        WayBack::new(Role::Seeks(Arc::new(seeker)), within)
    }

    /// The destination's.
    pub(crate) fn of_destination(host: &Arc<Host>, offer: &Offer) -> Self {
        let awaiter = Awaiter {
            host: Arc::clone(host),
            link: offer.link.clone(),
            migration: offer.migration,
            source: offer.source.clone(),
            pages: offer.spec.pages,
        };
        WayBack::new(Role::Awaits(Arc::new(awaiter)), wall(offer.recover_within))
    }

    fn new(role: Role, within: Duration) -> Self {
        WayBack { role, within, broken: None, came: None, waiting: Vec::new(), is_dead: false }
    }

    /// How long the other side is waited for.
    pub(crate) fn within(&self) -> Duration {
        self.within
    }

    /// The other side is dead: nobody is there to be found.
    pub(crate) fn is_in_vain(&mut self) {
        self.is_dead = true;
    }

    /// Begins or ends as the machine is paused or not. `pause` tells what is so.
    pub(crate) fn tend(&mut self, pause: Option<(&str, Option<Result<String, String>>)>) {
        let waits = self.broken.as_ref().is_none_or(|broken| broken.gives_up_at.is_some());
        match &pause {
            Some((reason, Some(Ok(_)))) if self.is_dead && waits => {
                let (reason, reclaim) = ((*reason).to_owned(), pause.and_then(|it| it.1));
                self.broken.get_or_insert_with(Broken::at_rest);
                return self.rest(&reason, reclaim);
            }
            _ => {}
        }
        match (pause, self.broken.is_some()) {
            (Some((reason, reclaim)), false) => {
                info!(reason, within = ?self.within, "a migration is paused: its link is broken");
                let now = Instant::now();
                self.broken = Some(Broken {
                    gives_up_at: Some(now + self.within),
                    tries_at: matches!(self.role, Role::Seeks(_)).then_some(now),
                    pause: FIRST_PAUSE,
                    attempt: None,
                });
                let since_unix_ms = unix_ms();
                let within = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX);
                let until_unix_ms = Some(since_unix_ms.saturating_add(within));
                let reason = reason.to_owned();
                self.tell(Some(Pause { reason, since_unix_ms, until_unix_ms, reclaim }));
            }
            (None, true) => {
                self.broken = None;
                self.tell(None);
                self.answer_all(Ok(ServerReply::Done));
            }
            _ => {}
        }
    }

    /// The manager is told.
    fn tell(&self, pause: Option<Pause>) {
        let (host, migration, side) = match &self.role {
            Role::Seeks(it) => (&it.host, it.start.migration, Side::Source),
            Role::Awaits(it) => (&it.host, it.migration, Side::Destination),
        };
        host.link_changed(migration, side, pause);
    }

    /// From now on nothing happens but by an operator's word: to give up would lose what he may
    /// still take back.
    pub(crate) fn rest(&mut self, reason: &str, reclaim: Option<Result<String, String>>) {
        let Some(broken) = &mut self.broken else { return };
        broken.gives_up_at = None;
        broken.tries_at = None;
        broken.attempt = None;
        let (reason, until_unix_ms) = (reason.to_owned(), None);
        self.tell(Some(Pause { reason, since_unix_ms: unix_ms(), until_unix_ms, reclaim }));
    }

    /// An operator wants it to be tried at once.
    pub(crate) fn try_now(&mut self, request: Request) {
        let Some(broken) = &mut self.broken else {
            return request.answer(Err(
                "the migration is not paused: there is nothing to recover".to_owned()
            ));
        };
        if self.waiting.len() == MAX_WAITING {
            return request.answer(Err("others wait for a try already".to_owned()));
        }
        broken.tries_at = Some(Instant::now());
        self.waiting.push(request);
    }

    fn answer_all(&mut self, answer: crate::host::Answer) {
        self.waiting.drain(..).for_each(|request| request.answer(answer.clone()));
    }

    /// The source has come back: its connection is to be answered, instead of an earlier one.
    pub(crate) fn comes(&mut self, connection: Connection) {
        self.came = Some(connection);
    }

    /// Whether the source waits for the answer.
    pub(crate) fn is_asked(&self) -> bool {
        self.came.is_some() && self.broken.is_some()
    }

    /// Answers the source, and awaits its first word.
    pub(crate) fn answer(&mut self, answer: RecoveryAnswer) {
        let (Role::Awaits(awaiter), Some(broken)) = (&self.role, &mut self.broken) else { return };
        let Some(connection) = self.came.take() else { return };
        let returns = await_return(Arc::clone(awaiter), connection, answer);
        broken.attempt = Some(within_deadline(returns));
    }

    /// Waits until something has come of it. May be given up and called again.
    pub(crate) async fn next(&mut self) -> Turn {
        loop {
            let Some(broken) = &mut self.broken else { return std::future::pending().await };
            let tries_at = broken.tries_at.filter(|_| broken.attempt.is_none());
            let attempt = async {
                match &mut broken.attempt {
                    Some(attempt) => attempt.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                came = attempt => {
                    broken.attempt = None;
                    match came {
                        Ok(regained) => return Turn::Regained(Box::new(regained)),
                        Err(reason) => {
                            debug!(reason, "a migration's link could not be mended");
                            if matches!(self.role, Role::Seeks(_)) {
                                self.answer_all(Err(reason));
                            }
                        }
                    }
                }
                () = at(broken.gives_up_at) => {
                    broken.gives_up_at = None;
                    return Turn::GivenUp;
                }
                () = at(tries_at) => {
                    if let Role::Seeks(seeker) = &self.role {
                        broken.attempt = Some(within_deadline(come_back(Arc::clone(seeker))));
                    }
                    let again = broken.gives_up_at.map(|_| Instant::now() + broken.pause);
                    broken.tries_at = again;
                    broken.pause = (broken.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The side is over.
    pub(crate) fn end(&mut self) {
        self.answer_all(Err("the migration has ended".to_owned()));
    }
}

/// A handshake that takes too long has failed.
fn within_deadline(
    handshake: impl Future<Output = Result<Regained, String>> + Send + 'static,
) -> Attempt {
    let seconds = HANDSHAKE_DEADLINE.as_secs();
    timeout(HANDSHAKE_DEADLINE, handshake)
        .map(move |done| {
            done.unwrap_or_else(|_| {
                Err(format!("the other server did not answer within {seconds} s"))
            })
        })
        .boxed()
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn wall(span: lazycopy_units::Duration) -> Duration {
    Duration::from_nanos(span.as_nanos())
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
