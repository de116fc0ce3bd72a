//! Evening out what servers have taken: a pure function of sizes and room.

use super::placement::share_of;
use super::{Load, Move, Room};

/// A server that takes part, and those of its guests that may be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its room.
    pub room: Room,
    /// Guests that may be moved.
    pub movable: Vec<Load>,
}

/// A move, and what it does to the taken shares of its two servers.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancingMove {
    /// The move.
    pub moved: Move,
    /// The share of the server that it leaves, before and after.
    pub from_share: (f64, f64),
    /// The share of the server that it goes to, before and after.
    pub to_share: (f64, f64),
}

/// What is to be moved so that the servers' taken shares are even, and what comes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rebalancing {
    /// The moves, the one that evens most first. No guest is moved twice.
    pub moves: Vec<BalancingMove>,
    /// The servers as they are.
    pub before: Vec<Room>,
    /// The servers once all has been moved.
    pub after: Vec<Room>,
}

/// Evens out the taken shares of servers, greedily: each move is the one that lowers the sum over
/// the servers of taken²/frames most, which is least where all shares are equal. So large guests
/// go first, few are moved, and the plan ends where no single move makes the shares more even.
///
/// No move widens the range from the lowest share to the highest. No server is overfull at any
/// time, in whatever order the moves are made: a guest gets frames that are free now, and none
/// that another move will free.
pub fn balance(mut pools: Vec<Pool>) -> Rebalancing {
    pools.retain(|pool| pool.room.frames > 0);
    for pool in &mut pools {
        pool.movable.retain(|load| load.frames > 0 && load.frames <= pool.room.taken);
        pool.movable.sort_by(|a, b| a.vm.cmp(&b.vm));
    }
    let rooms = |pools: &[Pool]| pools.iter().map(|pool| pool.room.clone()).collect();
    let mut rebalancing = Rebalancing { before: rooms(&pools), ..Rebalancing::default() };
    while let Some(step) = best_step(&pools) {
        rebalancing.moves.push(step.make(&mut pools));
    }
    rebalancing.after = rooms(&pools);
    rebalancing
}

/// A guest of one pool that may go to another.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    guest: usize,
    to: usize,
}

impl Step {
    fn make(self, pools: &mut [Pool]) -> BalancingMove {
        let share = |pools: &[Pool], pool: usize| pools[pool].room.share();
        let before = (share(pools, self.from), share(pools, self.to));
        let Load { vm, frames } = pools[self.from].movable.remove(self.guest);
        // Its old server holds its frames until it has left.
        pools[self.from].room.taken = pools[self.from].room.taken.saturating_sub(frames);
        pools[self.to].room.take(frames);
        let server = |pool: usize| pools[pool].room.server.clone();
        let moved = Move { vm, frames, from: server(self.from), to: server(self.to) };
        BalancingMove {
            moved,
            from_share: (before.0, share(pools, self.from)),
            to_share: (before.1, share(pools, self.to)),
        }
    }
}

/// The move that evens most.
fn best_step(pools: &[Pool]) -> Option<Step> {
    let range = range(pools.iter().map(|pool| pool.room.share()));
    let mut best: Option<(f64, Step)> = None;
    for (from, pool) in pools.iter().enumerate() {
        for (guest, load) in pool.movable.iter().enumerate() {
            for (to, other) in pools.iter().enumerate() {
                let fits = from != to && load.frames <= other.room.free();
                let gain = gain(load.frames, &pool.room, &other.room);
                if !fits || gain <= best.map_or(0.0, |(gain, _)| gain) {
                    continue;
                }
                let step = Step { from, guest, to };
                if range_after(step, pools) <= range {
                    best = Some((gain, step));
                }
            }
        }
    }
    best.map(|(_, step)| step)
}

/// The difference between the highest and the lowest share.
fn range(shares: impl Iterator<Item = f64> + Clone) -> f64 {
    shares.clone().fold(0.0, f64::max) - shares.fold(f64::INFINITY, f64::min)
}

fn range_after(step: Step, pools: &[Pool]) -> f64 {
    let frames = pools[step.from].movable[step.guest].frames;
    range(pools.iter().enumerate().map(|(number, pool)| {
        let taken = match number {
            number if number == step.from => pool.room.taken.saturating_sub(frames),
            number if number == step.to => pool.room.taken.saturating_add(frames),
            _ => pool.room.taken,
        };
        share_of(taken, pool.room.frames)
    }))
}

/// How far the first share is above the second, times the frames of both: below 2^125, since the
/// frames taken are those of guests, far fewer than 2^60.
fn cross(a: &Room, b: &Room) -> i128 {
    i128::from(a.taken) * i128::from(b.frames) - i128::from(b.taken) * i128::from(a.frames)
}

/// By how much the sum of taken²/frames falls; not above zero where it does not. Whether it does
/// is decided in integers.
fn gain(frames: u64, from: &Room, to: &Room) -> f64 {
    let both = i128::from(from.frames) + i128::from(to.frames);
    let fall = 2 * cross(from, to) - i128::from(frames) * both;
    frames as f64 * fall as f64 / (from.frames as f64 * to.frames as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn pool(server: &str, frames: u64, sizes: &[u64]) -> Pool {
        let taken = sizes.iter().sum();
        let load = |(number, frames): (usize, &u64)| Load {
            vm: format!("{server}{number}"),
            frames: *frames,
        };
        Pool {
            room: Room { server: server.to_owned(), frames, taken, held: taken },
            movable: sizes.iter().enumerate().map(load).collect(),
        }
    }

    fn moved(rebalancing: &Rebalancing) -> Vec<(&str, &str)> {
        rebalancing.moves.iter().map(|step| (&*step.moved.vm, &*step.moved.to)).collect()
    }

    fn taken(rooms: &[Room]) -> Vec<u64> {
        rooms.iter().map(|room| room.taken).collect()
    }

    #[test]
    fn an_even_fleet_is_left_alone() {
        let even = balance(vec![pool("a", 100, &[20, 20]), pool("b", 200, &[40, 40])]);
        assert_eq!(even.moves, []);
        assert_eq!(balance(Vec::new()), Rebalancing::default());
        assert_eq!(balance(vec![pool("a", 100, &[20])]).moves, []);
    }

    #[test]
    fn one_large_guest_is_moved_rather_than_many_small_ones() {
        let plan = balance(vec![pool("a", 100, &[10, 10, 40, 10, 10]), pool("b", 100, &[])]);
        assert_eq!(moved(&plan), [("a2", "b")]);
        assert_eq!(taken(&plan.after), [40, 40]);
        assert_eq!((plan.moves[0].from_share, plan.moves[0].to_share), ((0.8, 0.4), (0.0, 0.4)));
    }

    #[test]
    fn shares_are_evened_and_not_frames() {
        let plan = balance(vec![pool("a", 100, &[20; 3]), pool("b", 200, &[])]);
        assert_eq!(taken(&plan.after), [20, 40]);
    }

    #[test]
    fn frames_of_guests_that_have_yet_to_leave_are_not_given_away() {
        let mut full = pool("b", 40, &[20]);
        full.room.held = 40;
        assert_eq!(balance(vec![pool("a", 100, &[20; 5]), full]).moves, []);
    }

    #[test]
    fn a_server_of_any_size_that_a_peer_may_claim_is_no_overflow() {
        let plan = balance(vec![pool("a", u64::MAX, &[20, 20]), pool("b", 40, &[20])]);
        assert_eq!(moved(&plan), [("b0", "a")]);
        assert!(balance(vec![pool("a", 0, &[]), pool("b", 40, &[20])]).moves.is_empty());
    }

    proptest! {
        #[test]
        fn a_plan_ends_overfills_nobody_and_leaves_the_shares_no_wider_apart(
            servers in prop::collection::vec(
                (prop::collection::vec(1u64..50, 0..12), 0u64..400, 0u64..100), 1..7
            ),
        ) {
            let pools: Vec<Pool> = servers
                .iter()
                .enumerate()
                .map(|(number, (sizes, spare, leaving))| {
                    let frames = sizes.iter().sum::<u64>() + spare + 1;
                    let mut pool = pool(&format!("s{number}-"), frames, sizes);
                    pool.room.held += leaving.min(spare);
                    pool
                })
                .collect();
            let guests: usize = pools.iter().map(|pool| pool.movable.len()).sum();
            let plan = balance(pools.clone());
            prop_assert!(plan.moves.len() <= guests);
            let vms: BTreeSet<&str> = plan.moves.iter().map(|step| &*step.moved.vm).collect();
            prop_assert_eq!(vms.len(), plan.moves.len(), "a guest is moved once");
            for (before, after) in plan.before.iter().zip(&plan.after) {
                let sum = |which: fn(&Move) -> &str| -> u64 {
                    let moves = plan.moves.iter().map(|step| &step.moved);
                    moves.filter(|step| which(step) == before.server).map(|step| step.frames).sum()
                };
                let (arrived, left) = (sum(|step| &step.to), sum(|step| &step.from));
                prop_assert_eq!(after.taken, before.taken + arrived - left);
                prop_assert!(before.held + arrived <= before.frames.max(before.held));
            }
            let width = |rooms: &[Room]| range(rooms.iter().map(Room::share));
            prop_assert!(width(&plan.after) <= width(&plan.before));
            let again = pools
                .into_iter()
                .zip(&plan.after)
                .map(|(pool, room)| {
                    let gone = |load: &Load| vms.contains(&*load.vm);
                    let movable = pool.movable.into_iter().filter(|load| !gone(load)).collect();
                    Pool { room: room.clone(), movable }
                })
                .collect();
            prop_assert_eq!(balance(again).moves, [], "nothing is left to be moved");
        }
    }
}
