//! Moving many guests at once: which, where to, and which share of the link each has.

use super::{Fleet, FleetError, Load, Move, Pool, Rebalancing, Room, Vm, balance, spread};
use lazycopy_link::{LinkParameters, LinkSpec};
use lazycopy_protocol::control::VmPhase;
use lazycopy_units::Rate;
use std::collections::BTreeSet;

/// A guest that stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The guest.
    pub vm: String,
    /// Why, and what would be right.
    pub why: String,
}

/// How a server is to be emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evacuation {
    /// Guests to be migrated, in that order: the largest first.
    pub moves: Vec<Move>,
    /// Guests that do not run and have no memory: what they are is defined elsewhere.
    pub relocations: Vec<Move>,
    /// Guests on their way from or to the server already; their end is awaited.
    pub under_way: Vec<String>,
    /// Guests that stay.
    pub stays: Vec<Stay>,
}

impl Evacuation {
    /// Whether no guest is on the server or on its way to it.
    pub fn is_empty(&self) -> bool {
        *self == Evacuation::default()
    }
}

/// The link of each of several migrations that share one: an equal part of its bandwidth, in whole
/// bytes a second and at least one of them.
///
/// The share is fixed for the whole migration: what one leaves unused, or no longer needs, the
/// others do not get. So their sum is never more than the link has, and each run is one that can
/// be made again by itself. Where no link is modelled the sockets share what there is among
/// themselves.
pub fn fair_share(link: LinkSpec, sharers: u64) -> LinkSpec {
    let LinkSpec::Modelled(link) = link else { return link };
    let share = (link.bandwidth.bytes_per_sec() / sharers.max(1)).max(1);
    let bandwidth = Rate::from_bytes_per_sec(share).unwrap_or(link.bandwidth);
    LinkSpec::Modelled(LinkParameters { bandwidth, ..link })
}

impl Fleet {
    /// Servers whose guests are being moved off.
    pub fn evacuating(&self) -> impl Iterator<Item = &str> {
        self.evacuating.iter().map(String::as_str)
    }

    /// Whether a command that moves several guests is at work.
    pub fn is_moving_gangs(&self) -> bool {
        self.rebalancing || !self.evacuating.is_empty()
    }

    /// The servers of these names, or all that take guests, but for the one that is evacuated.
    fn targets(&self, from: &str, named: &[String]) -> Result<Vec<Room>, FleetError> {
        if named.is_empty() {
            let mut rooms = self.rooms();
            rooms.retain(|room| room.server != from);
            return Ok(rooms);
        }
        let names: BTreeSet<&str> = named.iter().map(String::as_str).collect();
        let room = |name: &str| match name == from {
            true => Err(FleetError::EvacuatedToItself { server: name.to_owned() }),
            false => self.open_server(name).map(|server| self.room(name, server)),
        };
        names.into_iter().map(room).collect()
    }

    /// How a server would be emptied, onto these servers or all others that take guests.
    ///
    /// # Errors
    /// When there is no such server, or one of those named takes no guests.
    pub fn plan_evacuation(&self, from: &str, to: &[String]) -> Result<Evacuation, FleetError> {
        self.server(from)?;
        let targets = self.targets(from, to)?;
        let mut plan = Evacuation::default();
        let (mut running, mut idle) = (Vec::new(), Vec::new());
        for (name, vm) in self.vms() {
            let load = Load { vm: name.to_owned(), frames: vm.frames.into() };
            match self.migration_of(name) {
                Some((_, migration))
                    if migration.source == from || migration.destination == from =>
                {
                    plan.under_way.push(load.vm);
                }
                _ if vm.server != from => {}
                _ => match Standing::of(vm) {
                    Standing::Migrates => running.push(load),
                    Standing::Relocates => idle.push(load),
                    Standing::Stays(why) => {
                        plan.stays.push(Stay { vm: load.vm, why: why.to_owned() })
                    }
                },
            }
        }
        let targets = self.place(&mut plan, from, running, targets, |plan| &mut plan.moves);
        self.place(&mut plan, from, idle, targets, |plan| &mut plan.relocations);
        Ok(plan)
    }

    /// Places guests, and gives back what room is left.
    fn place(
        &self,
        plan: &mut Evacuation,
        from: &str,
        loads: Vec<Load>,
        mut targets: Vec<Room>,
        list: impl Fn(&mut Evacuation) -> &mut Vec<Move>,
    ) -> Vec<Room> {
        let placement = spread(loads, &targets);
        for (load, to) in placement.placed {
            if let Some(room) = targets.iter_mut().find(|room| room.server == to) {
                room.take(load.frames);
            }
            let (vm, frames, from) = (load.vm, load.frames, from.to_owned());
            list(plan).push(Move { vm, frames, from, to });
        }
        let stays = placement
            .left
            .into_iter()
            .map(|load| Stay { why: no_room(&load, &targets), vm: load.vm });
        plan.stays.extend(stays);
        targets
    }

    /// Another server for one guest: of those of these names, or of all others that take guests,
    /// the one with most free frames that has not been `tried`.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn place_again(&self, vm: &str, to: &[String], tried: &[String]) -> Result<String, String> {
        let guest = self.vm(vm).map_err(|error| error.to_string())?;
        let mut targets = match to.is_empty() {
            true => self.rooms(),
            false => {
                let open = |name: &String| Some(self.room(name, self.open_server(name).ok()?));
                to.iter().filter_map(open).collect()
            }
        };
        targets.retain(|room| room.server != guest.server && !tried.contains(&room.server));
        let load = Load { vm: vm.to_owned(), frames: guest.frames.into() };
        let placement = spread(vec![load.clone()], &targets);
        let placed = placement.placed.into_iter().next();
        placed.map(|(_, server)| server).ok_or_else(|| no_room(&load, &targets))
    }

    /// Begins to evacuate a server; the plan's guests are promised the frames that it gives them.
    ///
    /// # Errors
    /// When that, or a rebalancing, is at work already.
    pub fn begin_evacuation(&mut self, from: &str, plan: &Evacuation) -> Result<(), FleetError> {
        if self.rebalancing {
            let what = "guests are moved by server rebalance".to_owned();
            return Err(FleetError::GuestsAreMoved { what });
        }
        if !self.evacuating.insert(from.to_owned()) {
            return Err(FleetError::Evacuating { server: from.to_owned() });
        }
        self.promise(plan.moves.iter());
        Ok(())
    }

    /// A server is evacuated, as far as it could be.
    pub fn end_evacuation(&mut self, from: &str) {
        self.evacuating.remove(from);
    }

    /// What would have to be moved so that the taken shares of the servers that take guests are
    /// even. Guests under way count where they are going.
    pub fn plan_rebalancing(&self) -> Rebalancing {
        let pools = self.rooms().into_iter().map(|room| {
            let may_go = |(name, vm): &(&str, &Vm)| {
                vm.server == room.server
                    && Standing::of(vm) == Standing::Migrates
                    && self.migration_of(name).is_none()
            };
            let load =
                |(name, vm): (&str, &Vm)| Load { vm: name.to_owned(), frames: vm.frames.into() };
            let movable = self.vms().filter(may_go).map(load).collect();
            Pool { movable, room }
        });
        balance(pools.collect())
    }

    /// Begins to rebalance; the guests are promised the frames that the plan gives them.
    ///
    /// # Errors
    /// When another command is moving guests.
    pub fn begin_rebalancing(&mut self, plan: &Rebalancing) -> Result<(), FleetError> {
        let what = match (self.rebalancing, self.evacuating.iter().next()) {
            (true, _) => "the servers are being rebalanced already".to_owned(),
            (false, Some(server)) => format!("server \"{server}\" is being evacuated"),
            (false, None) => {
                self.rebalancing = true;
                self.promise(plan.moves.iter().map(|step| &step.moved));
                return Ok(());
            }
        };
        Err(FleetError::GuestsAreMoved { what })
    }

    /// The servers are rebalanced, as far as they could be.
    pub fn end_rebalancing(&mut self) {
        self.rebalancing = false;
    }

    fn promise<'a>(&mut self, moves: impl Iterator<Item = &'a Move>) {
        self.promised.extend(moves.map(|planned| (planned.vm.clone(), planned.to.clone())));
    }

    /// A guest's promised frames are needed no more.
    pub fn release_promise(&mut self, vm: &str) {
        self.promised.remove(vm);
    }
}

/// How a guest can get to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// By a migration.
    Migrates,
    /// It has no memory: by being defined there.
    Relocates,
    /// Not at all.
    Stays(&'static str),
}

impl Standing {
    fn of(vm: &Vm) -> Standing {
        match vm.phase {
            VmPhase::Created | VmPhase::Running => Standing::Migrates,
            VmPhase::Stopped | VmPhase::Failed => Standing::Relocates,
            VmPhase::Suspended => Standing::Stays("it is suspended: resume it first"),
            VmPhase::MigratingOut | VmPhase::MigratingIn => {
                Standing::Stays("an earlier manager's migration of it has yet to end: wait for it")
            }
        }
    }
}

fn no_room(load: &Load, targets: &[Room]) -> String {
    match targets.iter().max_by_key(|room| room.free()) {
        Some(room) => format!(
            "it needs {} frames, and the most that a server has left for it are {} on \"{}\"",
            load.frames,
            room.free(),
            room.server
        ),
        None => "no other server takes guests: start one, or have one that is draining take them \
                 again with server undrain"
            .to_owned(),
    }
}
