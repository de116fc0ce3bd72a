//! Where the page may be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// An address that this machine alone reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebAddress(pub(super) SocketAddr);

/// What `--web` means without an address: the system chooses a port.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:0";

/// Why the page cannot be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("\"{text}\" is no address: give a loopback address and a port, as 127.0.0.1:8080")]
    NotAnAddress {
        /// What was given.
        text: String,
    },
    /// Others reach it, too.
    #[error(
        "{address} can be reached from other machines, and whoever reaches the page commands the \
         manager: until there is authentication, give a loopback address, as 127.0.0.1:{}",
        address.port()
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
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
            Some(address) if address.ip().is_loopback() => Ok(WebAddress(address)),
            Some(address) => Err(AddressError::NotLoopback { address }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_taken() {
        for (text, address) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1", "127.0.0.1:0"),
            ("localhost:81", "127.0.0.1:81"),
            (":82", "127.0.0.1:82"),
            ("[::1]:83", "[::1]:83"),
        ] {
            assert_eq!(text.parse(), Ok(WebAddress(address.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn what_others_reach_is_refused_by_name_and_so_is_what_is_no_address() {
        for address in ["0.0.0.0:80", "192.168.1.2:80", "[::]:80", "[::ffff:127.0.0.1]:80"] {
            let error = address.parse::<WebAddress>().unwrap_err().to_string();
            assert!(error.starts_with(address) && error.contains("authentication"), "{error}");
        }
        for text in ["", "example.org:80", "127.0.0.1:99999", "http://127.0.0.1/", ":"] {
            let error = text.parse::<WebAddress>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\" is no address")), "{error}");
        }
    }
}
