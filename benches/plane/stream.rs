//! A plain stream: one process sends its memory over one connection, another receives it into
//! memory that nobody has touched.

use crate::children::{Child, Listening, Part, now_ns, say};
use crate::figures::{listed, median};
use crate::sockets::{SocketOptions, agreed, congestion_of};
use crate::{Options, conditions, mapping};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Bytes of a write, and of the room for a read, among which the stream has its own best.
pub const CHUNKS: [usize; 2] = [64 * 1024, 1024 * 1024];

/// One stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// How much, in bytes.
    pub bytes: usize,
    /// What a write has, and a read has room for, in bytes.
    pub chunk: usize,
    /// What is set on both sockets.
    pub sockets: SocketOptions,
}

/// What the sender says at its end.
#[derive(Serialize, Deserialize)]
pub struct Sent {
    first_ns: u64,
    congestion: String,
}

/// What the receiver says at its end.
#[derive(Serialize, Deserialize)]
pub struct Received {
    last_ns: u64,
    congestion: String,
    huge_bytes: u64,
}

/// What came of one stream.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// From the first byte's sending to the last one's receipt, in bytes per nanosecond (GB/s).
    pub goodput: f64,
    /// The congestion control that both sockets had.
    pub congestion: String,
    /// The share of the received memory that lies in huge pages.
    pub huge_share: f64,
}

impl Transfer {
    /// Runs it between two processes.
    pub fn run(&self) -> Result<Streamed> {
        let receiver = Child::start(Part::Receive(self.clone()), None)?;
        let Listening { address } = receiver.line()?;
        let sender = Child::start(Part::Send(self.clone(), address), None)?;
        let sent: Sent = sender.end()?;
        let received: Received = receiver.end()?;
        let took = received.last_ns.saturating_sub(sent.first_ns).max(1);
        Ok(Streamed {
            goodput: self.bytes as f64 / took as f64,
            congestion: agreed(&sent.congestion, &received.congestion)?.to_owned(),
            huge_share: received.huge_bytes as f64 / self.bytes as f64,
        })
    }

    /// The sender's part.
    pub fn send(&self, address: SocketAddr) -> Result<Sent> {
        let memory = mapping::filled(self.bytes)?;
        let mut stream = self.sockets.connect(address)?;
        let first_ns = now_ns()?;
        for chunk in memory.chunks(self.chunk) {
            stream.write_all(chunk)?;
        }
        Ok(Sent { first_ns, congestion: congestion_of(&stream)? })
    }

    /// The receiver's part: it says where it listens, then what it received.
    pub fn receive(&self) -> Result<Received> {
        let mut memory = mapping::fresh(self.bytes)?;
        let listener = self.sockets.listen()?;
        say(&Listening { address: listener.local_addr()? })?;
        let (mut stream, _) = listener.accept()?;
        let mut filled = 0;
        while filled < self.bytes {
            let room = self.chunk.min(self.bytes - filled);
            match stream.read(&mut memory[filled..][..room])? {
                0 => bail!("the stream ended after {filled} of {} bytes", self.bytes),
                read => filled += read,
            }
        }
        let last_ns = now_ns()?;
        mapping::check(&memory)?;
        let congestion = congestion_of(&stream)?;
        Ok(Received { last_ns, congestion, huge_bytes: mapping::huge_bytes()? })
    }
}

/// Measures and prints: every size in turn, as often as asked for. A first stream does not count: on
/// a machine that is itself a guest, memory used for the first time is slow.
pub fn report(options: &Options) -> Result<()> {
    let transfer =
        |chunk| Transfer { bytes: options.bytes(), chunk, sockets: options.sockets() }.run();
    let Streamed { congestion, huge_share, .. } = transfer(CHUNKS[1])?;
    let mut goodputs = CHUNKS.map(|_| Vec::new());
    for _ in 0..options.repeats {
        for (chunk, goodputs) in CHUNKS.into_iter().zip(&mut goodputs) {
            goodputs.push(transfer(chunk)?.goodput);
        }
    }
    println!("\nplain stream of {} MiB, {congestion}, received into a fresh mapping", options.size);
    println!("({:.0} % of it huge pages), in GB/s", huge_share * 100.0);
    for (chunk, goodputs) in CHUNKS.into_iter().zip(&goodputs) {
        let (middle, best) = (median(goodputs), goodputs.iter().copied().fold(0.0, f64::max));
        let each = listed(goodputs);
        println!("  {:4} KiB a write: {middle:.2}, at best {best:.2} (each: {each})", chunk / 1024);
    }
    let best = goodputs.iter().map(|goodputs| median(goodputs)).fold(0.0, f64::max);
    println!("  its own best: {best:.2}, the higher of the medians; load {}", conditions::load());
    Ok(())
}
