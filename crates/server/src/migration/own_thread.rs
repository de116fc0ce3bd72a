//! A migration over the page plane keeps a thread of its own busy: nobody else is woken for what
//! comes for it, and its sockets wait for no other task.

use super::{Driver, Side, Timeline, WayBack, drive};
use crate::connection::Connection;
use crate::vm::Vm;
use lazycopy_link::LinkSpec;
use std::io;
use tokio::runtime::{Builder, Runtime};
use tokio::task::block_in_place;

/// The runtime of one thread that serves a migration's sockets; none where the link is modelled,
/// which costs little and shares the server's.
pub(crate) struct OwnThread {
    runtime: Option<Runtime>,
}

impl OwnThread {
    /// What a migration over that link wants.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub(crate) fn of(link: &LinkSpec) -> io::Result<Self> {
        let runtime = match link {
            LinkSpec::Modelled(_) => None,
            LinkSpec::Unlimited(_) => Some(Builder::new_current_thread().enable_all().build()?),
        };
        Ok(OwnThread { runtime })
    }

    /// Makes sockets that this thread will serve.
    pub(crate) fn enter<T>(&self, make: impl FnOnce() -> T) -> T {
        let _here = self.runtime.as_ref().map(Runtime::enter);
        make()
    }

    /// Drives a side until it is over, or the server ends.
    pub(crate) async fn drive<S: Side>(
        self,
        vm: &mut Vm,
        driver: &mut Driver<S>,
        connection: &mut Option<Connection>,
        timeline: &mut Timeline,
        way_back: &mut WayBack,
    ) {
        let Some(runtime) = self.runtime else {
            return drive(vm, driver, connection, timeline, way_back).await;
        };
        block_in_place(|| {
            runtime.block_on(async {
                *connection = connection.take().and_then(|it| it.moved_here().ok());
                let host = std::sync::Arc::clone(&vm.host);
                tokio::select! {
                    () = drive(vm, driver, connection, timeline, way_back) => {}
                    () = host.ended() => {}
                }
            });
            runtime.shutdown_background();
        });
    }
}
