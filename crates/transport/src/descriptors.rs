//! How many connections the system lets this process have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Asks for as many file descriptors as the system's hard limit allows, and gives what there are
/// now. The usual soft limit of 1,024 is there for programs that use `select`.
pub fn raise_descriptor_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Some(hard);
    }
    Some(soft)
}
