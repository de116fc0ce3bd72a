//! Driving the machines of a migration: in the order of model time, never before the clock.
//!
//! A [`Driver`] keeps what is scheduled for one machine and hands it over at its instant; a
//! [`Side`] is a machine with what surrounds it (the link, the messages to the other server, the
//! log); [`drive`] awaits what comes from outside and decides nothing.

mod destination;
mod driver;
mod herald;
mod log;
mod source;

pub(crate) use destination::DestinationSide;
pub(crate) use driver::{Driver, Machine};
pub(crate) use herald::Herald;
pub(crate) use log::Log;
pub(crate) use source::SourceSide;

use crate::clock::{ModelClock, Wake};
use crate::connection::{Connection, Traffic};
use crate::vm::{Request, Vm};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_units::Instant;
use tracing::warn;

/// A side of a migration: a machine and what surrounds it.
pub(crate) trait Side: Machine + Sized {
    /// What a frame from the other server means, and when it is due.
    ///
    /// # Errors
    /// In words, when the other server must not say so.
    fn receive(&mut self, frame: PeerFrame) -> Result<Received<Self::Input>, String>;

    /// The connection is gone; what the machine is told of it, if it must know.
    fn connection_lost(&mut self, reason: String) -> Option<Self::Input>;

    /// Takes the frames that are to be sent.
    fn take_frames(&mut self) -> Vec<PeerFrame>;

    /// Whether there is nothing left to do here.
    fn is_over(&self) -> bool;

    /// Answers a user's request. Gives what the machine is to be told at once.
    fn answer(&mut self, vm: &Vm, request: Request) -> Option<Self::Input>;

    /// Tells the others what the guest is doing.
    fn publish(&mut self, vm: &Vm);
}

/// What a frame means.
pub(crate) enum Received<Input> {
    /// Hand this to the machine at that instant; it was said at the other one.
    Deliver { at: Instant, said: Instant, input: Input },
    /// Hand this to the machine after everything that has come before.
    DeliverLast(Input),
    /// Nothing for the machine.
    Noted,
    /// The other server says nothing more, and needs nothing more.
    Farewell,
}

/// Messages that may be scheduled before no further ones are read: more than any link has under
/// way, so that only a server that floods this one is held back.
const MAX_SCHEDULED: usize = 1 << 20;

/// Drives a side until it is over.
pub(crate) async fn drive<S: Side>(
    vm: &mut Vm,
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    clock: ModelClock,
) {
    loop {
        take_in_what_has_come(driver, connection, clock);
        let blocked = connection.as_ref().is_some_and(|connection| !connection.has_room());
        let wake = if blocked { Wake::Never } else { driver.step(clock) };
        send_frames(driver, connection, clock);
        if driver.machine.is_over() {
            break;
        }
        driver.machine.publish(vm);
        let readable = driver.scheduled() < MAX_SCHEDULED;
        tokio::select! {
            biased;
            traffic = next(connection), if readable => handle(driver, connection, clock, traffic),
            Some(request) = vm.requests.recv() => {
                if let Some(input) = driver.machine.answer(vm, request) {
                    driver.handle_now(input);
                }
            }
            () = wake.wait(&vm.host.timer) => {}
        }
    }
}

/// Everything that has come is known before anything is driven, so that it is handled in order.
fn take_in_what_has_come<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    clock: ModelClock,
) {
    while driver.scheduled() < MAX_SCHEDULED
        && let Some(traffic) = connection.as_mut().and_then(Connection::poll_arrived)
    {
        handle(driver, connection, clock, traffic);
    }
}

async fn next(connection: &mut Option<Connection>) -> Traffic {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

fn handle<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    clock: ModelClock,
    traffic: Traffic,
) {
    let received = match traffic {
        Traffic::Wrote => return,
        Traffic::Lost(reason) => Err(reason),
        Traffic::Arrived(frame) => driver.machine.receive(frame),
    };
    match received {
        Ok(Received::Deliver { at, said, input }) => driver.schedule(at, said, input),
        Ok(Received::DeliverLast(input)) => driver.schedule_last(clock, input),
        Ok(Received::Noted) => {}
        Ok(Received::Farewell) => part(connection),
        Err(reason) => lose(driver, connection, clock, reason),
    }
}

/// The connection is not needed any more.
fn part(connection: &mut Option<Connection>) {
    if let Some(connection) = connection.take() {
        tokio::spawn(connection.bid_farewell());
    }
}

fn lose<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    clock: ModelClock,
    reason: String,
) {
    *connection = None;
    if let Some(input) = driver.machine.connection_lost(reason.clone()) {
        warn!(reason, "the connection of a migration was lost");
        driver.schedule_last(clock, input);
    }
}

fn send_frames<S: Side>(
    driver: &mut Driver<S>,
    connection: &mut Option<Connection>,
    clock: ModelClock,
) {
    for frame in driver.machine.take_frames() {
        let Some(open) = connection.as_mut() else { return };
        if let Err(error) = open.send(frame) {
            return lose(driver, connection, clock, error.to_string());
        }
    }
}
