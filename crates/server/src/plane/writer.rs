//! Sending batches over a bulk connection, straight from the guest's memory.

use super::congestion;
use super::draft::{Content, Draft, Segment};
use super::kept::Repetitions;
use crate::connection::BulkStream;
use lazycopy_guest::Pages;
use lazycopy_migration::PageMessage;
use lazycopy_protocol::control::PlaneCounts;
use lazycopy_protocol::plane::BATCH_HEADER_BYTES;
use lazycopy_transport::Stream;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Pieces of memory in one system call: the most that Linux takes.
const MAX_PIECES: usize = 1_024;

/// How long the other side may take nothing of what waits: then it is taken for dead.
const STALL_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes that wait to be written: a batch, or a fence.
#[derive(Debug)]
struct Waiting {
    head: Vec<u8>,
    segments: Vec<Segment>,
    own: Vec<u8>,
    /// Bytes of the whole that have been written.
    written: usize,
}

/// The source's end of a bulk connection.
#[derive(Debug)]
pub(crate) struct Writer {
    stream: Stream,
    _place: Option<OwnedSemaphorePermit>,
    repetitions: Repetitions,
    /// Number of the next batch.
    next: u64,
    /// At most a batch and a fence.
    waiting: VecDeque<Waiting>,
    /// When the other side last took a byte, or an empty connection was given some.
    last_taken: Instant,
}

impl Writer {
    /// The source's end of that connection, served by the runtime in whose context this is called.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub(crate) fn new(bulk: BulkStream) -> io::Result<Self> {
        Ok(Writer {
            stream: bulk.stream.awake()?,
            _place: bulk.place,
            repetitions: Repetitions::default(),
            next: 0,
            waiting: VecDeque::new(),
            last_taken: Instant::now(),
        })
    }

    /// The congestion control of the connection, by its name.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub(crate) fn congestion(&self) -> io::Result<String> {
        congestion(&self.stream.socket().options()?)
    }

    /// Whether it takes another batch: everything has been written.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Number of the next batch.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Adds pages to a batch that will go over this connection.
    pub(crate) fn add(
        &mut self,
        draft: &mut Draft,
        message: &PageMessage,
        content: Content<'_>,
        counts: &mut PlaneCounts,
    ) {
        draft.add(message, content, Some(&mut self.repetitions), counts);
    }

    /// Takes a batch; an empty one is a fence.
    pub(crate) fn send(&mut self, draft: Draft, counts: &mut PlaneCounts) {
        if self.waiting.is_empty() {
            self.last_taken = Instant::now();
        }
        let (head, segments, own) = draft.into_parts(self.next);
        counts.bytes_sent += BATCH_HEADER_BYTES as u64;
        self.waiting.push_back(Waiting { head, segments, own, written: 0 });
        self.next += 1;
    }

    /// Writes as much as the connection takes, from `memory` what is in place. Whether anything
    /// was written.
    ///
    /// # Errors
    /// In words, when the connection is of no use any more.
    pub(crate) fn write(&mut self, memory: Option<&Pages>) -> Result<bool, String> {
        let mut wrote = false;
        while let Some(waiting) = self.waiting.front_mut() {
            let pieces = waiting.pieces(memory);
            if pieces.is_empty() {
                self.waiting.pop_front();
                continue;
            }
            match self.stream.try_write_vectored(&pieces) {
                Ok(0) => return Err("the other server closed a bulk connection".to_owned()),
                Ok(count) => {
                    waiting.written += count;
                    wrote = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        if wrote {
            self.last_taken = Instant::now();
        } else if !self.waiting.is_empty() && self.last_taken.elapsed() > STALL_DEADLINE {
            let seconds = STALL_DEADLINE.as_secs();
            return Err(format!("the other server has taken nothing for {seconds} s"));
        }
        Ok(wrote)
    }

    /// Waits until more can be written, where something waits; else for ever. Returns in time to
    /// notice that the other side takes nothing.
    pub(crate) async fn writable(&self) {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let deadline = self.last_taken + STALL_DEADLINE;
        let _ = tokio::time::timeout_at(deadline.into(), self.stream.writable()).await;
    }
}

impl Waiting {
    /// What is still to be written, as far as one call takes it.
    fn pieces<'a>(&'a self, memory: Option<&'a Pages>) -> Vec<IoSlice<'a>> {
        let bodies = self.segments.iter().filter_map(|segment| match segment {
            Segment::Own(range) => Some(&self.own[range.clone()]),
            Segment::InPlace { first, pages } => memory.map(|memory| memory.run(*first, *pages)),
        });
        let mut skip = self.written;
        let mut pieces = Vec::with_capacity((self.segments.len() + 1).min(MAX_PIECES));
        for piece in std::iter::once(&self.head[..]).chain(bodies) {
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            pieces.push(IoSlice::new(&piece[skip..]));
            skip = 0;
            if pieces.len() == MAX_PIECES {
                break;
            }
        }
        pieces
    }
}
