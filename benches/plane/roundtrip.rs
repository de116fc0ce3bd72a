//! A bare round trip: a request as small as one for a page, a response as large as one page, one at
//! a time between two processes that do nothing else.

use crate::Options;
use crate::children::{Child, Listening, Part, say};
use crate::conditions::{Moment, Patience, others};
use crate::figures::quantile;
use crate::sockets::{SocketOptions, agreed, congestion_of};
use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

/// Bytes of a request.
pub const REQUEST_BYTES: usize = 32;

/// Bytes of a response: a page and its header.
pub const RESPONSE_BYTES: usize = 4096 + 16;

/// Round trips before the first that counts: connections, caches and clock rates settle.
const WARM_UP: u32 = 1_000;

/// How many round trips are measured.
#[derive(Args, Clone, Debug)]
pub struct RoundTripArguments {
    /// Round trips of each measurement
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub count: u32,
}

impl Default for RoundTripArguments {
    fn default() -> Self {
        RoundTripArguments { count: 20_000 }
    }
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// Round trips that count.
    pub count: u32,
    /// What is set on both sockets, besides TCP_NODELAY.
    pub sockets: SocketOptions,
}

/// What one measurement gave, in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundTrips {
    /// The shortest.
    pub least_us: f64,
    /// The one in the middle.
    pub median_us: f64,
    /// The one that 99 of 100 do not exceed.
    pub p99_us: f64,
    /// The longest.
    pub most_us: f64,
    /// How many processors others used meanwhile.
    pub others: f64,
}

/// What the asking side says at its end.
#[derive(Serialize, Deserialize)]
pub struct Asked {
    first: Moment,
    last: Moment,
    trips: RoundTrips,
    congestion: String,
}

/// What the answering side says at its end.
#[derive(Serialize, Deserialize)]
pub struct Answered {
    own: f64,
    congestion: String,
}

/// On which cores the two ends are.
#[derive(Clone, Copy, Debug)]
pub enum Places {
    /// Where the system puts them.
    Anywhere,
    /// Both on one.
    OneCore,
    /// Each on its own.
    TwoCores,
}

impl Places {
    /// The places that this machine has: where the system puts the two, both on one core, and each
    /// on its own.
    pub fn here() -> Vec<Places> {
        let mut places = vec![Places::Anywhere, Places::OneCore];
        if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            places.push(Places::TwoCores);
        }
        places
    }

    /// The core of each end; any where there is none.
    pub fn cores(self) -> [Option<usize>; 2] {
        match self {
            Places::Anywhere => [None, None],
            Places::OneCore => [Some(0), Some(0)],
            Places::TwoCores => [Some(0), Some(1)],
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Places::Anywhere => "anywhere",
            Places::OneCore => "one core",
            Places::TwoCores => "two cores",
        }
    }
}

impl Exchange {
    /// Runs it between two processes.
    pub fn run(&self, places: Places) -> Result<RoundTrips> {
        let [asking, answering] = places.cores();
        let answerer = Child::start(Part::Answer(self.clone()), answering)?;
        let Listening { address } = answerer.line()?;
        let asker = Child::start(Part::Ask(self.clone(), address), asking)?;
        let Asked { first, last, trips, congestion } = asker.end()?;
        let answered: Answered = answerer.end()?;
        agreed(&congestion, &answered.congestion)?;
        let own = last.own - first.own + answered.own;
        Ok(RoundTrips { others: others(&first, &last, own), ..trips })
    }

    /// The part of the side that asks.
    pub fn ask(&self, address: SocketAddr) -> Result<Asked> {
        let mut stream = self.sockets.connect(address)?;
        stream.set_nodelay(true)?;
        let mut response = [0; RESPONSE_BYTES];
        let mut trips = Vec::with_capacity(self.count as usize);
        let first = Moment::now()?;
        for number in 0..WARM_UP + self.count {
            let begun = Instant::now();
            stream.write_all(&[1; REQUEST_BYTES])?;
            stream.read_exact(&mut response)?;
            if number >= WARM_UP {
                trips.push(begun.elapsed().as_nanos() as f64 / 1000.0);
            }
        }
        let last = Moment::now()?;
        trips.sort_by(f64::total_cmp);
        let trips = RoundTrips {
            least_us: quantile(&trips, 0.0),
            median_us: quantile(&trips, 0.5),
            p99_us: quantile(&trips, 0.99),
            most_us: quantile(&trips, 1.0),
            others: 0.0,
        };
        Ok(Asked { first, last, trips, congestion: congestion_of(&stream)? })
    }

    /// The part of the side that answers: until the other closes.
    pub fn answer(&self) -> Result<Answered> {
        let listener = self.sockets.listen()?;
        say(&Listening { address: listener.local_addr()? })?;
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let congestion = congestion_of(&stream)?;
        let begun = Moment::now()?;
        let mut request = [0; REQUEST_BYTES];
        let response = [2; RESPONSE_BYTES];
        loop {
            match stream.read_exact(&mut request) {
                Ok(()) => stream.write_all(&response)?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Answered { own: Moment::now()?.own - begun.own, congestion })
    }
}

/// Measures and prints, for all places.
pub fn report(options: &Options, arguments: &RoundTripArguments) -> Result<()> {
    let exchange = Exchange { count: arguments.count, sockets: options.sockets() };
    let places = Places::here();
    println!(
        "\nbare round trip, {REQUEST_BYTES} bytes out and {RESPONSE_BYTES} back, TCP_NODELAY,"
    );
    println!("{} of each, turn and turn about, in microseconds", arguments.count);
    println!("  processes on  least   median      p99       most  processors of others");
    let mut patience = Patience::of(options.patience);
    for _ in 0..options.repeats {
        for place in &places {
            patience.await_quiet()?;
            let RoundTrips { least_us, median_us, p99_us, most_us, others } =
                exchange.run(*place)?;
            let name = place.name();
            print!("  {name:12} {least_us:6.1} {median_us:8.1} {p99_us:8.1} {most_us:10.1}");
            println!("  {others:5.2}");
        }
    }
    Ok(())
}
