//! The network between the hosts, and what the system makes of it.
//!
//! turmoil sends nothing again, and asks nobody whether he is there. So a link that carries nothing
//! for [`DEAD_LINK`] breaks its connections here, as the system does it; and a connection over
//! which something was lost, which the system would have sent again, breaks then, too.

use super::case::LATENCY;
use super::fault::ShellFault;
use lazycopy_migration::Side;
use lazycopy_simulation::faults::Way;
use lazycopy_transport::DEAD_LINK;
use lazycopy_transport::simulated::{Ends, ends};
use std::io::ErrorKind;
use std::time::Duration;
use turmoil::Sim;

/// The hosts, by name.
pub(crate) const MANAGER: &str = "manager";

/// A side's host.
pub(crate) fn host(side: Side) -> &'static str {
    match side {
        Side::Source => "a",
        Side::Destination => "b",
    }
}

/// The other side.
pub(crate) fn other(side: Side) -> Side {
    match side {
        Side::Source => Side::Destination,
        Side::Destination => Side::Source,
    }
}

/// A link between two hosts that is not as it should be.
struct Trouble {
    hosts: (&'static str, &'static str),
    fault: ShellFault,
    since: Duration,
    until: Duration,
    /// Connections over which something was lost.
    marred: Vec<Ends>,
    is_over: bool,
    has_broken: bool,
}

/// All links that are in trouble, or were.
#[derive(Default)]
pub(crate) struct Links {
    troubles: Vec<Trouble>,
}

impl Links {
    /// A fault of the network begins.
    pub(crate) fn strike(&mut self, sim: &Sim<'_>, now: Duration, fault: ShellFault) {
        let (a, b) = (host(Side::Source), host(Side::Destination));
        let pairs = match fault {
            ShellFault::HoldManager(_) => vec![(MANAGER, a), (MANAGER, b)],
            _ => vec![(a, b)],
        };
        for hosts in pairs {
            let until = now + fault.lasts();
            let (marred, is_over, has_broken) = (Vec::new(), false, false);
            let since = now;
            self.troubles.push(Trouble { hosts, fault, since, until, marred, is_over, has_broken });
            self.settle(sim, hosts);
        }
    }

    /// Resets the connections between the servers, at one end or at both.
    pub(crate) fn cut(sim: &Sim<'_>, at: &[Side]) {
        for side in at {
            let (here, there) = (host(*side), host(other(*side)));
            ends(sim.lookup(here), sim.lookup(there)).break_off(ErrorKind::ConnectionReset);
        }
    }

    /// Resets the manager's connections with the servers.
    pub(crate) fn cut_manager(sim: &Sim<'_>) {
        for side in [Side::Source, Side::Destination] {
            for ends in both_ends(sim, (MANAGER, host(side))) {
                ends.break_off(ErrorKind::ConnectionReset);
            }
        }
    }

    /// What time does to them.
    pub(crate) fn tend(&mut self, sim: &Sim<'_>, now: Duration) {
        for number in 0..self.troubles.len() {
            let trouble = &mut self.troubles[number];
            let hosts = trouble.hosts;
            if !trouble.is_over && now >= trouble.until {
                trouble.is_over = true;
                if trouble.loses() {
                    trouble.marred = both_ends(sim, hosts).into();
                }
                self.settle(sim, hosts);
            }
            let trouble = &mut self.troubles[number];
            if !trouble.has_broken && trouble.kills_links() && now >= trouble.since + DEAD_LINK {
                trouble.has_broken = true;
                if !trouble.is_over {
                    trouble.marred = both_ends(sim, hosts).into();
                }
                for ends in &trouble.marred {
                    ends.break_off(ErrorKind::TimedOut);
                }
            }
        }
    }

    /// Whether nothing is to be expected of them any more.
    pub(crate) fn are_calm(&self) -> bool {
        self.troubles.iter().all(|it| it.is_over && (it.has_broken || !it.kills_links()))
    }

    /// Puts a link into the state that its troubles leave it in.
    fn settle(&self, sim: &Sim<'_>, hosts: (&'static str, &'static str)) {
        let (a, b) = hosts;
        sim.release(a, b);
        sim.set_link_latency(a, b, LATENCY.1);
        let present = self.troubles.iter().filter(|it| it.hosts == hosts && !it.is_over);
        let mut present: Vec<ShellFault> = present.map(|it| it.fault).collect();
        // What loses most comes last, and decides.
        present.sort_by_key(|fault| match fault {
            ShellFault::Delay { .. } => 0,
            ShellFault::Hold(_) | ShellFault::HoldManager(_) => 1,
            ShellFault::OneWay(..) => 2,
            _ => 3,
        });
        let loses = present.iter().any(ShellFault::loses);
        for fault in present {
            match fault {
                ShellFault::Delay { takes, .. } => sim.set_link_latency(a, b, takes),
                ShellFault::Hold(_) | ShellFault::HoldManager(_) if !loses => sim.hold(a, b),
                ShellFault::OneWay(Way::Forward, _) => sim.partition_oneway(a, b),
                ShellFault::OneWay(Way::Backward, _) => sim.partition_oneway(b, a),
                ShellFault::Partition(_) => sim.partition(a, b),
                _ => {}
            }
        }
    }
}

impl ShellFault {
    fn loses(&self) -> bool {
        matches!(self, ShellFault::Partition(_) | ShellFault::OneWay(..))
    }
}

impl Trouble {
    fn loses(&self) -> bool {
        self.fault.loses()
    }

    /// Whether connections break by it.
    fn kills_links(&self) -> bool {
        match self.fault {
            ShellFault::Delay { .. } => false,
            _ => self.loses() || self.until >= self.since + DEAD_LINK,
        }
    }
}

fn both_ends(sim: &Sim<'_>, (a, b): (&str, &str)) -> [Ends; 2] {
    let (a, b) = (sim.lookup(a), sim.lookup(b));
    [ends(a, b), ends(b, a)]
}
