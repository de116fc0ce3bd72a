//! Max-min sharing, by hand and against references that go flow by flow.

use lazycopy_link::{Card, Direction, FlowId, HostId, Network, NetworkError, Route};
use lazycopy_units::{Duration, Instant, Rate};
use proptest::prelude::*;

fn rate(bytes_per_sec: u64) -> Rate {
    Rate::from_bytes_per_sec(bytes_per_sec).expect("it is above zero")
}

fn cards(rates: &[u64]) -> Vec<Card> {
    rates.iter().map(|bytes| Card { out: rate(*bytes), into: rate(*bytes) }).collect()
}

fn route(source: u32, destination: u32) -> Route {
    Route { source: Some(HostId(source)), destination: Some(HostId(destination)) }
}

fn millis(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// The next instant at which messages are done, and whose.
fn next(network: &mut Network) -> Option<(Instant, Vec<FlowId>)> {
    let at = network.next_completion()?;
    let mut done = Vec::new();
    network.complete(at, &mut done);
    Some((at, done))
}

#[test]
fn a_flow_alone_takes_its_time_rounded_up() {
    for (bandwidth, bytes) in [(8_224, 4_112), (8_224, 4_273), (3, 1), (125_000_000, 4_112)] {
        let mut network = Network::new(&cards(&[bandwidth, bandwidth])).unwrap();
        let flow = network.add_flow(route(0, 1), None).unwrap();
        let mut now = Instant::ZERO;
        for _ in 0..3 {
            network.begin(flow, now, bytes);
            let expected = now + rate(bandwidth).time_for(bytes);
            assert_eq!(next(&mut network), Some((expected, vec![flow])));
            now = expected;
        }
        assert_eq!(network.next_completion(), None);
    }
}

#[test]
fn two_flows_halve_a_card_until_one_of_them_is_done() {
    let mut network = Network::new(&cards(&[1_000, 1_000])).unwrap();
    let [long, short] = [0, 0].map(|_| network.add_flow(route(0, 1), None).unwrap());
    network.begin(long, Instant::ZERO, 1_000);
    network.begin(short, millis(500), 100);
    // 500 bytes have gone by then; 100 of each go in the next 200 ms, and 400 alone.
    assert_eq!(next(&mut network), Some((millis(700), vec![short])));
    assert_eq!(next(&mut network), Some((millis(1_100), vec![long])));
}

#[test]
fn a_message_begun_where_one_ended_leaves_the_shares_as_they_were() {
    let mut network = Network::new(&cards(&[1_000, 1_000])).unwrap();
    let [one, other] = [0, 0].map(|_| network.add_flow(route(0, 1), None).unwrap());
    network.begin(one, Instant::ZERO, 100);
    network.begin(other, Instant::ZERO, 1_000);
    assert_eq!(next(&mut network), Some((millis(200), vec![one])));
    network.begin(one, millis(200), 400);
    assert_eq!(next(&mut network), Some((millis(1_000), vec![one])));
    assert_eq!(network.progress(other, millis(1_000)), Some((Instant::ZERO, 500)));
    assert_eq!(next(&mut network), Some((millis(1_500), vec![other])));
}

#[test]
fn what_a_slow_card_leaves_goes_to_the_others() {
    // Three flows leave host 0; one of them enters host 1, which takes 300 bytes a second only.
    let mut network = Network::new(&cards(&[1_000, 300, 5_000])).unwrap();
    let slow = network.add_flow(route(0, 1), None).unwrap();
    let fast = network.add_flow(route(0, 2), None).unwrap();
    let capped = network.add_flow(route(0, 2), Some(rate(150))).unwrap();
    for flow in [slow, fast, capped] {
        network.begin(flow, Instant::ZERO, 1_000_000);
    }
    assert_eq!([slow, fast, capped].map(|flow| network.rate(flow)), [300, 550, 150]);
}

#[test]
fn an_interrupted_message_leaves_its_share_to_the_others() {
    let mut network = Network::new(&cards(&[1_000, 1_000])).unwrap();
    let [one, other] = [0, 0].map(|_| network.add_flow(route(0, 1), None).unwrap());
    network.begin(one, Instant::ZERO, 1_000);
    network.begin(other, Instant::ZERO, 1_000);
    assert_eq!(network.interrupt(one, millis(600)), 300);
    assert_eq!(network.flow_meter(one).bytes(), 300);
    assert_eq!(next(&mut network), Some((millis(1_300), vec![other])));
    assert_eq!(network.interrupt(one, millis(1_300)), 0);
}

#[test]
fn a_thousand_flows_lose_less_than_a_byte_a_second_to_the_division() {
    let mut network = Network::new(&cards(&[8_224, 8_224])).unwrap();
    network.keep_series();
    let flows: Vec<FlowId> =
        (0..1_000).map(|_| network.add_flow(route(0, 1), None).unwrap()).collect();
    for flow in &flows {
        network.begin(*flow, Instant::ZERO, 4_112);
    }
    let (at, done) = next(&mut network).unwrap();
    assert_eq!(done, flows);
    let (meter, series) = network.card_meters(HostId(0), Direction::Out, at);
    assert!((4_112_000..4_112_002).contains(&meter.bytes()), "{}", meter.bytes());
    assert_eq!(series.unwrap().bytes().iter().sum::<u64>(), meter.bytes());
    assert!((at - Instant::ZERO) < Duration::from_millis(500_060), "{at}");
}

#[test]
fn the_peak_of_a_card_is_not_above_its_capacity_by_rounding() {
    // 100.3 bytes in each tenth of a second: every third counts one more.
    let mut network = Network::new(&cards(&[1_003])).unwrap();
    let flow = network.add_flow(Route { source: Some(HostId(0)), destination: None }, None);
    network.begin(flow.unwrap(), Instant::ZERO, 100_000);
    for tenth in 1..=20 {
        network.next_completion();
        let (meter, _) = network.card_meters(HostId(0), Direction::Out, millis(tenth * 100));
        assert!((1_002..=1_003).contains(&meter.peak_bytes_per_sec()), "{meter:?}");
        assert_eq!(meter.bytes(), tenth * 1_003 / 10);
    }
}

#[test]
fn books_that_are_opened_in_the_midst_of_a_message_count_the_rest_of_it() {
    let mut network = Network::new(&cards(&[1_000])).unwrap();
    let route = Route { source: Some(HostId(0)), destination: None };
    let [whole, cut] = [0, 0].map(|_| network.add_flow(route, None).unwrap());
    network.begin(whole, Instant::ZERO, 300);
    network.begin(cut, Instant::ZERO, 600);
    network.next_completion();
    network.open_books(millis(200));
    assert_eq!(next(&mut network), Some((millis(600), vec![whole])));
    assert_eq!(network.flow_meter(whole).bytes(), 200);
    assert_eq!(network.interrupt(cut, millis(700)), 300);
    assert_eq!(network.flow_meter(cut).bytes(), 300);
    let (meter, _) = network.card_meters(HostId(0), Direction::Out, millis(700));
    assert_eq!(meter.bytes(), 500);
}

#[test]
fn a_route_that_joins_two_busy_cards_has_the_shares_of_both_recounted() {
    let mut network = Network::new(&cards(&[1_000, 1_000, 1_000, 1_000])).unwrap();
    let [one, other] = [(0, 1), (2, 3)].map(|(from, to)| {
        let flow = network.add_flow(route(from, to), None).unwrap();
        network.begin(flow, Instant::ZERO, 1_000);
        flow
    });
    let between = network.add_flow(route(0, 3), None).unwrap();
    assert_eq!([one, other, between].map(|flow| network.rate(flow)), [1_000, 1_000, 0]);
    network.begin(between, Instant::ZERO, 1_000);
    assert_eq!([one, other, between].map(|flow| network.rate(flow)), [500, 500, 500]);
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let mut network = Network::new(&cards(&[1, 1_000])).unwrap();
    let outside = Route { source: None, destination: None };
    assert_eq!(network.add_flow(outside, None), Err(NetworkError::Unbounded));
    assert!(network.add_flow(outside, Some(rate(5))).is_ok());
    let unknown = NetworkError::UnknownHost { host: 2, hosts: 2 };
    assert_eq!(network.add_flow(route(0, 2), None), Err(unknown));
    for _ in 0..1_024 {
        network.add_flow(route(0, 1), None).unwrap();
    }
    let error = network.add_flow(route(0, 1), None).unwrap_err();
    assert!(error.to_string().contains("1025 flows"), "{error}");
    assert!(Network::new(&cards(&[5, u64::MAX])).unwrap_err().to_string().contains("host 1"));
}

/// A flow as drawn: ends and cap.
type DrawnFlow = (Option<u32>, Option<u32>, Option<u64>);

/// A drawn network: cards, and flows with their caps.
#[derive(Clone, Debug)]
struct Drawn {
    cards: Vec<(u64, u64)>,
    flows: Vec<DrawnFlow>,
}

impl Drawn {
    fn build(&self) -> (Network, Vec<FlowId>) {
        let card = |(out, into): &(u64, u64)| Card { out: rate(*out), into: rate(*into) };
        let mut network = Network::new(&self.cards.iter().map(card).collect::<Vec<_>>()).unwrap();
        let add = |(source, destination, cap): &DrawnFlow| {
            let route = Route { source: source.map(HostId), destination: destination.map(HostId) };
            network.add_flow(route, cap.map(rate)).unwrap()
        };
        let flows = self.flows.iter().map(add).collect();
        (network, flows)
    }

    /// Capacities of both directions of each card.
    fn capacities(&self) -> Vec<u64> {
        self.cards.iter().flat_map(|(out, into)| [*out, *into]).collect()
    }

    /// For each flow the directions that it crosses.
    fn crossed(&self) -> Vec<Vec<usize>> {
        let crossed = |(source, destination, _): &DrawnFlow| {
            let out = source.map(|host| 2 * host as usize);
            let into = destination.map(|host| 2 * host as usize + 1);
            out.into_iter().chain(into).collect()
        };
        self.flows.iter().map(crossed).collect()
    }

    /// Progressive filling flow by flow in whole units, [`SCALE`] of them per byte per second.
    /// Flows that are not busy get nothing.
    fn filled(&self, busy: &[bool]) -> Vec<u64> {
        let crossed = self.crossed();
        let mut left: Vec<u64> = self.capacities().iter().map(|bytes| bytes * SCALE).collect();
        let mut rates: Vec<Option<u64>> = busy.iter().map(|busy| (!busy).then_some(0)).collect();
        while rates.contains(&None) {
            let waiting: Vec<usize> =
                (0..rates.len()).filter(|flow| rates[*flow].is_none()).collect();
            let share = |port: usize| {
                let flows = waiting.iter().filter(|flow| crossed[**flow].contains(&port)).count();
                left[port] / flows as u64
            };
            let bound = |flow: usize| {
                let cap = self.flows[flow].2.map_or(u64::MAX, |cap| cap * SCALE);
                crossed[flow].iter().map(|port| share(*port)).fold(cap, u64::min)
            };
            let bounds: Vec<u64> = waiting.iter().map(|flow| bound(*flow)).collect();
            let level = *bounds.iter().min().unwrap();
            for (flow, _) in waiting.iter().zip(&bounds).filter(|(_, bound)| **bound == level) {
                rates[*flow] = Some(level);
                crossed[*flow].iter().for_each(|port| left[*port] -= level);
            }
        }
        rates.into_iter().flatten().collect()
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let speeds = || prop_oneof![50u64..2_000, Just(1_000u64), 1_000_000u64..2_000_000_000];
    proptest::collection::vec((speeds(), speeds()), 1..5).prop_flat_map(move |cards| {
        let hosts = cards.len() as u32;
        let end = || proptest::option::weighted(0.8, 0..hosts);
        let cap = prop_oneof![2 => Just(None), 1 => speeds().prop_map(Some)];
        let flow = (end(), end(), cap).prop_map(|(source, destination, cap)| {
            let outside = source.is_none() && destination.is_none();
            (source, destination, if outside { cap.or(Some(700)) } else { cap })
        });
        let flows = proptest::collection::vec(flow, 1..20);
        (Just(cards), flows).prop_map(|(cards, flows)| Drawn { cards, flows })
    })
}

/// Parts of a byte per second, as the network documents them.
const SCALE: u64 = 1024;

/// Every flow by itself: the work that is left of its message goes down at its rate.
struct Reference<'a> {
    drawn: &'a Drawn,
    left: Vec<Option<u128>>,
    rates: Vec<u64>,
    now: Instant,
}

impl<'a> Reference<'a> {
    fn new(drawn: &'a Drawn) -> Self {
        let flows = drawn.flows.len();
        Reference { drawn, left: vec![None; flows], rates: vec![0; flows], now: Instant::ZERO }
    }

    fn move_to(&mut self, now: Instant) {
        let nanos = u128::from((now - self.now).as_nanos());
        for (left, rate) in self.left.iter_mut().zip(&self.rates) {
            *left = left.map(|left| left.saturating_sub(u128::from(*rate) * nanos));
        }
        self.now = now;
    }

    fn begin(&mut self, flow: usize, now: Instant, bytes: u64) {
        self.move_to(now);
        self.left[flow] = Some(u128::from(bytes * 1_000_000_000) * u128::from(SCALE));
    }

    fn next_completion(&mut self) -> Option<Instant> {
        let busy: Vec<bool> = self.left.iter().map(Option::is_some).collect();
        self.rates = self.drawn.filled(&busy);
        let span = |(left, rate): (&Option<u128>, &u64)| {
            Some(u64::try_from((*left)?.div_ceil(u128::from(*rate))).unwrap())
        };
        let first = self.left.iter().zip(&self.rates).filter_map(span).min()?;
        Some(self.now + Duration::from_nanos(first))
    }

    fn complete(&mut self, at: Instant) -> Vec<usize> {
        self.move_to(at);
        let flows = 0..self.left.len();
        let done: Vec<usize> = flows.filter(|flow| self.left[*flow] == Some(0)).collect();
        done.iter().for_each(|flow| self.left[*flow] = None);
        done
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn shares_are_max_min_fair_and_no_card_carries_more_than_it_can(
        drawn in drawn(),
        busy in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let (mut network, flows) = drawn.build();
        let busy = &busy[..flows.len()];
        for (flow, _) in flows.iter().zip(busy).filter(|(_, busy)| **busy) {
            network.begin(*flow, Instant::ZERO, 1 << 40);
        }
        let rates: Vec<u64> = flows.iter().map(|flow| network.rate(*flow)).collect();
        let filled = drawn.filled(busy);
        prop_assert_eq!(rates, filled.iter().map(|rate| rate / SCALE).collect::<Vec<_>>());
        let (capacities, crossed) = (drawn.capacities(), drawn.crossed());
        let on = |port: usize| {
            let crossed = &crossed;
            (0..busy.len()).filter(move |flow| busy[*flow] && crossed[*flow].contains(&port))
        };
        let load = |port: usize| on(port).map(|flow| filled[flow]).sum::<u64>();
        for (port, capacity) in capacities.iter().enumerate() {
            prop_assert!(load(port) <= capacity * SCALE);
        }
        for flow in (0..flows.len()).filter(|flow| busy[*flow]) {
            let at_cap = drawn.flows[flow].2.is_some_and(|cap| cap * SCALE == filled[flow]);
            // A card of which less than a unit for each flow is left, none of them faster.
            let held_back = crossed[flow].iter().any(|port| {
                let unused = capacities[*port] * SCALE - load(*port);
                let fastest = on(*port).map(|other| filled[other]).max();
                unused < on(*port).count() as u64 && fastest == Some(filled[flow])
            });
            prop_assert!(at_cap || held_back, "flow {} could be raised", flow);
        }
    }

    #[test]
    fn traffic_goes_as_if_every_flow_were_moved_by_itself(
        drawn in drawn(),
        plan in proptest::collection::vec((0usize..20, 0u64..3, 1u64..100_000), 1..60),
    ) {
        let (mut network, flows) = drawn.build();
        network.keep_series();
        let mut reference = Reference::new(&drawn);
        let mut now = Instant::ZERO;
        let mut plan = plan.into_iter().peekable();
        loop {
            let completion = network.next_completion();
            prop_assert_eq!(completion, reference.next_completion());
            let begins = plan.peek().map(|(_, pause, _)| now + Duration::from_nanos(pause * 7_000_003));
            if let Some(at) = completion.filter(|at| begins.is_none_or(|begins| *at <= begins)) {
                let mut done = Vec::new();
                network.complete(at, &mut done);
                let expected: Vec<FlowId> =
                    reference.complete(at).into_iter().map(|flow| flows[flow]).collect();
                prop_assert_eq!(done, expected);
                now = at;
            } else if let (Some(at), Some((flow, _, bytes))) = (begins, plan.next()) {
                now = at;
                let flow = flow % flows.len();
                if reference.left[flow].is_none() {
                    network.begin(flows[flow], now, bytes);
                    reference.begin(flow, now, bytes);
                }
            } else {
                break;
            }
        }
        let crossed = drawn.crossed();
        for (port, capacity) in drawn.capacities().into_iter().enumerate() {
            let direction = if port % 2 == 0 { Direction::Out } else { Direction::In };
            let sent = (0..flows.len()).filter(|flow| crossed[*flow].contains(&port));
            let sent: u64 = sent.map(|flow| network.flow_meter(flows[flow]).bytes()).sum();
            let (meter, series) = network.card_meters(HostId(port as u32 / 2), direction, now);
            let most = u128::from(capacity) * u128::from(now.as_nanos()) / 1_000_000_000;
            prop_assert!(u128::from(meter.bytes()) <= most);
            prop_assert!(sent <= meter.bytes() + 1, "{} bytes of {}", meter.bytes(), sent);
            prop_assert!(meter.peak_bytes_per_sec() <= capacity + 20);
            prop_assert_eq!(series.unwrap().bytes().iter().sum::<u64>(), meter.bytes());
        }
    }
}
