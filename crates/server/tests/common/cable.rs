//! What stands between two servers, and can be cut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Carries connections on to a server; they can be cut, one by one or all, and new ones held off.
pub struct Cable {
    pub address: String,
    carried: Arc<Mutex<Vec<JoinHandle<()>>>>,
    is_down: Arc<AtomicBool>,
}

impl Cable {
    pub async fn to(address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (far, near) = (address.to_owned(), listener.local_addr().unwrap().to_string());
        super::carried_on(&near, &far);
        let (carried, is_down) =
            (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let (all, down) = (Arc::clone(&carried), Arc::clone(&is_down));
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(&far).await else { continue };
                let mut all = all.lock().unwrap();
                if !down.load(Ordering::SeqCst) {
                    all.push(tokio::spawn(carry(here, there)));
                }
            }
        });
        Cable { address: near, carried, is_down }
    }

    /// Cuts the connection that was opened as the number `number`, from 0.
    pub fn cut(&self, number: usize) {
        self.carried.lock().unwrap()[number].abort();
    }

    /// Cuts all connections; those that come from now on are closed.
    pub fn cut_all(&self) {
        let mut carried = self.carried.lock().unwrap();
        self.is_down.store(true, Ordering::SeqCst);
        carried.drain(..).for_each(|connection| connection.abort());
    }

    /// From now on connections are carried again.
    pub fn mend(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }
}

async fn carry(mut here: TcpStream, mut there: TcpStream) {
    let (mut from_here, mut to_here) = here.split();
    let (mut from_there, mut to_there) = there.split();
    let one = async {
        let _ = copy(&mut from_here, &mut to_there).await;
        let _ = to_there.shutdown().await;
    };
    let other = async {
        let _ = copy(&mut from_there, &mut to_here).await;
        let _ = to_here.shutdown().await;
    };
    tokio::join!(one, other);
}
