//! Where the page may be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Where the page is to be. Whether it may be there is for its [`Door`](lazycopy_transport::Door).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebAddress(pub(super) SocketAddr);

/// What `--web` means without an address: the system chooses a port.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:0";

/// Why the page cannot be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("\"{text}\" is no address: give an IP address and a port, as 127.0.0.1:8080")]
    NotAnAddress {
        /// What was given.
        text: String,
    },
}

impl FromStr for WebAddress {
    type Err = AddressError;

    /// An address with a port, or one of the two; `localhost` stands for 127.0.0.1.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port_here = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':'));
        let address = if let Some(port) = port_here {
            port.parse().ok().map(|port| SocketAddr::new(here, port))
        } else if text == "localhost" {
            Some(SocketAddr::new(here, 0))
        } else {
            let ip = || text.parse().ok().map(|ip| SocketAddr::new(ip, 0));
            text.parse().ok().or_else(ip)
        };
        match address {
            None => Err(AddressError::NotAnAddress { text: text.to_owned() }),
            Some(address) => Ok(WebAddress(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_what_they_leave_out() {
        for (text, address) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1", "127.0.0.1:0"),
            ("localhost:81", "127.0.0.1:81"),
            (":82", "127.0.0.1:82"),
            ("[::1]:83", "[::1]:83"),
            ("0.0.0.0:80", "0.0.0.0:80"),
        ] {
            assert_eq!(text.parse(), Ok(WebAddress(address.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for text in ["", "example.org:80", "127.0.0.1:99999", "http://127.0.0.1/", ":"] {
            let error = text.parse::<WebAddress>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\" is no address")), "{error}");
        }
    }
}
