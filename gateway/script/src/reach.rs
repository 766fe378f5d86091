//! What sockets of scripts may connect to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Addresses that are granted: all others are refused, whatever name they were found by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Endpoints of upstreams, by the upstream's name: `connect("redis", …)` finds one of them, with any port.
    pub upstreams: BTreeMap<String, Vec<SocketAddr>>,
    pub networks: Vec<Network>,
    pub unix: Vec<PathBuf>,
    /// For tests: where sockets go in the place of `HOST:PORT`, or of a host with every port. With these, nothing else is in
    /// reach, but they are no grants.
    pub stand_ins: Option<BTreeMap<String, SocketAddr>>,
}

/// A range of addresses and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    /// Leading bits of the address that count.
    pub bits: u8,
    /// None: every port.
    pub port: Option<u16>,
}

impl Network {
    fn contains(&self, address: SocketAddr) -> bool {
        let same = match (self.address.to_canonical(), address.ip().to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let apart = u32::from(one) ^ u32::from(other);
                apart.checked_shr(32 - u32::from(self.bits.min(32))).unwrap_or(0) == 0
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let apart = u128::from(one) ^ u128::from(other);
                apart.checked_shr(128 - u32::from(self.bits.min(128))).unwrap_or(0) == 0
            }
            _ => false,
        };
        same && self.port.is_none_or(|port| port == address.port())
    }
}

impl Reach {
    pub fn allows(&self, address: SocketAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
            || self.upstreams.values().flatten().any(|endpoint| *endpoint == address)
    }

    pub fn allows_unix(&self, path: &Path) -> bool {
        self.unix.iter().any(|allowed| allowed == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, bits: u8, port: Option<u16>) -> Reach {
        Reach { networks: vec![Network { address: address.parse().unwrap(), bits, port }], ..Reach::default() }
    }

    #[test]
    fn addresses_are_in_reach_by_network_and_port() {
        let allows = |reach: &Reach, address: &str| reach.allows(address.parse().unwrap());
        let reach = network("10.1.0.0", 16, Some(6379));
        assert!(allows(&reach, "10.1.255.3:6379") && allows(&reach, "[::ffff:10.1.0.1]:6379"));
        for out in ["10.1.0.1:6380", "10.2.0.1:6379", "[::1]:6379", "127.0.0.1:6379"] {
            assert!(!allows(&reach, out), "{out}");
        }
        assert!(allows(&network("0.0.0.0", 0, None), "8.8.8.8:53"));
        assert!(!allows(&network("0.0.0.0", 0, None), "[::1]:53"));
        assert!(
            allows(&network("fd00::", 8, None), "[fdff::1]:1") && !allows(&network("fd00::", 8, None), "[fe80::1]:1")
        );
        assert!(!allows(&Reach::default(), "127.0.0.1:80"));
    }
}
