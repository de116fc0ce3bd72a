//! The source's end of the page plane: what the machine sends is made batches of.

use crate::plane::{Content, Draft, Freeing, Writer};
use bytes::Bytes;
use lazycopy_guest::{GuestSpec, Memory, PageContents};
use lazycopy_link::{BandwidthMeter, Compression, PlaneParameters};
use lazycopy_migration::{Cause, Context, DestinationRecovery, LinkMessage, PageMessage, Source};
use lazycopy_protocol::control::PlaneCounts;
use lazycopy_protocol::plane::MAX_BATCH_PAGES;
use lazycopy_units::{Instant, PAGE_BYTES, PageNumber};
use std::collections::VecDeque;
use std::sync::Arc;

const PAGE: usize = PAGE_BYTES as usize;

/// The number of the control connection; bulk connections follow.
const CONTROL: usize = 0;

/// The source's bulk connections, and what has become of the pages that it sent.
#[derive(Debug)]
pub(super) struct SourcePlane {
    writers: Vec<Writer>,
    contents: PageContents,
    /// The guest pages: what is not in its memory any more may still have to be sent.
    pages_itself: bool,
    forward_context: bool,
    checks: bool,
    compresses: bool,
    /// Pages that did not go into the batch for which they were taken, in their order: at most a
    /// batch of them, since nothing is taken from the machine while there are any, and never more
    /// than the batch at hand has room for.
    carried: VecDeque<PageMessage>,
    /// Number of the next batch on the control connection.
    next_urgent: u64,
    /// By connection, how many batches the destination has acknowledged.
    acknowledged: Vec<u64>,
    counts: PlaneCounts,
    meter: BandwidthMeter,
    used_until: Instant,
    freeing: Option<Freeing>,
    /// What was handed over.
    context: Option<Arc<Context>>,
    scratch: Box<[u8; PAGE]>,
}

impl SourcePlane {
    /// For the pages of that guest, over these connections.
    pub(super) fn new(
        spec: &GuestSpec,
        parameters: &PlaneParameters,
        forward_context: bool,
        writers: Vec<Writer>,
    ) -> Self {
        let congestion = writers.first().and_then(|writer| writer.congestion().ok());
        let congestion = congestion.unwrap_or_default();
        SourcePlane {
            acknowledged: vec![0; 1 + writers.len()],
            writers,
            contents: PageContents::of(spec),
            pages_itself: spec.frames < spec.pages,
            forward_context,
            checks: parameters.page_check,
            compresses: parameters.compression == Compression::Lz4,
            carried: VecDeque::new(),
            next_urgent: 0,
            counts: PlaneCounts { congestion, ..PlaneCounts::default() },
            meter: BandwidthMeter::default(),
            used_until: Instant::ZERO,
            freeing: None,
            context: None,
            scratch: Box::new([0; PAGE]),
        }
    }

    /// What it sent.
    pub(super) fn counts(&self) -> &PlaneCounts {
        &self.counts
    }

    /// Bytes over time, as the model counts them.
    pub(super) fn meter(&self) -> &BandwidthMeter {
        &self.meter
    }

    /// When something was sent last.
    pub(super) fn used_until(&self) -> Instant {
        self.used_until
    }

    /// A bulk connection that takes another batch; where pages were carried, that of the first.
    pub(super) fn idle_writer(&self) -> Option<usize> {
        match self.carried.front() {
            Some(message) => {
                Some(self.way_of(message.page)).filter(|writer| self.writers[*writer].has_room())
            }
            None => self.writers.iter().position(Writer::has_room),
        }
    }

    /// The connection of a page before the hand-over, when it may be sent again: its copies must
    /// not overtake each other.
    fn way_of(&self, page: PageNumber) -> usize {
        page.index() / MAX_BATCH_PAGES % self.writers.len()
    }

    /// Whether everything has been written.
    pub(super) fn is_flushed(&self) -> bool {
        self.writers.iter().all(Writer::has_room)
    }

    /// Whether pages were taken from the machine that are in no batch yet.
    pub(super) fn carries(&self) -> bool {
        !self.carried.is_empty()
    }

    /// An empty batch for a bulk connection, or with pages that were carried.
    pub(super) fn begin_batch(&mut self, writer: usize, source: &Source) -> Draft {
        let mut draft = Draft::new(self.checks, self.compresses);
        for message in std::mem::take(&mut self.carried) {
            self.add_or_carry(&mut draft, writer, message, source);
        }
        draft
    }

    /// Adds pages to a batch for a bulk connection, for which they have room. Pages of a guest that
    /// runs are sent in the order of their numbers, over and over: a batch ends where they begin
    /// anew, so that it has none twice, and where another connection's pages begin. What is not
    /// added is carried to the next batch.
    pub(super) fn add_in_bulk(
        &mut self,
        now: Instant,
        draft: &mut Draft,
        writer: usize,
        message: PageMessage,
        source: &Source,
    ) {
        self.note(now, LinkMessage::Page(message).bytes());
        self.add_or_carry(draft, writer, message, source);
    }

    fn add_or_carry(
        &mut self,
        draft: &mut Draft,
        writer: usize,
        mut message: PageMessage,
        source: &Source,
    ) {
        let fits = match message.cause {
            Cause::Round if self.carries() || self.way_of(message.page) != writer => 0,
            Cause::Round if draft.last().is_some_and(|last| last >= message.page) => 0,
            // Up to where another connection's pages begin.
            Cause::Round if self.writers.len() > 1 => {
                MAX_BATCH_PAGES as u32 - message.page.0 % MAX_BATCH_PAGES as u32
            }
            _ => message.count,
        };
        if fits >= message.count {
            return self.add(draft, Some(writer), &message, source);
        }
        if fits > 0 {
            let first = message.split_off_first(fits);
            self.add(draft, Some(writer), &first, source);
        }
        // A guest that runs may evict a single page before it is sent: then its stamp makes it.
        let memory = source.memory().filter(|_| message.count == 1);
        message.stamp = message.stamp.or_else(|| memory?.stamp(message.page));
        self.carried.push_back(message);
    }

    /// An empty batch for the control connection.
    pub(super) fn begin_urgent(&self) -> Draft {
        Draft::new(self.checks, self.compresses)
    }

    /// Adds a page to a batch for the control connection.
    pub(super) fn add_urgent(
        &mut self,
        now: Instant,
        draft: &mut Draft,
        message: &PageMessage,
        source: &Source,
    ) {
        self.note(now, LinkMessage::Page(*message).bytes());
        self.add(draft, None, message, source);
    }

    /// Bytes of the context count, too.
    pub(super) fn note(&mut self, now: Instant, bytes: u64) {
        self.meter.record(now, now, bytes);
        self.used_until = now;
    }

    /// Adds pages: as they are in memory, or made anew where a page has left it.
    fn add(
        &mut self,
        draft: &mut Draft,
        writer: Option<usize>,
        message: &PageMessage,
        source: &Source,
    ) {
        let PageMessage { page, count, stamp, .. } = *message;
        let memory = source.memory().filter(|memory| memory.contains(page));
        let bytes = match (memory.and_then(Memory::bytes), stamp) {
            (Some(pages), _) => pages.run(page, count),
            (None, Some(stamp)) => {
                self.contents.fill(page, stamp, &mut self.scratch);
                &self.scratch[..]
            }
            (None, None) => unreachable!("page {page} is sent without a content"),
        };
        let stays = memory.is_some() && self.stays(source);
        let counts = &mut self.counts;
        match writer {
            None => draft.add_copied(message, bytes, counts),
            Some(writer) => {
                let content =
                    if stays { Content::InPlace(bytes) } else { Content::Fleeting(bytes) };
                self.writers[writer].add(draft, message, content, counts);
            }
        }
    }

    /// Whether what is in memory stays there as it is until it has been written: nobody writes to
    /// it, and nobody evicts it.
    fn stays(&self, source: &Source) -> bool {
        let guest_runs = source.guest().is_some_and(|guest| guest.is_running());
        !(guest_runs || self.forward_context && self.pages_itself)
    }

    /// A batch goes over a bulk connection.
    pub(super) fn send(&mut self, writer: usize, draft: Draft) {
        let number = self.writers[writer].next_number();
        if let Some(freeing) = &mut self.freeing {
            freeing.sent(1 + writer, number, draft.runs());
        }
        self.writers[writer].send(draft, &mut self.counts);
    }

    /// A batch goes over the control connection, as that frame.
    pub(super) fn frame(&mut self, draft: Draft) -> Bytes {
        let number = self.next_urgent;
        if let Some(freeing) = &mut self.freeing {
            freeing.sent(CONTROL, number, draft.runs());
        }
        self.next_urgent += 1;
        draft.into_frame(number)
    }

    /// The guest is handed over: a fence goes over each bulk connection, and what is acknowledged
    /// from now on can be given up.
    pub(super) fn handed_over(&mut self, spec: &GuestSpec, context: &Arc<Context>) {
        self.context = Some(Arc::clone(context));
        for writer in &mut self.writers {
            writer.send(Draft::new(false, false), &mut self.counts);
        }
        if !self.pages_itself {
            let connections = 1 + self.writers.len();
            self.freeing = Some(Freeing::new(spec.pages, &context.residency, connections));
        }
    }

    /// The link is broken: what was on its way is dropped. For the machine it was sent.
    pub(super) fn break_off(&mut self) {
        self.writers.clear();
        self.carried.clear();
    }

    /// There are connections again, and the destination has that.
    pub(super) fn regain(
        &mut self,
        writers: Vec<Writer>,
        recovery: &DestinationRecovery,
        source: &mut Source,
    ) {
        self.acknowledged = vec![0; 1 + writers.len()];
        self.writers = writers;
        self.next_urgent = 0;
        let memory = source.handed_over_memory().and_then(Memory::bytes_mut);
        if let (Some(freeing), Some(context), Some(memory)) =
            (&mut self.freeing, &self.context, memory)
        {
            let (arrived, runs) = (&recovery.arrived, recovery.resumed);
            freeing.begin_anew(&context.residency, arrived, runs, memory);
        }
    }

    /// The destination has every batch of that connection before number `end`.
    ///
    /// # Errors
    /// In words, when it cannot have so many, or has said so before: each acknowledgement is of
    /// something, so that there are no more of them than batches.
    pub(super) fn acknowledged(
        &mut self,
        connection: u8,
        end: u64,
        source: &mut Source,
    ) -> Result<(), String> {
        let sent = match usize::from(connection).checked_sub(1) {
            None => self.next_urgent,
            Some(writer) => self.writers.get(writer).map_or(0, Writer::next_number),
        };
        if end > sent {
            return Err(format!(
                "the destination acknowledged {end} batches of connection {connection}, {sent} \
                 were sent"
            ));
        }
        let before = self.acknowledged.get_mut(usize::from(connection));
        if before.is_none_or(|before| std::mem::replace(before, end) >= end) {
            return Err(format!(
                "the destination acknowledged {end} batches of connection {connection} again"
            ));
        }
        let memory = source.handed_over_memory().and_then(Memory::bytes_mut);
        if let (Some(freeing), Some(memory)) = (&mut self.freeing, memory) {
            freeing.acknowledged(usize::from(connection), end, memory);
        }
        Ok(())
    }

    /// Whether memory has been given up: the guest cannot be taken back.
    pub(super) fn has_given_up_memory(&self) -> bool {
        self.freeing.as_ref().is_some_and(Freeing::has_begun)
    }

    /// Writes as much as the bulk connections take. Whether that was anything.
    pub(super) fn write(&mut self, source: &Source) -> Result<bool, String> {
        let memory = source.memory().and_then(Memory::bytes);
        let mut wrote = false;
        for writer in &mut self.writers {
            wrote |= writer.write(memory)?;
        }
        Ok(wrote)
    }

    /// Waits until more can be written.
    pub(super) async fn writable(&self) {
        if self.writers.is_empty() {
            return std::future::pending().await;
        }
        let each = self.writers.iter().map(|writer| Box::pin(writer.writable()));
        futures_util::future::select_all(each).await;
    }
}
