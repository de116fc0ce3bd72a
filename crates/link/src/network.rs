//! A network that several flows share.

use crate::error::NetworkError;
use crate::group::{Group, MAX_CARD_RATE, PARTS_PER_BYTE, WORK_PER_BYTE, parts, time_for};
use crate::meter::BandwidthMeter;
use crate::port::Port;
use crate::series::BandwidthSeries;
use crate::sharing::{CardShare, GroupShare, share};
use crate::topology::{Card, Direction, FlowId, HostId, Route};
use lazycopy_units::{Instant, Rate};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct Flow {
    group: usize,
    /// Its message: since when, its bytes, and the clock's value at its end.
    message: Option<(Instant, u64, u128)>,
    meter: BandwidthMeter,
}

/// Ports and groups that have to do with each other: what is busy in one of these does not change
/// the rates in another.
#[derive(Clone, Debug, Default)]
struct Component {
    ports: Vec<usize>,
    groups: Vec<usize>,
    changed: bool,
}

/// Hosts with network cards, and the flows that share them max-min fairly.
///
/// A flow sends one message at a time; the network owns no queue. A message advances at its
/// flow's share, which changes only when a flow becomes busy or idle: one that completes a message
/// and begins its next at the same instant was not idle in between. Everything is an exact
/// integer: a flow alone takes ceil(bytes * 1e9 / rate) nanoseconds for a message.
///
/// The driver asks [`Network::next_completion`] when all that happens at an instant has happened,
/// and calls [`Network::complete`] at the instant that it was told.
#[derive(Clone, Debug)]
pub struct Network {
    ports: Vec<Port>,
    groups: Vec<Group>,
    flows: Vec<Flow>,
    group_of: BTreeMap<(Route, Option<Rate>), usize>,
    components: Vec<Component>,
    component_of_port: Vec<Option<usize>>,
    now: Instant,
    /// When the next messages are done, unless something has changed.
    next: Instant,
    /// Components in which flows have become busy or idle, or have begun their next message.
    changed: Vec<usize>,
    card_shares: Vec<CardShare>,
    group_shares: Vec<GroupShare>,
}

impl Network {
    /// A network of hosts with these cards, numbered from 0.
    ///
    /// # Errors
    /// When a card is too fast.
    pub fn new(cards: &[Card]) -> Result<Self, NetworkError> {
        let rates = || cards.iter().flat_map(|card| [card.out, card.into]);
        if let Some(at) = rates().position(|rate| rate.bytes_per_sec() > MAX_CARD_RATE) {
            let rate = if at % 2 == 0 { cards[at / 2].out } else { cards[at / 2].into };
            return Err(NetworkError::TooFast { host: (at / 2) as u32, rate });
        }
        let ports: Vec<Port> = rates().map(Port::new).collect();
        Ok(Network {
            components: Vec::new(),
            component_of_port: vec![None; ports.len()],
            ports,
            groups: Vec::new(),
            flows: Vec::new(),
            group_of: BTreeMap::new(),
            now: Instant::ZERO,
            next: Instant::MAX,
            changed: Vec::new(),
            card_shares: Vec::new(),
            group_shares: Vec::new(),
        })
    }

    /// A flow over that route, which takes at most `cap` bytes per second if there is one.
    ///
    /// # Errors
    /// When the route names an unknown host, when nothing bounds the flow, or when there are too
    /// many on a card.
    pub fn add_flow(&mut self, route: Route, cap: Option<Rate>) -> Result<FlowId, NetworkError> {
        let ports = [
            self.port(route.source, Direction::Out)?,
            self.port(route.destination, Direction::In)?,
        ];
        for port in ports.iter().flatten() {
            self.ports[*port].take_flow()?;
        }
        let group = match self.group_of.get(&(route, cap)) {
            Some(group) => *group,
            None => {
                let group = self.add_group(ports, cap)?;
                self.group_of.insert((route, cap), group);
                group
            }
        };
        let flow = FlowId(self.flows.len() as u32);
        self.flows.push(Flow { group, message: None, meter: BandwidthMeter::default() });
        Ok(flow)
    }

    fn port(
        &self,
        host: Option<HostId>,
        direction: Direction,
    ) -> Result<Option<usize>, NetworkError> {
        let Some(host) = host else { return Ok(None) };
        let port = 2 * host.0 as usize + usize::from(direction == Direction::In);
        if port < self.ports.len() {
            Ok(Some(port))
        } else {
            Err(NetworkError::UnknownHost { host: host.0, hosts: self.ports.len() / 2 })
        }
    }

    fn add_group(
        &mut self,
        ports: [Option<usize>; 2],
        cap: Option<Rate>,
    ) -> Result<usize, NetworkError> {
        let cap = cap.map_or(u64::MAX, parts);
        let crossed = || ports.iter().flatten();
        let alone = crossed().map(|port| parts(self.ports[*port].capacity)).fold(cap, u64::min);
        if alone == u64::MAX {
            return Err(NetworkError::Unbounded);
        }
        let component = self.component_of(ports);
        let group = self.groups.len();
        self.components[component].groups.push(group);
        self.groups.push(Group::new(ports, cap, alone, component, self.now));
        Ok(group)
    }

    /// The component of a group that crosses these ports: those that they are in become one.
    fn component_of(&mut self, ports: [Option<usize>; 2]) -> usize {
        let mut component = None;
        for port in ports.into_iter().flatten() {
            component = Some(match (component, self.component_of_port[port]) {
                (Some(one), Some(other)) => self.join(one, other),
                (None, Some(other)) => other,
                (one, None) => {
                    let one = one.unwrap_or_else(|| self.add_component());
                    self.components[one].ports.push(port);
                    self.component_of_port[port] = Some(one);
                    one
                }
            });
        }
        component.unwrap_or_else(|| self.add_component())
    }

    fn add_component(&mut self) -> usize {
        self.components.push(Component::default());
        self.components.len() - 1
    }

    /// Makes one component of two.
    fn join(&mut self, one: usize, other: usize) -> usize {
        if one != other {
            let joining = std::mem::take(&mut self.components[other]);
            for port in &joining.ports {
                self.component_of_port[*port] = Some(one);
            }
            for group in &joining.groups {
                self.groups[*group].component = one;
            }
            self.components[one].ports.extend(joining.ports);
            self.components[one].groups.extend(joining.groups);
            self.note_change(one);
        }
        one
    }

    /// `flow` begins to send a message of `bytes` bytes.
    ///
    /// # Panics
    /// When its last message is still on its way, when the message is empty, or when time runs
    /// backwards.
    pub fn begin(&mut self, flow: FlowId, now: Instant, bytes: u64) {
        assert!(bytes > 0, "an empty message has nothing to send");
        self.move_to(now);
        let sending = &mut self.flows[flow.index()];
        assert!(sending.message.is_none(), "a flow began a message while it sent another");
        let group = &mut self.groups[sending.group];
        sending.message = Some((now, bytes, group.begin(now, flow.0, bytes)));
        let component = group.component;
        self.note_change(component);
    }

    fn note_change(&mut self, component: usize) {
        if !std::mem::replace(&mut self.components[component].changed, true) {
            self.changed.push(component);
        }
    }

    fn move_to(&mut self, now: Instant) {
        assert!(now >= self.now, "the network's time ran backwards");
        if now > self.now {
            self.settle();
            self.now = now;
        }
    }

    /// When the next messages are done, if nothing else begins before: to be asked when nothing
    /// more begins at the instant of the last call.
    pub fn next_completion(&mut self) -> Option<Instant> {
        self.settle();
        (self.next < Instant::MAX).then_some(self.next)
    }

    /// Ends the messages that are done at `now`, in the order of their flows, and appends these
    /// flows to `done`.
    pub fn complete(&mut self, now: Instant, done: &mut Vec<FlowId>) {
        self.move_to(now);
        let from = done.len();
        for index in 0..self.groups.len() {
            if self.groups[index].ends > now {
                continue;
            }
            let group = &mut self.groups[index];
            group.complete(now, |flow| done.push(FlowId(flow)));
            let component = group.component;
            self.note_change(component);
        }
        done[from..].sort_unstable();
        for flow in &done[from..] {
            let flow = &mut self.flows[flow.index()];
            let (began, bytes, _) = flow.message.take().expect("a busy flow has a message");
            flow.meter.record(began, now, bytes);
        }
    }

    /// Takes the message of `flow` off its way at `now`, if it sends one, and returns how many of
    /// its bytes have gone.
    pub fn interrupt(&mut self, flow: FlowId, now: Instant) -> u64 {
        self.move_to(now);
        let Some((began, bytes)) = self.progress(flow, now) else { return 0 };
        let interrupted = &mut self.flows[flow.index()];
        interrupted.message = None;
        interrupted.meter.record(began, now, bytes);
        let group = &mut self.groups[interrupted.group];
        group.remove(now, flow.0);
        let component = group.component;
        self.note_change(component);
        bytes
    }

    /// The earliest instant at which the message of `flow` could be done, whatever other flows do
    /// from `now` on; `None` if it sends nothing.
    pub fn earliest_completion(&self, flow: FlowId, now: Instant) -> Option<Instant> {
        let flow = &self.flows[flow.index()];
        let (_, _, finish) = flow.message?;
        let group = &self.groups[flow.group];
        Some(now.saturating_add(time_for(finish.saturating_sub(group.clock_at(now)), group.alone)))
    }

    /// Takes over what became of busy and idle flows since the last call.
    fn settle(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        while let Some(component) = self.changed.pop() {
            self.components[component].changed = false;
            let mut groups = self.components[component].groups.iter();
            if groups.any(|group| self.groups[*group].is_unsettled()) {
                self.share(component);
            }
        }
        self.next = self.groups.iter().map(|group| group.ends).min().unwrap_or(Instant::MAX);
    }

    fn share(&mut self, component: usize) {
        let Component { ports, groups, .. } = &self.components[component];
        self.card_shares.clear();
        for (place, port) in ports.iter().enumerate() {
            let port = &mut self.ports[*port];
            port.advance(self.now);
            port.place = place;
            self.card_shares.push(CardShare::new(parts(port.capacity)));
        }
        self.group_shares.clear();
        for group in groups.iter().map(|group| &self.groups[*group]) {
            if group.busy > 0 {
                self.group_shares.push(GroupShare {
                    cards: group.ports.map(|port| Some(self.ports[port?].place)),
                    cap: group.cap,
                    flows: group.busy,
                    rate: None,
                });
            }
        }
        share(&mut self.card_shares, &mut self.group_shares);
        let mut rates = self.group_shares.iter().map(|share| share.rate.unwrap_or(0));
        for group in groups {
            let group = &mut self.groups[*group];
            let rate = if group.busy > 0 { rates.next() } else { None };
            group.set_rate(self.now, rate.unwrap_or(0));
        }
        for (port, share) in ports.iter().zip(&self.card_shares) {
            let port = &mut self.ports[*port];
            port.set_carried(self.now, parts(port.capacity) - share.left);
        }
    }

    /// What `flow` has carried, as far as its messages are done.
    pub fn flow_meter(&self, flow: FlowId) -> &BandwidthMeter {
        &self.flows[flow.index()].meter
    }

    /// Since when `flow` sends its message, and how many bytes of it have gone by `now`, rounded
    /// down.
    pub fn progress(&self, flow: FlowId, now: Instant) -> Option<(Instant, u64)> {
        let flow = &self.flows[flow.index()];
        let (began, bytes, finish) = flow.message?;
        let left = finish.saturating_sub(self.groups[flow.group].clock_at(now));
        Some((began, bytes - left.div_ceil(WORK_PER_BYTE) as u64))
    }

    /// The rate of `flow` in bytes per second, rounded down; 0 if it sends nothing.
    pub fn rate(&mut self, flow: FlowId) -> u64 {
        self.settle();
        let flow = &self.flows[flow.index()];
        flow.message.map_or(0, |_| self.groups[flow.group].rate / PARTS_PER_BYTE)
    }

    /// Begins to count anew what flows and cards carry, at `now`: of a message on its way only what
    /// is left counts from now on, as if it began now.
    pub fn open_books(&mut self, now: Instant) {
        self.move_to(now);
        for index in 0..self.flows.len() {
            let gone = self.progress(FlowId(index as u32), now);
            let flow = &mut self.flows[index];
            flow.meter = BandwidthMeter::default();
            if let (Some((began, bytes, _)), Some((_, gone))) = (&mut flow.message, gone) {
                (*began, *bytes) = (now, *bytes - gone);
            }
        }
        for port in &mut self.ports {
            port.open_books(now);
        }
    }

    /// Keeps what each card carries over time, from now on.
    pub fn keep_series(&mut self) {
        for port in &mut self.ports {
            port.series.get_or_insert_default();
        }
    }

    /// What a host's card has carried in one direction up to `now`; and over time, if
    /// [`Network::keep_series`] was called.
    ///
    /// # Panics
    /// When the host is unknown.
    pub fn card_meters(
        &mut self,
        host: HostId,
        direction: Direction,
        now: Instant,
    ) -> (&BandwidthMeter, Option<&BandwidthSeries>) {
        self.move_to(now);
        let port = self.port(Some(host), direction).ok().flatten().expect("the host is known");
        let port = &mut self.ports[port];
        port.advance(now);
        (&port.meter, port.series.as_ref())
    }
}
