//! The link between source and destination: a relay of the test, which can hold it, slow it down and
//! cut it.

use super::network::Network;
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What the relay takes from one side at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A relay. It ends with this value.
pub struct Wire {
    /// Where the destination is reached through it.
    pub address: String,
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Where it leads.
    target: Option<String>,
    is_held: bool,
    is_cut: bool,
    delay: Duration,
    /// How many have come.
    came: usize,
    /// Both ends of each connection.
    ends: Vec<TcpStream>,
}

impl Wire {
    /// Listens where the destination is, and leads nowhere yet.
    pub fn lay(network: &Network) -> io::Result<Wire> {
        let at = network.wire_listens_at();
        let listener = network.in_destination(move || TcpListener::bind(at))?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared::default());
        let (accepts, theirs) = (listener.try_clone()?, Arc::clone(&shared));
        network.spawn_in_destination(move || {
            // Its end is that the socket is shut down.
            while let Ok((stream, _)) = accepts.accept() {
                theirs.connect(stream);
            }
        });
        Ok(Wire { address, listener, shared })
    }

    /// Where it leads from now on.
    pub fn lead_to(&self, target: String) {
        self.shared.lock().target = Some(target);
    }

    /// Takes what comes and hands nothing on, or hands it on again.
    pub fn hold(&self, is_held: bool) {
        self.shared.lock().is_held = is_held;
        self.shared.changed.notify_all();
    }

    /// Waits until somebody has come.
    pub fn await_arrival(&self, deadline: Instant) -> Result<(), String> {
        let mut state = self.shared.lock();
        while state.came == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("nobody came by the link".to_owned());
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.map_err(|_| "the relay failed")?.0;
        }
        Ok(())
    }

    /// Cuts all that leads through it, and whatever comes until it is mended.
    pub fn cut(&self) {
        let mut state = self.shared.lock();
        state.is_cut = true;
        state.ends.drain(..).for_each(|end| drop(end.shutdown(Shutdown::Both)));
        self.shared.changed.notify_all();
    }

    /// Leads where it led, for who comes from now on.
    pub fn mend(&self) {
        self.shared.lock().is_cut = false;
    }

    /// Hands on later by so much.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        self.cut();
        self.hold(false);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics that holds it")
    }

    /// Takes one in. It is closed where the link is cut or leads nowhere.
    fn connect(self: &Arc<Self>, near: TcpStream) {
        let mut state = self.lock();
        state.came += 1;
        self.changed.notify_all();
        let target = state.target.clone().filter(|_| !state.is_cut);
        let Some(Ok(far)) = target.map(TcpStream::connect) else { return };
        let copies = (near.try_clone(), far.try_clone(), near.try_clone(), far.try_clone());
        let (Ok(near_again), Ok(far_again), Ok(near_end), Ok(far_end)) = copies else { return };
        state.ends.extend([near_end, far_end]);
        drop(state);
        for (from, to) in [(near, far), (far_again, near_again)] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.carry(from, to));
        }
    }

    /// One direction, to its end.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            let state = self.lock();
            let held = self.changed.wait_while(state, |state| state.is_held && !state.is_cut);
            let delay = held.expect("no thread panics that holds it").delay;
            // This is the link's own slowness; nothing waits here for anything else.
            std::thread::sleep(delay);
            if to.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}
