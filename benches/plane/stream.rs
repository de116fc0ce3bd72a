//! A plain stream: one process sends its memory over one connection, another receives it into
//! memory that nobody has touched.

use crate::children::{Child, Listening, Part, say};
use crate::conditions::{Moment, Patience, UNDISTURBED, others};
use crate::figures::{listed, median};
use crate::sockets::{SocketOptions, agreed, congestion_of};
use crate::{Options, mapping};
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
    first: Moment,
    last: Moment,
    congestion: String,
}

/// What the receiver says at its end.
#[derive(Serialize, Deserialize)]
pub struct Received {
    first: Moment,
    last: Moment,
    congestion: String,
    huge_bytes: u64,
}

/// What came of one stream.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// From the first byte's sending to the last one's receipt, in GB/s.
    pub goodput: f64,
    /// How many processors others used meanwhile.
    pub others: f64,
    /// The congestion control that both sockets had.
    pub congestion: String,
    /// The share of the received memory that lies in huge pages.
    pub huge_share: f64,
}

impl Transfer {
    /// Runs it between two processes, at a moment that is quiet if patience lasts.
    pub fn run(&self, patience: &mut Patience) -> Result<Streamed> {
        let sender = Child::start(Part::Send(self.clone()), None)?;
        let Listening { address } = sender.line()?;
        patience.await_quiet()?;
        let receiver = Child::start(Part::Receive(self.clone(), address), None)?;
        let received: Received = receiver.end()?;
        let sent: Sent = sender.end()?;
        let own = [&sent.first, &received.first].map(|moment| moment.own);
        let own = sent.last.own + received.last.own - own[0] - own[1];
        Ok(Streamed {
            goodput: self.bytes as f64 / 1e9 / (received.last.at - sent.first.at),
            others: others(&sent.first, &received.last, own),
            congestion: agreed(&sent.congestion, &received.congestion)?.to_owned(),
            huge_share: received.huge_bytes as f64 / self.bytes as f64,
        })
    }

    /// The sender's part: it says where it listens when its memory is filled, and sends to who comes.
    pub fn send(&self) -> Result<Sent> {
        let memory = mapping::filled(self.bytes)?;
        let listener = self.sockets.listen()?;
        say(&Listening { address: listener.local_addr()? })?;
        let (mut stream, _) = listener.accept()?;
        let first = Moment::now()?;
        for chunk in memory.chunks(self.chunk) {
            stream.write_all(chunk)?;
        }
        Ok(Sent { first, last: Moment::now()?, congestion: congestion_of(&stream)? })
    }

    /// The receiver's part.
    pub fn receive(&self, address: SocketAddr) -> Result<Received> {
        mapping::warm(self.bytes)?;
        let mut memory = mapping::fresh(self.bytes)?;
        let mut stream = self.sockets.connect(address)?;
        let first = Moment::now()?;
        let mut filled = 0;
        while filled < self.bytes {
            let room = self.chunk.min(self.bytes - filled);
            match stream.read(&mut memory[filled..][..room])? {
                0 => bail!("the stream ended after {filled} of {} bytes", self.bytes),
                read => filled += read,
            }
        }
        let last = Moment::now()?;
        mapping::check(&memory)?;
        let congestion = congestion_of(&stream)?;
        Ok(Received { first, last, congestion, huge_bytes: mapping::huge_bytes()? })
    }
}

/// What came of one size of writes, stream by stream.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Bytes of a write.
    pub chunk: usize,
    /// Each stream that counts: the undisturbed ones, or all where each was disturbed.
    pub streams: Vec<Streamed>,
}

impl Measured {
    /// Goodput of each, in GB/s.
    pub fn goodputs(&self) -> Vec<f64> {
        self.streams.iter().map(|stream| stream.goodput).collect()
    }

    fn keep_undisturbed(&mut self) {
        if self.streams.iter().any(|stream| stream.others <= UNDISTURBED) {
            self.streams.retain(|stream| stream.others <= UNDISTURBED);
        }
    }
}

/// Measures: every size in turn, as often as asked for, and prints each as it comes.
pub fn measure(options: &Options) -> Result<Vec<Measured>> {
    let mut patience = Patience::of(options.patience);
    let mut measured = CHUNKS.map(|chunk| Measured { chunk, streams: Vec::new() }).to_vec();
    for _ in 0..options.repeats {
        for one in &mut measured {
            let (bytes, sockets) = (options.bytes(), options.sockets());
            let streamed = Transfer { bytes, chunk: one.chunk, sockets }.run(&mut patience)?;
            let Streamed { goodput, others, .. } = streamed;
            let kib = one.chunk / 1024;
            println!("  {kib} KiB a write: {goodput:.2} GB/s (others used {others:.2} processors)");
            one.streams.push(streamed);
        }
    }
    measured.iter_mut().for_each(Measured::keep_undisturbed);
    Ok(measured)
}

/// Measures and prints.
pub fn report(options: &Options) -> Result<()> {
    let measured = measure(options)?;
    let Some(Streamed { congestion, huge_share, .. }) = measured[0].streams.first() else {
        return Ok(());
    };
    println!("\nplain stream of {} MiB, {congestion}, received into a fresh mapping", options.size);
    let huge = huge_share * 100.0;
    println!("({huge:.0} % of it huge pages), in GB/s; the undisturbed ones where there are any");
    let mut fastest = 0.0_f64;
    for one in &measured {
        let goodputs = one.goodputs();
        let best = goodputs.iter().copied().fold(0.0, f64::max);
        fastest = fastest.max(best);
        let (kib, middle, each) = (one.chunk / 1024, median(&goodputs), listed(&goodputs));
        println!("  {kib:4} KiB a write: {best:.2} at best, median {middle:.2} (each: {each})");
    }
    println!("  its own best: {fastest:.2}, since others' work only slows one down");
    Ok(())
}
