//! A server as in the paper's figures 1 and 2.

use super::{guest_figure, percent, table, table_or};
use lazycopy_protocol::control::{HostSnapshot, HostState, VmPhase, VmSummary};

/// A phase in words.
pub fn phase_name(phase: VmPhase) -> &'static str {
    match phase {
        VmPhase::Created => "created",
        VmPhase::Running => "running",
        VmPhase::Suspended => "suspended",
        VmPhase::Stopped => "stopped",
        VmPhase::MigratingOut => "migrating out",
        VmPhase::MigratingIn => "migrating in",
        VmPhase::Failed => "failed",
    }
}

/// A pool of guests as a table.
pub fn pool_table(vms: &[VmSummary]) -> String {
    let mut pool =
        table(&["guest", "phase", "pages", "frames", "accesses", "miss ratio", "recent"]);
    for vm in vms {
        pool.add_row([
            vm.vm.clone(),
            phase_name(vm.phase).to_owned(),
            vm.pages.to_string(),
            vm.frames.to_string(),
            vm.accesses.to_string(),
            percent(vm.miss_ratio),
            percent(vm.recent_miss_ratio),
        ]);
    }
    table_or(pool, "No guests.")
}

/// A server and its pool.
pub fn host_figure(host: &HostState) -> String {
    format!(
        "Server \"{}\": {} of {} frames taken\n{}\n",
        host.server,
        host.frames_taken,
        host.frames,
        pool_table(&host.vms)
    )
}

/// Both hosts of a migration at one instant, (a) the source and (b) the destination. A side that
/// is `None` has not told its state.
pub fn figure(
    title: &str,
    vm: &str,
    source: Option<&HostSnapshot>,
    destination: Option<&HostSnapshot>,
) -> String {
    let side = |letter, role, snapshot: Option<&HostSnapshot>| {
        let body = match snapshot {
            None => "  (not known: the server is gone)\n".to_owned(),
            Some(snapshot) => {
                let guest = match &snapshot.guest {
                    Some(guest) => format!("Guest \"{vm}\"\n{}", guest_figure(guest)),
                    None => format!("Guest \"{vm}\" is not in this server's memory.\n"),
                };
                format!("{}\n{guest}", host_figure(&snapshot.host))
            }
        };
        format!("({letter}) {role}\n\n{body}")
    };
    format!(
        "{title}\n\n{}\n{}",
        side('a', "Source host", source),
        side('b', "Destination host", destination)
    )
}
