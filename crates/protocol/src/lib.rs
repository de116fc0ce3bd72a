//! What crosses sockets. Every connection carries frames of a length and a payload; a payload is
//! JSON or, on the page plane between two servers, binary. Decoding and encoding do no I/O.
//!
//! ```text
//! (each connection begins with the knock of `lazycopy-transport`)
//!
//! server                      manager                        ctl
//!   FirstFrame::Server ------->                <------ FirstFrame::Ctl
//!   <------- ToServer::Welcome                        ToCtl::Reply -->
//!   <------- ToServer::Command                again after a reconnection, done once
//!   FromServer::Reply ------->
//!   <------- ToServer::Heartbeat              every second
//!   FromServer::Heartbeat ------->
//!   FromServer::Event, Progress, MigrationEnded ------->
//!
//! source server                                   destination server
//!   PeerMessage::Offer ----------------------------------->
//!   <-------------------------- PeerMessage::Accept, Refuse
//!   PeerMessage::Ping ------------------------------------>   several times: model time 0
//!   <---------------------------------- PeerMessage::Pong
//!   PeerMessage::Begin ----------------------------------->
//!   PeerMessage::AreYouThere ----------------------------->   until the hand-over
//!   <---------------------------------- PeerMessage::Here
//!   PeerFrame::Page, Notice ------------------------------>   without a modelled link: Batch,
//!   PeerFrame::Residency, Disk, PeerMessage::Context ----->   and batches on connections of
//!   <--------------------------------- PeerMessage::Reply     their own (module plane)
//!   PeerMessage::Released, or Withdrawn ------------------>
//!
//!   PeerMessage::Pace ------------------------------------>   whenever time is to go otherwise;
//!   PeerMessage::Ping, Pong                                   pings before it goes on
//! ```

pub mod control;
pub mod frame;
pub mod lists;
pub mod pace;
pub mod page;
pub mod peer;
pub mod plane;
