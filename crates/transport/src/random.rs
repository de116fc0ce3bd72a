//! Random bytes of the system.

use lazycopy_protocol::control::MigrationKey;

/// So many random bytes.
///
/// # Panics
/// When the system gives none: nothing could be proven then, and going on would be worse.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A key that no migration has had.
///
/// # Panics
/// As [`random_bytes`].
pub fn new_migration_key() -> MigrationKey {
    MigrationKey::new(random_bytes())
}
