//! The traffic of others, and what migrations cost it: the silence.

use crate::agenda::{Kind, Turn};
use crate::books::Traffic;
use lazycopy_link::{FlowId, Network, NetworkError, Route};
use lazycopy_units::{Duration, Instant, Rate};
use serde::{Deserialize, Serialize};

/// A neighbour: traffic of another guest over the same cards. It moves bursts of data, one after
/// another: each is sent at most at `rate` and so takes `on` where nothing is in its way, and
/// `off` after its end the next begins. A burst that is slowed down delays those that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The cards that it crosses.
    pub route: Route,
    /// The most that it sends per second.
    pub rate: Rate,
    /// How long a burst takes at this rate: so long at least that it moves a byte. A shorter burst
    /// moves a byte all the same, which is more load than `rate` and `on` ask for.
    pub on: Duration,
    /// From the end of a burst to the next; zero: a steady load.
    pub off: Duration,
    /// When its first burst begins.
    pub begins: Instant,
}

impl Neighbour {
    /// Bytes of a burst, at least one.
    fn burst_bytes(&self) -> u64 {
        let bytes = u128::from(self.rate.bytes_per_sec()) * u128::from(self.on.as_nanos());
        u64::try_from(bytes / 1_000_000_000).unwrap_or(u64::MAX).max(1)
    }
}

/// What a neighbour felt of the migrations, from the first request for one to the instant at which
/// the network had carried the last message of any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighbourReport {
    /// Bytes that it moved.
    pub bytes: u64,
    /// How long it was busy moving them, its pauses left out; 0 where it moved nothing.
    pub busy_time_ns: u64,
    /// How long it would have been, had there been neighbours alone; exact to the byte that is on
    /// its way at the end.
    pub busy_time_alone_ns: u64,
    /// The first by the second; null where it moved nothing.
    pub slowdown: Option<f64>,
    /// Bytes per second over the whole time; null over no time.
    pub bandwidth_mean: Option<u64>,
    /// Ten times the bytes of its busiest tenth of a second, each burst spread evenly over the time
    /// that it took: below the mean where all of it takes less than a tenth of a second.
    pub bandwidth_peak: u64,
}

#[derive(Clone, Debug)]
struct Sender {
    flow: FlowId,
    burst_bytes: u64,
    off: Duration,
    /// Bytes after which the books are closed.
    goal: u64,
    /// Whether it was in the midst of a byte when they were.
    cut_off: bool,
    begins: Instant,
    bytes: u64,
    busy_time: Duration,
    /// Since when it sends, and how much.
    sending: Option<(Instant, u64)>,
}

/// All neighbours on a network.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    senders: Vec<Sender>,
}

impl Neighbours {
    pub(crate) fn new(
        neighbours: &[Neighbour],
        network: &mut Network,
    ) -> Result<Self, NetworkError> {
        let sender = |neighbour: &Neighbour| {
            Ok(Sender {
                flow: network.add_flow(neighbour.route, Some(neighbour.rate))?,
                burst_bytes: neighbour.burst_bytes(),
                off: neighbour.off,
                goal: u64::MAX,
                cut_off: false,
                begins: neighbour.begins,
                bytes: 0,
                busy_time: Duration::ZERO,
                sending: None,
            })
        };
        Ok(Neighbours { senders: neighbours.iter().map(sender).collect::<Result<_, _>>()? })
    }

    pub(crate) fn len(&self) -> usize {
        self.senders.len()
    }

    pub(crate) fn turn(&self, neighbour: usize) -> Turn {
        let sender = &self.senders[neighbour];
        Turn::at(sender.sending.is_none().then_some(sender.begins), Kind::LinkChoice)
    }

    /// It begins its next burst.
    pub(crate) fn act(&mut self, neighbour: usize, now: Instant, network: &mut Network) {
        let sender = &mut self.senders[neighbour];
        let left = sender.goal - sender.bytes;
        let bytes = if left > 0 { left.min(sender.burst_bytes) } else { sender.burst_bytes };
        network.begin(sender.flow, now, bytes);
        sender.sending = Some((now, bytes));
    }

    /// Its burst is over.
    pub(crate) fn transmitted(&mut self, neighbour: usize, now: Instant) {
        let sender = &mut self.senders[neighbour];
        let (began, bytes) = sender.sending.take().expect("a burst that ended has begun");
        if sender.bytes < sender.goal {
            sender.bytes += bytes;
            sender.busy_time += now - began;
        }
        sender.begins = now.saturating_add(sender.off);
    }

    /// The first migration is asked for at `now`: opens the books, before those of `network`. Of a
    /// burst that is on its way only the rest counts.
    pub(crate) fn open(&mut self, now: Instant, network: &Network) {
        for sender in &mut self.senders {
            sender.bytes = 0;
            sender.busy_time = Duration::ZERO;
            if let Some((began, bytes)) = &mut sender.sending {
                let gone = network.progress(sender.flow, now).map_or(0, |(_, gone)| gone);
                (*began, *bytes) = (now, *bytes - gone);
            }
        }
    }

    /// They stop sending, all of them.
    pub(crate) fn leave(&mut self, now: Instant, network: &mut Network) {
        for sender in &mut self.senders {
            if let Some((began, _)) = sender.sending.take() {
                sender.bytes += network.interrupt(sender.flow, now);
                sender.busy_time += now - began;
                sender.cut_off = sender.bytes > 0;
            }
        }
    }

    /// What they felt from `from` to `now`, held against the same neighbours alone, who go on from
    /// how things stood at `from`.
    pub(crate) fn close(
        &mut self,
        [from, now]: [Instant; 2],
        network: &mut Network,
        alone: Traffic,
    ) -> Vec<NeighbourReport> {
        self.leave(now, network);
        let alone = self.busy_times_alone(from, alone);
        let reports = self.senders.iter().zip(alone).map(|(sender, alone)| {
            let meter = network.flow_meter(sender.flow);
            // Where no byte has gone nothing was lost.
            let busy = if sender.bytes > 0 { sender.busy_time.as_nanos() } else { 0 };
            // The byte that was cut off has taken less than all of its time.
            let alone = alone.as_nanos().min(if sender.cut_off { busy } else { u64::MAX });
            NeighbourReport {
                bytes: sender.bytes,
                busy_time_ns: busy,
                busy_time_alone_ns: alone,
                slowdown: (alone > 0).then(|| busy as f64 / alone as f64),
                bandwidth_mean: meter.mean_bytes_per_sec(now - from),
                bandwidth_peak: meter.peak_bytes_per_sec(),
            }
        });
        reports.collect()
    }

    /// How long each would have been busy with the bytes that it moved, had all of them been alone.
    fn busy_times_alone(&self, from: Instant, alone: Traffic) -> Vec<Duration> {
        let Traffic { neighbours: mut alone, mut network } = alone;
        for (sender, moved) in alone.senders.iter_mut().zip(&self.senders) {
            sender.goal = moved.bytes + u64::from(moved.cut_off);
            if let Some((_, bytes)) = sender.sending
                && (1..bytes).contains(&sender.goal)
            {
                // Its first burst was cut off.
                network.interrupt(sender.flow, from);
                network.begin(sender.flow, from, sender.goal);
                sender.sending = Some((from, sender.goal));
            }
        }
        let first_flow = alone.senders.first().map_or(0, |sender| sender.flow.index());
        let mut done = Vec::new();
        while alone.senders.iter().any(|sender| sender.bytes < sender.goal) {
            let turns = (0..alone.senders.len())
                .filter_map(|neighbour| alone.turn(neighbour).get().map(|(at, _)| (at, neighbour)));
            let begins = turns.min();
            let ends = network.next_completion();
            match (begins, ends) {
                (Some((at, neighbour)), ends) if ends.is_none_or(|ends| at < ends) => {
                    alone.act(neighbour, at, &mut network);
                }
                (_, Some(at)) => {
                    done.clear();
                    network.complete(at, &mut done);
                    done.iter().for_each(|flow| alone.transmitted(flow.index() - first_flow, at));
                }
                _ => break,
            }
        }
        alone.senders.iter().map(|sender| sender.busy_time).collect()
    }
}
