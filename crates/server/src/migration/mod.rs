//! Driving the machines of a migration: in the order of model time, never before the clock.
//!
//! A [`Driver`] keeps what is scheduled for one machine and hands it over at its instant; a
//! [`Side`] is a machine with what surrounds it (the link, the messages to the other server, the
//! log); [`drive`] awaits what comes from outside and decides nothing.

mod density;
mod destination;
mod driver;
mod herald;
mod log;
mod own_thread;
mod source;
mod timeline;
mod way_back;

pub(crate) use density::{Arrivals, density};
pub(crate) use destination::DestinationSide;
pub(crate) use driver::{Driver, Machine};
pub(crate) use herald::Herald;
pub(crate) use log::Log;
pub(crate) use own_thread::OwnThread;
pub(crate) use source::SourceSide;
pub(crate) use timeline::Timeline;
pub(crate) use way_back::{Awaiter, Regained, Seeker, WayBack, Word};

use crate::clock::{ModelClock, Wake};
use crate::connection::{BulkStream, Connection, Traffic};
use crate::host::Host;
use crate::vm::{Action, LinkAction, Request, Vm};
use lazycopy_migration::RecoveryAnswer;
use lazycopy_protocol::control::{PeerEnd, ServerReply};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_units::{Duration, Instant};
use std::sync::Arc;
use tracing::{info, warn};
use way_back::Turn;

/// A side of a migration: a machine and what surrounds it.
pub(crate) trait Side: Machine + Sized {
    /// What a frame from the other server, which comes at `now`, means, and when it is due.
    ///
    /// # Errors
    /// In words, when the other server must not say so.
    fn receive(&mut self, now: Instant, frame: PeerFrame) -> Result<Received<Self::Input>, String>;

    /// The longest that a message to this side is on its way by the modelled link.
    fn longest_way(&self) -> Duration;

    /// Whether frames from the other server are of use now.
    fn accepts_frames(&self) -> bool {
        true
    }

    /// Writes to the bulk connections, or reads from them, what goes without waiting.
    ///
    /// # Errors
    /// When they are of no use any more.
    fn pump(&mut self, now: Instant) -> Result<Pumped<Self::Input>, Broken>;

    /// Waits until [`Side::pump`] is worth calling again.
    fn bulk_ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Where instants are the clock's, the guest does not fall far behind it.
    fn keep_up(&mut self, now: Instant);

    /// The connections are gone; what the machine is told of it, if it must know.
    fn connection_lost(&mut self, broken: Broken) -> Option<Self::Input>;

    /// While the machine is paused: why, and, told by the source, whether the guest may be taken
    /// back.
    fn paused(&self) -> Option<(&str, Option<Result<String, String>>)>;

    /// The other side was waited for so long; what the machine is told.
    fn given_up(&mut self, after: std::time::Duration) -> Self::Input;

    /// What to answer a source that has come back.
    fn answer_recovery(&self) -> RecoveryAnswer;

    /// There are connections again, with that first word of the other side. What the machine is
    /// told at once, if it must know.
    ///
    /// # Errors
    /// In words, when the word is none of the other side's, or the system does not serve the
    /// connections.
    fn regain(&mut self, bulk: Vec<BulkStream>, word: Word) -> Result<Option<Self::Input>, String>;

    /// An operator wants the guest back; what the machine is told.
    ///
    /// # Errors
    /// In words, why it must not be.
    fn reclaim(&mut self) -> Result<Self::Input, String>;

    /// The manager knows what became of the other side; what the machine is told, if it must know.
    fn peer_ended(&mut self, how: PeerEnd, is_connected: bool) -> Option<Self::Input>;

    /// Takes the next frame that is to be sent.
    fn next_frame(&mut self) -> Option<PeerFrame>;

    /// Whether there is nothing left to do here.
    fn is_over(&self) -> bool;

    /// Answers a user's request, which comes at `now`. Gives what the machine is to be told at once.
    fn answer(&mut self, now: Instant, vm: &Vm, request: Request) -> Option<Self::Input>;

    /// Tells the others what the guest is doing at `now`.
    fn publish(&mut self, now: Instant, vm: &Vm);
}

/// Why connections are of no use any more, in words.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The way is broken; it may come back.
    Link(String),
    /// The other side said what it must not: nothing that it says is of use any more.
    Wrong(String),
}

/// What the bulk connections gave.
pub(crate) struct Pumped<Input> {
    /// Something was written or read: there may be more at once.
    pub(crate) progressed: bool,
    /// What it means.
    pub(crate) received: Vec<Received<Input>>,
}

impl<Input> Default for Pumped<Input> {
    fn default() -> Self {
        Pumped { progressed: false, received: Vec::new() }
    }
}

/// How far a guest may be behind the clock where instants are the clock's: what it missed while
/// its task received or sent pages it catches up with; what the machine is too slow for, it does
/// not.
pub(crate) const GREATEST_LAG: Duration = Duration::from_millis(1);

/// By how much wall time the other server may be ahead: its clock and this one's are read against
/// each other to within milliseconds, and nothing is sent before its time.
const GREATEST_LEAD: std::time::Duration = std::time::Duration::from_secs(10);

/// The latest instant at which a message that comes now can be delivered. One that names a later
/// one is taken then: nothing that comes after it, not even the loss of the connection, would be
/// known before it.
pub(crate) fn latest_delivery<S: Side>(side: &S, clock: ModelClock) -> Instant {
    let lead = clock.span(GREATEST_LEAD);
    clock.now().saturating_add(side.longest_way()).saturating_add(lead)
}

/// What a frame means.
pub(crate) enum Received<Input> {
    /// Hand this to the machine at that instant; it was said at the other one.
    Deliver { at: Instant, said: Instant, input: Input },
    /// Hand this to the machine after everything that has come before, of which none matters any
    /// more: the other server has taken the guest back.
    DeliverLast(Input),
    /// Nothing for the machine.
    Noted,
    /// The other server says nothing more, and needs nothing more.
    Farewell,
}

/// Messages that may be scheduled before no further ones are read: more than any link has under
/// way, so that only a server that floods this one is held back.
const MAX_SCHEDULED: usize = 1 << 20;

/// Messages of a side without a modelled link that may wait for the machine before no more are
/// read: each may be a batch of 256 pages, so that some megabytes wait at most.
const MAX_UNDELIVERED: u64 = 1_024;

/// Frames that are taken in before the machine and those who ask for something get their turn:
/// more than a socket holds, so that only a server that never stops is interrupted.
const MAX_TAKEN_IN: usize = 1 << 16;

/// Drives a side until it is over.
pub(crate) async fn drive<S: Side>(
    vm: &mut Vm,
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    timeline: &mut Timeline,
    way_back: &mut WayBack,
) {
    let host = &*Arc::clone(&vm.host);
    loop {
        take_in_what_has_come(host, driver, connection, timeline);
        let retry = timeline.tend(&host.pace(), connection);
        let mut progressed = pump(host, driver, connection, timeline);
        let clock = timeline.clock();
        driver.machine.keep_up(clock.now());
        let blocked = connection.as_ref().is_some_and(|connection| !connection.has_room());
        let wake = if blocked { Wake::Never } else { driver.step(clock) };
        let all_sent = send_frames(driver, connection, clock);
        if driver.machine.is_over() && all_sent {
            break;
        }
        progressed |= pump(host, driver, connection, timeline);
        driver.machine.publish(clock.now(), vm);
        if progressed {
            // On a thread of the migration's own nobody else asks the system which sockets are
            // ready: while there is always more in bulk, what is urgent would not be noticed.
            tokio::task::yield_now().await;
        }
        way_back.tend(driver.machine.paused());
        if way_back.is_asked() && connection.is_none() {
            way_back.answer(driver.machine.answer_recovery());
        }
        let readable = driver.scheduled() < MAX_SCHEDULED && driver.machine.accepts_frames();
        let wake = if progressed { Wake::Soon } else { wake.or_at(retry) };
        tokio::select! {
            biased;
            // Users are few: they do not keep the other server waiting, but it might them.
            Some(request) = vm.requests.recv() => match request {
                Request { action: Action::Pace, .. } => timeline.ask(request),
                Request { action: Action::Link(action), reply } => {
                    let request = Request { action: Action::Pace, reply };
                    mend(driver, connection, timeline, way_back, action, request);
                }
                request => {
                    if let Some(input) = driver.machine.answer(clock.now(), vm, request) {
                        driver.handle_now(input);
                    }
                }
            },
            traffic = next(connection, readable) => {
                handle(host, driver, connection, timeline, traffic);
            }
            turn = way_back.next() => match turn {
                Turn::Regained(regained) => regain(driver, connection, timeline, way_back, *regained),
                Turn::GivenUp => give_up(driver, way_back, timeline.clock()),
            },
            () = driver.machine.bulk_ready() => {}
            () = wake.wait(&vm.host.timer) => {}
        }
    }
    timeline.end();
    way_back.end();
}

/// Lets the bulk connections go on. Whether they did.
fn pump<S: Side>(
    host: &Host,
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    timeline: &mut Timeline,
) -> bool {
    match driver.machine.pump(timeline.clock().now()) {
        Ok(pumped) => {
            for received in pumped.received {
                take_in(host, driver, connection, timeline, Ok(received));
            }
            pumped.progressed
        }
        Err(broken) => {
            lose(driver, connection, timeline.clock(), broken);
            false
        }
    }
}

/// Everything that has come is known before anything is driven, so that it is handled in order.
fn take_in_what_has_come<S: Side>(
    host: &Host,
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    timeline: &mut Timeline,
) {
    for _ in 0..MAX_TAKEN_IN {
        let accepts = driver.scheduled() < MAX_SCHEDULED && driver.machine.accepts_frames();
        let open = connection.as_mut().filter(|_| accepts);
        let Some(traffic) = open.and_then(Connection::poll_arrived) else { return };
        handle(host, driver, connection, timeline, traffic);
    }
}

async fn next(connection: &mut Option<Connection>, reads: bool) -> Traffic {
    match connection {
        Some(connection) if reads => connection.next().await,
        Some(connection) => connection.wrote().await,
        None => std::future::pending().await,
    }
}

fn handle<S: Side>(
    host: &Host,
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    timeline: &mut Timeline,
    traffic: Traffic,
) {
    let received = match traffic {
        Traffic::Wrote => return,
        Traffic::Lost(reason) => {
            return lose(driver, connection, timeline.clock(), Broken::Link(reason));
        }
        Traffic::Arrived(frame) => match timeline.hear(frame, connection, driver) {
            Ok(Some(frame)) => driver.machine.receive(timeline.clock().now(), frame),
            Ok(None) => return,
            Err(reason) => Err(reason),
        },
    };
    take_in(host, driver, connection, timeline, received);
}

fn take_in<S: Side>(
    host: &Host,
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    timeline: &mut Timeline,
    received: Result<Received<S::Input>, String>,
) {
    match received {
        Ok(Received::Deliver { at, said, input }) => {
            let latest = latest_delivery(&driver.machine, timeline.clock());
            driver.schedule(at.min(latest), said, input);
        }
        Ok(Received::DeliverLast(input)) => {
            timeline.release();
            driver.schedule_last(timeline.clock(), input);
        }
        Ok(Received::Noted) => {}
        Ok(Received::Farewell) => part(host, connection),
        Err(reason) => lose(driver, connection, timeline.clock(), Broken::Wrong(reason)),
    }
}

/// The connection is not needed any more.
fn part(host: &Host, connection: &mut Option<Connection>) {
    if let Some(connection) = connection.take() {
        host.see_off(connection);
    }
}

fn lose<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    clock: ModelClock,
    broken: Broken,
) {
    *connection = None;
    let text = format!("{broken:?}");
    if let Some(input) = driver.machine.connection_lost(broken) {
        warn!(reason = text, "the connection of a migration was lost");
        driver.schedule_last(clock, input);
    }
}

/// Does what is asked about the link, broken or not.
fn mend<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    timeline: &mut Timeline,
    way_back: &mut WayBack,
    action: LinkAction,
    request: Request,
) {
    match action {
        LinkAction::CameBack(came) => {
            // It may know of the break before this side does.
            if connection.is_some() {
                let reason = "the source has made a new connection".to_owned();
                lose(driver, connection, timeline.clock(), Broken::Link(reason));
            }
            way_back.comes(*came);
            request.answer(Ok(ServerReply::Done));
        }
        LinkAction::TryNow => way_back.try_now(request),
        LinkAction::Reclaim => match driver.machine.reclaim() {
            Ok(input) => {
                driver.handle_now(input);
                request.answer(Ok(ServerReply::Done));
            }
            Err(reason) => request.answer(Err(reason)),
        },
        LinkAction::PeerEnded(how) => {
            info!(?how, "what became of the other side");
            if how == PeerEnd::Dead {
                way_back.is_in_vain();
            }
            if let Some(input) = driver.machine.peer_ended(how, connection.is_some()) {
                *connection = None;
                driver.schedule_last(timeline.clock(), input);
            }
            request.answer(Ok(ServerReply::Done));
        }
    }
}

/// There is a link again, if the two sides agree.
fn regain<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    timeline: &mut Timeline,
    way_back: &mut WayBack,
    regained: Regained,
) {
    let clock = timeline.clock();
    match driver.machine.regain(regained.bulk, regained.word) {
        Ok(input) => {
            *connection = Some(regained.connection);
            if let Some(input) = input {
                driver.handle_at(clock, input);
            }
        }
        Err(reason) => return warn!(reason, "a source or destination came back with nonsense"),
    }
    if let Some((reason, reclaim @ Some(_))) = driver.machine.paused() {
        // The other side has nothing of the guest, which an operator may still take back.
        *connection = None;
        return way_back.rest(&format!("{reason}; the destination has no guest any more"), reclaim);
    }
    info!("a migration's link is whole again");
    // The first word of this side goes before what is said about time.
    send_frames(driver, connection, clock);
    timeline.regain(connection);
}

/// The other side has been waited for long enough, unless an operator may still take the guest back.
fn give_up<S: Side>(driver: &mut Driver<S>, way_back: &mut WayBack, clock: ModelClock) {
    if let Some((reason, Some(Ok(why)))) = driver.machine.paused() {
        return way_back.rest(reason, Some(Ok(why)));
    }
    let input = driver.machine.given_up(way_back.within());
    driver.handle_at(clock, input);
}

/// Sends what the connection takes without waiting. Whether that was all; else the connection says
/// when it takes more.
fn send_frames<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    clock: ModelClock,
) -> bool {
    loop {
        if let Some(open) = connection
            && !open.has_room()
        {
            open.write_now();
            if !open.has_room() {
                return false;
            }
        }
        let Some(frame) = driver.machine.next_frame() else {
            if let Some(open) = connection {
                open.write_now();
            }
            return true;
        };
        if let Some(open) = connection
            && let Err(error) = open.send(frame)
        {
            lose(driver, connection, clock, Broken::Wrong(error.to_string()));
        }
    }
}
