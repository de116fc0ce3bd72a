//! Opening a guest's workload, and its warm-up. Both may take long (a recording is read), and so
//! run beside the tasks.

use super::{Action, Definition, Request, Vm};
use crate::room::Room;
use lazycopy_guest::{Disk, Guest, GuestError, Memory, Registers};
use lazycopy_protocol::control::{ServerReply, VmPhase};
use lazycopy_units::{Duration, Instant};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::spawn_blocking;
use tracing::warn;

/// Accesses of a warm-up between two looks at whether it is still wanted: some milliseconds.
const CHUNK_ACCESSES: u64 = 1 << 18;

/// How a warm-up ended.
pub(super) enum WarmUp {
    /// The guest is suspended at its end.
    Done(Box<Guest>),
    /// The workload failed, in words.
    Failed(String),
    /// A user stopped or deleted the guest, or took back the migration that it was for.
    GivenUp(Request),
}

/// Ends a warm-up that nobody waits for any more.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A new guest, suspended before its first access.
pub(super) async fn open(definition: &Definition) -> Result<Guest, String> {
    let definition = definition.clone();
    opened(move || begin(&definition)).await
}

/// A guest that stands by for one that has come to this position on another server, and the
/// memory that its pages will be received into, where it is a real one.
pub(super) async fn open_at(
    definition: &Definition,
    position: u64,
) -> Result<(Guest, Option<Memory>), String> {
    let spec = Arc::clone(&definition.spec);
    let real_memory = definition.real_memory;
    let registers = Registers { accesses: position, ..Registers::default() };
    let disk = Disk::new(spec.seed);
    opened(move || {
        let pages = spec.pages;
        let room = real_memory.then(|| Memory::in_pages(pages, &spec)).transpose();
        let room = room.map_err(|error| GuestError::Memory { pages, error }.to_string())?;
        let guest = Guest::arriving(spec, registers, disk, Memory::none()).map_err(|error| {
            // What is said of it goes to the source, which may have named any file.
            warn!(%error, "cannot open the workload of a guest that is offered");
            error.unquoted()
        })?;
        Ok((guest, room))
    })
    .await
}

async fn opened<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let opened = spawn_blocking(open).await;
    opened.map_err(|_| "the guest could not be set up".to_owned())?
}

/// A new guest, in a real memory, where this machine has it, or not.
fn begin(definition: &Definition) -> Result<Guest, String> {
    let spec = Arc::clone(&definition.spec);
    if !definition.real_memory {
        return Guest::new(spec).map_err(|error| error.to_string());
    }
    if let Some(room) = Room::here() {
        room.check(&definition.vm, &spec, false)?;
    }
    Guest::new_in_pages(spec).map_err(|error| error.to_string())
}

fn run(
    definition: &Definition,
    guest: Option<Guest>,
    wanted: &AtomicBool,
) -> Result<Guest, String> {
    let mut guest = match guest {
        Some(guest) => guest,
        None => begin(definition)?,
    };
    while guest.registers().accesses < definition.warmup_accesses && wanted.load(Ordering::Relaxed)
    {
        let chunk_end = guest.registers().accesses.saturating_add(CHUNK_ACCESSES);
        let target = chunk_end.min(definition.warmup_accesses);
        guest.run_to(Instant::ZERO, target, Duration::ZERO).map_err(|error| error.to_string())?;
    }
    Ok(guest)
}

impl Vm {
    /// Warms a guest up, or a new one where there is none yet, and answers what is asked
    /// meanwhile.
    pub(super) async fn warm_up(&mut self, guest: Option<Guest>) -> WarmUp {
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let (definition, flag) = (self.definition.clone(), Arc::clone(&wanted.0));
        let mut running = spawn_blocking(move || run(&definition, guest, &flag));
        self.publish(VmPhase::Running, None);
        loop {
            tokio::select! {
                ended = &mut running => return match ended {
                    Ok(Ok(guest)) => WarmUp::Done(Box::new(guest)),
                    Ok(Err(reason)) => WarmUp::Failed(reason),
                    Err(_) => WarmUp::Failed("an error in the server's program".to_owned()),
                },
                Some(request) = self.requests.recv() => match request.action {
                    Action::Stop | Action::Delete { force: true } | Action::Cancel { .. } => {
                        return WarmUp::GivenUp(request);
                    }
                    Action::Show { limit } => {
                        let shown = self.show(VmPhase::Running, None, limit);
                        request.answer(shown);
                    }
                    Action::Pace => request.answer_paced(),
                    _ => request.answer(self.refusal("is warming up", "wait, or stop it")),
                }
            }
        }
    }

    /// Carries out what a warm-up was given up for.
    pub(super) fn give_up(&mut self, request: Request) -> super::Life {
        let life = match request.action {
            Action::Delete { .. } => self.forget(),
            _ => self.stopped(VmPhase::Stopped),
        };
        request.answer(Ok(ServerReply::Done));
        life
    }
}
