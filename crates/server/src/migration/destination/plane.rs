//! The destination's end of the page plane.

use crate::connection::BulkStream;
use crate::migration::Broken;
use crate::plane::{Arrived, ReadError, Reader, Unpacking};
use futures_util::FutureExt;
use lazycopy_guest::GuestSpec;
use lazycopy_link::PlaneParameters;
use lazycopy_migration::{Destination, PageMessage};
use lazycopy_protocol::peer::{ContextFrame, PeerMessage};
use std::io;
use std::time::Duration;
use tokio::time::Instant as WallInstant;

/// Batches after whose arrival the source is told, so that it can give up their memory: some
/// mebibytes, far less than is under way.
const ACKNOWLEDGE_EVERY: u64 = 4;

/// A source that ends closes its bulk connections and says why over the control connection: how
/// long its word is waited for when they are closed.
const LAST_WORD_DEADLINE: Duration = Duration::from_secs(2);

/// The number of the control connection; bulk connections follow.
const CONTROL: usize = 0;

/// A bulk connection has ended before the source's last word.
#[derive(Debug)]
struct Overdue {
    reason: String,
    since: WallInstant,
}

/// The destination's bulk connections.
#[derive(Debug)]
pub(super) struct DestinationPlane {
    readers: Vec<Reader>,
    /// For batches that come over the control connection.
    urgent: Unpacking,
    urgent_batches: u64,
    /// The context has come over the control connection, and something that was sent before the
    /// hand-over may still be under way on a bulk connection.
    context: Option<ContextFrame>,
    /// By connection, how many batches the machine has taken, and of how many the source knows.
    taken: Vec<u64>,
    acknowledged: Vec<u64>,
    overdue: Option<Overdue>,
    /// The source has said its last word.
    parted: bool,
}

impl DestinationPlane {
    /// For the pages of that guest, over these connections.
    pub(super) fn new(
        spec: &GuestSpec,
        parameters: &PlaneParameters,
        bulk: Vec<BulkStream>,
    ) -> io::Result<Self> {
        let unpacking = || Unpacking::new(spec, parameters.page_check);
        let connections = 1 + bulk.len();
        let readers: io::Result<Vec<Reader>> =
            bulk.into_iter().map(|bulk| Reader::new(bulk, unpacking())).collect();
        Ok(DestinationPlane {
            readers: readers?,
            urgent: unpacking(),
            urgent_batches: 0,
            context: None,
            taken: vec![0; connections],
            acknowledged: vec![0; connections],
            overdue: None,
            parted: false,
        })
    }

    /// Keeps the context until everything that was sent before it has come.
    pub(super) fn keep(&mut self, context: ContextFrame) {
        self.context = Some(context);
    }

    /// The context, when it may be taken in.
    pub(super) fn take_context(&mut self) -> Option<ContextFrame> {
        let all_came = self.readers.iter().all(Reader::is_at_fence);
        if all_came { self.context.take() } else { None }
    }

    /// The pages of a batch that came over the control connection.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(super) fn receive_urgent(
        &mut self,
        destination: &mut Destination,
        frame: &[u8],
    ) -> Result<Batch, String> {
        let pages = self.urgent.unpack_frame(destination, frame, self.urgent_batches);
        let pages = pages.map_err(|error| error.to_string())?;
        self.urgent_batches += 1;
        Ok(Batch { connection: CONTROL, pages })
    }

    /// Reads a batch from each bulk connection, where one has come. Whether anything was read.
    ///
    /// # Errors
    /// What is wrong with a batch, or that a connection has ended without a word.
    pub(super) fn read(
        &mut self,
        destination: &mut Destination,
        batches: &mut Vec<Batch>,
    ) -> Result<bool, Broken> {
        if let Some(overdue) = &self.overdue
            && overdue.since.elapsed() > LAST_WORD_DEADLINE
        {
            return Err(Broken::Link(overdue.reason.clone()));
        }
        let mut progressed = false;
        for (reader, connection) in self.readers.iter_mut().zip(CONTROL + 1..) {
            if destination.is_past_context() {
                reader.pass_fence();
            }
            let reason = match reader.read(destination) {
                Ok(Arrived::Nothing) => continue,
                Ok(Arrived::Some) => {
                    progressed = true;
                    continue;
                }
                Ok(Arrived::Pages(pages)) => {
                    progressed = true;
                    batches.push(Batch { connection, pages });
                    continue;
                }
                Ok(Arrived::End) => "it closed a bulk connection without a word".to_owned(),
                Err(ReadError::Lost(reason)) => reason,
                Err(ReadError::Wrong(error)) => return Err(Broken::Wrong(error.to_string())),
            };
            reader.end();
            let since = WallInstant::now();
            if !self.parted {
                self.overdue.get_or_insert(Overdue { reason, since });
            }
        }
        Ok(progressed)
    }

    /// The source has said its last word: what is still under way may come, and nothing more.
    pub(super) fn await_end(&mut self) {
        self.overdue = None;
        self.parted = true;
    }

    /// The source is lost, or has taken the guest back: nothing is awaited any more.
    pub(super) fn give_up(&mut self) {
        self.readers.clear();
        self.overdue = None;
        self.context = None;
    }

    /// Whether nothing more can come over the bulk connections.
    pub(super) fn has_ended(&self) -> bool {
        self.readers.iter().all(Reader::has_ended)
    }

    /// The machine has taken a batch of that connection. What the source is to be told, now and
    /// then: never before the guest runs here, since the source may get it back until then.
    pub(super) fn note_taken(&mut self, connection: usize, runs: bool) -> Option<PeerMessage> {
        self.taken[connection] += 1;
        let batches = self.taken[connection];
        if !runs || batches - self.acknowledged[connection] < ACKNOWLEDGE_EVERY {
            return None;
        }
        self.acknowledged[connection] = batches;
        Some(PeerMessage::Acknowledged { connection: connection as u8, batches })
    }

    /// Waits until there is more to read, or the source's last word is overdue.
    pub(super) async fn readable(&self) {
        let overdue = async {
            match &self.overdue {
                Some(overdue) => {
                    tokio::time::sleep_until(overdue.since + LAST_WORD_DEADLINE).await;
                }
                None => std::future::pending().await,
            }
        };
        // With none to wait for there is still one.
        let each = self.readers.iter().map(Reader::readable);
        let each = each.map(|readable| readable.boxed()).chain([overdue.boxed()]);
        futures_util::future::select_all(each).await;
    }
}

/// Pages that came together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Over which connection.
    pub(super) connection: usize,
    /// They.
    pub(super) pages: Vec<PageMessage>,
}
