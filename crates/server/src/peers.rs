//! Guests that come from other servers: who listens for them, and what is let in.

use crate::connection::Connection;
use crate::handshake::{HANDSHAKE_DEADLINE, unexpected};
use crate::host::Host;
use crate::vm::{MOST_ACCESSES, check_link, check_parameters};
use lazycopy_protocol::control::{MigrationId, PROTOCOL_VERSION};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::peer::{Offer, PeerMessage};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// The most connections of other servers at a time: far more guests than move side by side, and
/// far fewer than there are file descriptors.
const MAX_PEER_CONNECTIONS: usize = 256;

/// After the system could not give a connection, for instance for want of file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Takes in connections of other servers, for ever.
pub(crate) async fn accept(host: &Arc<Host>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MAX_PEER_CONNECTIONS));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot take in a connection");
                sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            warn!(%from, "closed a connection: there are {MAX_PEER_CONNECTIONS} already");
            continue;
        };
        let visited = Arc::clone(host);
        host.spawn(async move {
            if let Err(reason) = visit(&visited, stream, place).await {
                warn!(%from, reason, "closed a connection");
            }
        });
    }
}

/// One connection, from its first frame to the end of the migration, and then the guest's life.
async fn visit(
    host: &Arc<Host>,
    stream: TcpStream,
    place: OwnedSemaphorePermit,
) -> Result<(), String> {
    let mut connection = Connection::new(stream, Some(place)).map_err(|error| error.to_string())?;
    let offer = timeout(HANDSHAKE_DEADLINE, connection.next_message())
        .await
        .map_err(|_| format!("no offer came within {} s", HANDSHAKE_DEADLINE.as_secs()))??;
    let offer = match offer {
        PeerMessage::Offer(offer) => offer,
        PeerMessage::Bulk { migration, source } => {
            return take_in_bulk(host, connection, migration, source).await;
        }
        other => return Err(unexpected("Offer or Bulk", &other)),
    };
    let (vm, source) = (offer.vm.clone(), offer.source.clone());
    match check(&offer).and_then(|()| host.admit_arriving(*offer)) {
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
    if offer.protocol != PROTOCOL_VERSION {
        return Err(format!(
            "server \"{}\" speaks protocol {}, this one {PROTOCOL_VERSION}",
            offer.source, offer.protocol
        ));
    }
    check_link(&offer.link)?;
    if offer.position > MOST_ACCESSES {
        return Err(format!(
            "position: {} accesses are more than the {MOST_ACCESSES} that a guest can have",
            offer.position
        ));
    }
    check_parameters(&offer.parameters)
}
