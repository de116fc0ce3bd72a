//! Guests that come from other servers: who listens for them, and what is let in.

use crate::connection::Connection;
use crate::expected::Answerer;
use crate::handshake::{HANDSHAKE_DEADLINE, answer_of_old, unexpected};
use crate::host::Host;
use crate::vm::{MOST_ACCESSES, check_link, check_parameters};
use lazycopy_protocol::control::{MigrationId, MigrationKey};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::peer::{Offer, PeerMessage};
use lazycopy_transport::{Admitted, Evicted, Listener, Lobby, PageLink, Purpose, Seat, Socket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// The most connections of other servers at a time: far more guests than move side by side, and
/// far fewer than there are file descriptors.
const MAX_PEER_CONNECTIONS: usize = 256;

/// The most connections that have yet to prove what they are: many more than migrations begin at a
/// time, and few enough to leave file descriptors to those that have.
const MAX_STRANGERS: usize = 256;

/// After the system could not give a connection, for instance for want of file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Takes in connections of other servers, for ever.
pub(crate) async fn accept(host: &Arc<Host>, listener: Listener) {
    let places = Arc::new(Semaphore::new(MAX_PEER_CONNECTIONS));
    let lobby = Lobby::new(MAX_STRANGERS);
    loop {
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot take in a connection");
                lobby.make_room();
                sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        let (seat, visited, places) = (lobby.enter(), Arc::clone(host), Arc::clone(&places));
        host.spawn(async move {
            let visit = visit(&visited, socket, seat, places);
            if let Err(reason) = visit.await {
                warn!(%from, reason, "closed a connection");
            }
        });
    }
}

/// One connection, from its knock to the end of the migration, and then the guest's life.
async fn visit(
    host: &Arc<Host>,
    socket: Socket,
    seat: Seat,
    places: Arc<Semaphore>,
) -> Result<(), String> {
    let admitted = seat.wait_for(host.door().admit(socket, |purpose| key_of(host, purpose))).await;
    let admitted = admitted.map_err(|Evicted| "others came while it said nothing".to_owned())?;
    let Admitted { stream, purpose } = admitted.map_err(|error| error.to_string())?;
    let place = places.try_acquire_owned().ok();
    let is_full = place.is_none();
    let connection = Connection::new(stream, place);
    if is_full {
        let reason = format!("there are {MAX_PEER_CONNECTIONS} connections already");
        connection.refuse(reason.clone()).await;
        return Err(reason);
    }
    match purpose {
        Purpose::Pages { link: PageLink::Offer, migration, source } => {
            take_in_guest(host, connection, migration, &source).await
        }
        Purpose::Pages { link: PageLink::Bulk, migration, source } => {
            take_in_bulk(host, connection, migration, source).await
        }
        Purpose::Pages { link: PageLink::Recover, migration, source } => {
            take_back_in(host, connection, migration, &source).await
        }
        other => Err(format!("it came for {other:?}")),
    }
}

/// What who knocks has to prove.
fn key_of(host: &Host, purpose: &Purpose) -> Result<Option<MigrationKey>, String> {
    match purpose {
        Purpose::Pages { link, migration, source } => {
            host.expectations().key_of(*link, source, *migration).map(Some)
        }
        Purpose::Server | Purpose::Ctl => Err(format!(
            "this is server \"{}\", not the manager: give the manager's address",
            host.name()
        )),
    }
}

/// A guest comes, if its offer is what was expected.
async fn take_in_guest(
    host: &Arc<Host>,
    mut connection: Connection,
    migration: MigrationId,
    source: &str,
) -> Result<(), String> {
    let offer = timeout(HANDSHAKE_DEADLINE, connection.next_message())
        .await
        .map_err(|_| format!("no offer came within {} s", HANDSHAKE_DEADLINE.as_secs()))??;
    let PeerMessage::Offer(offer) = offer else { return Err(unexpected("Offer", &offer)) };
    let vm = offer.vm.clone();
    let announced = match offer.migration == migration && offer.source == source {
        true => Ok(()),
        false => Err(format!("it announced migration {} from \"{source}\"", migration.0)),
    };
    let checked = announced.and_then(|()| check(&offer));
    match checked.and_then(|()| host.admit_arriving(*offer)) {
        Ok(arriving) => {
            info!(vm, source, "a guest is coming");
            arriving.live(connection).await;
            Ok(())
        }
        Err(reason) => {
            warn!(vm, source, reason, "refused a guest");
            connection.refuse(reason).await;
            Ok(())
        }
    }
}

/// A source comes back to a migration whose link broke.
async fn take_back_in(
    host: &Host,
    connection: Connection,
    migration: MigrationId,
    source: &str,
) -> Result<(), String> {
    match host.expectations().answerer(source, migration) {
        Some(Answerer::Guest(vm)) => host.comes_back(&vm, connection),
        Some(Answerer::Known(answer)) => answer_of_old(connection, answer).await,
        None => Err(format!("migration {} is not under way", migration.0)),
    }
}

/// A bulk connection goes to the guest that awaits it.
async fn take_in_bulk(
    host: &Host,
    mut connection: Connection,
    migration: MigrationId,
    source: String,
) -> Result<(), String> {
    let Some(awaiting) = host.awaiting_bulk(&source, migration) else {
        let number = migration.0;
        let reason = format!("no guest awaits bulk connections of migration {number}");
        connection.refuse(reason.clone()).await;
        return Err(reason);
    };
    // The source opens the next one when this one is accepted: so they have the same numbers there.
    let number = awaiting.max_capacity() - awaiting.capacity();
    let permit = awaiting.try_reserve().map_err(|_| "more bulk connections than agreed")?;
    connection.send(PeerFrame::Message(PeerMessage::Accept)).map_err(|error| error.to_string())?;
    let stream = timeout(HANDSHAKE_DEADLINE, connection.into_stream())
        .await
        .map_err(|_| "the source does not read".to_owned())??;
    permit.send((number, stream));
    Ok(())
}

/// What can be said of an offer without looking at the pool.
pub(crate) fn check(offer: &Offer) -> Result<(), String> {
    check_link(&offer.link)?;
    if offer.position > MOST_ACCESSES {
        return Err(format!(
            "position: {} accesses are more than the {MOST_ACCESSES} that a guest can have",
            offer.position
        ));
    }
    check_parameters(&offer.parameters)
}
