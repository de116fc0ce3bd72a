//! Which guest goes to which server: pure functions of sizes and room.

/// A server's room, in frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The server.
    pub server: String,
    /// All that it has for guests.
    pub frames: u64,
    /// What its guests take once the migrations under way have ended.
    pub taken: u64,
    /// What cannot be given to others now: as `taken`, and what guests on their way off still take.
    pub held: u64,
}

impl Room {
    /// Frames that can be given to a guest now.
    pub fn free(&self) -> u64 {
        self.frames.saturating_sub(self.held)
    }

    /// The taken share of the frames, for people.
    pub fn share(&self) -> f64 {
        share_of(self.taken, self.frames)
    }

    pub(super) fn take(&mut self, frames: u64) {
        self.taken += frames;
        self.held += frames;
    }
}

pub(super) fn share_of(taken: u64, frames: u64) -> f64 {
    taken as f64 / frames.max(1) as f64
}

/// A guest to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The guest.
    pub vm: String,
    /// Its frames.
    pub frames: u64,
}

/// A guest's way from one server to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The guest.
    pub vm: String,
    /// Its frames.
    pub frames: u64,
    /// The server that it leaves.
    pub from: String,
    /// The server that it goes to.
    pub to: String,
}

/// What became of guests to be placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Guests and their servers, in the order in which they were placed: the largest first.
    pub placed: Vec<(Load, String)>,
    /// Guests for which no server has room.
    pub left: Vec<Load>,
}

/// Spreads guests over servers: the largest first, each onto the server with most free frames.
///
/// Where that leaves a guest without room, the tightest fit is tried, too, and taken if it places
/// more guests: a server that is evacuated is to be empty before the others are even.
pub fn spread(loads: Vec<Load>, rooms: &[Room]) -> Placement {
    let wide = place(loads.clone(), rooms, |room| std::cmp::Reverse(room.free()));
    if wide.left.is_empty() {
        return wide;
    }
    let tight = place(loads, rooms, Room::free);
    if tight.left.len() < wide.left.len() { tight } else { wide }
}

/// Places the largest guests first, each where it fits and `rank` is least; the first of equals.
fn place<K: Ord>(mut loads: Vec<Load>, rooms: &[Room], rank: impl Fn(&Room) -> K) -> Placement {
    loads.sort_by(|a, b| b.frames.cmp(&a.frames).then_with(|| a.vm.cmp(&b.vm)));
    let mut rooms = rooms.to_vec();
    let mut placement = Placement::default();
    for load in loads {
        let fitting = rooms.iter_mut().filter(|room| load.frames <= room.free());
        match fitting.min_by_key(|room| rank(room)) {
            Some(room) => {
                room.take(load.frames);
                placement.placed.push((load, room.server.clone()));
            }
            None => placement.left.push(load),
        }
    }
    placement
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn room(server: &str, frames: u64, held: u64) -> Room {
        Room { server: server.to_owned(), frames, taken: held, held }
    }

    fn loads(sizes: &[u64]) -> Vec<Load> {
        let load =
            |(number, frames): (usize, &u64)| Load { vm: format!("v{number}"), frames: *frames };
        sizes.iter().enumerate().map(load).collect()
    }

    fn by_server(placement: &Placement) -> BTreeMap<&str, Vec<u64>> {
        let mut servers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (load, server) in &placement.placed {
            servers.entry(server).or_default().push(load.frames);
        }
        servers
    }

    #[test]
    fn equal_guests_are_spread_evenly_over_equal_servers() {
        let placement = spread(loads(&[20; 8]), &[room("b", 100, 0), room("c", 100, 0)]);
        let servers = by_server(&placement);
        assert_eq!((servers["b"].len(), servers["c"].len()), (4, 4));
    }

    #[test]
    fn the_largest_goes_first_and_where_most_is_free() {
        let placement = spread(loads(&[10, 40, 20]), &[room("b", 100, 50), room("c", 100, 40)]);
        let order: Vec<(u64, &str)> =
            placement.placed.iter().map(|(load, server)| (load.frames, &**server)).collect();
        assert_eq!(order, [(40, "c"), (20, "b"), (10, "b")]);
    }

    #[test]
    fn what_fits_nowhere_is_left_and_the_others_go() {
        let placement = spread(loads(&[10, 60, 20]), &[room("b", 50, 0)]);
        assert_eq!(placement.left, [Load { vm: "v1".to_owned(), frames: 60 }]);
        assert_eq!(by_server(&placement)["b"], [20, 10]);
    }

    #[test]
    fn the_tightest_fit_is_taken_where_it_alone_has_room_for_all() {
        let placement = spread(loads(&[40, 30, 30]), &[room("b", 60, 0), room("c", 50, 0)]);
        assert_eq!(placement.left, []);
        assert_eq!(by_server(&placement)["b"], [30, 30]);
    }

    proptest! {
        #[test]
        fn no_server_is_overfull_and_every_guest_is_in_one_place(
            sizes in prop::collection::vec(1u64..60, 0..40),
            servers in prop::collection::vec((1u64..300, 0u64..300), 0..6),
        ) {
            let rooms: Vec<Room> = servers
                .iter()
                .enumerate()
                .map(|(number, (frames, held))| room(&format!("s{number}"), *frames, *held))
                .collect();
            let placement = spread(loads(&sizes), &rooms);
            let mut seen: Vec<Load> = placement.placed.iter().map(|(load, _)| load.clone()).collect();
            seen.extend(placement.left.clone());
            seen.sort_by(|a, b| a.vm.cmp(&b.vm));
            let mut all = loads(&sizes);
            all.sort_by(|a, b| a.vm.cmp(&b.vm));
            prop_assert_eq!(seen, all);
            let taken = by_server(&placement);
            let mut most_free = 0;
            for room in &rooms {
                let more: u64 = taken.get(&*room.server).into_iter().flatten().sum();
                prop_assert!(more <= room.free());
                most_free = most_free.max(room.free() - more);
            }
            for load in &placement.left {
                prop_assert!(load.frames > most_free, "there is room for {load:?}");
            }
        }
    }
}
