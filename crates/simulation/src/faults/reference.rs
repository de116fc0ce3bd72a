//! The guest that was never migrated, beside the one that was.

use lazycopy_guest::{Guest, GuestSpec, Registers};
use lazycopy_units::{Duration, Instant};
use std::sync::Arc;

/// The reference run's guest, which goes along: cheap to ask again and again.
#[derive(Debug)]
pub struct ReferenceGuest {
    spec: Arc<GuestSpec>,
    guest: Option<Guest>,
}

impl ReferenceGuest {
    /// The reference of that guest, at its beginning.
    pub fn new(spec: &Arc<GuestSpec>) -> Self {
        ReferenceGuest { spec: Arc::clone(spec), guest: None }
    }

    /// The reference run's guest when it has completed so many accesses.
    ///
    /// # Errors
    /// In words, when its workload fails.
    pub fn at(&mut self, accesses: u64) -> Result<&Guest, String> {
        let is_behind = |guest: &Guest| guest.registers().accesses <= accesses;
        let mut guest = match self.guest.take().filter(is_behind) {
            Some(guest) => guest,
            None => Guest::new(Arc::clone(&self.spec)).map_err(|error| error.to_string())?,
        };
        if guest.registers().accesses < accesses {
            guest
                .run_to(Instant::ZERO, accesses, Duration::ZERO)
                .map_err(|error| error.to_string())?;
        }
        Ok(self.guest.insert(guest))
    }

    /// The reference run's guest at the same access, if a guest with these registers has seen what
    /// it has.
    ///
    /// # Errors
    /// In words, when it has seen something else.
    pub fn check(&mut self, registers: &Registers) -> Result<&Guest, String> {
        let reference = self.at(registers.accesses)?;
        match reference.registers().digest == registers.digest {
            true => Ok(reference),
            false => {
                Err(format!("after {} accesses it has seen something else", registers.accesses))
            }
        }
    }
}
