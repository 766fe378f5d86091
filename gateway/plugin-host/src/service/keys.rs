//! The operator's keys. Guests use them by name and never see them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// A hash function that plugins may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    Sha256,
    Sha384,
    Sha512,
}

/// The digest of `data` (FIPS 180-4).
pub fn digest(hash: HashKind, data: &[u8]) -> Vec<u8> {
    match hash {
        HashKind::Sha256 => Sha256::digest(data).to_vec(),
        HashKind::Sha384 => Sha384::digest(data).to_vec(),
        HashKind::Sha512 => Sha512::digest(data).to_vec(),
    }
}

/// A secret for HMAC (RFC 2104), with the key schedule of each hash done once.
pub struct HmacKey {
    sha256: Hmac<Sha256>,
    sha384: Hmac<Sha384>,
    sha512: Hmac<Sha512>,
    fingerprint: [u8; 32],
}

impl HmacKey {
    /// Takes a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            sha256: keyed(secret),
            sha384: keyed(secret),
            sha512: keyed(secret),
            fingerprint: Sha256::digest(secret).into(),
        }
    }

    /// The code of a message.
    pub fn sign(&self, hash: HashKind, message: &[u8]) -> Vec<u8> {
        match hash {
            HashKind::Sha256 => self.sha256.clone().chain_update(message).finalize().into_bytes().to_vec(),
            HashKind::Sha384 => self.sha384.clone().chain_update(message).finalize().into_bytes().to_vec(),
            HashKind::Sha512 => self.sha512.clone().chain_update(message).finalize().into_bytes().to_vec(),
        }
    }

    /// Whether `mac` is the code of the message, compared in constant time. A truncated code is not accepted.
    pub fn verify(&self, hash: HashKind, message: &[u8], mac: &[u8]) -> bool {
        match hash {
            HashKind::Sha256 => self.sha256.clone().chain_update(message).verify_slice(mac).is_ok(),
            HashKind::Sha384 => self.sha384.clone().chain_update(message).verify_slice(mac).is_ok(),
            HashKind::Sha512 => self.sha512.clone().chain_update(message).verify_slice(mac).is_ok(),
        }
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length; the error type serves other MACs")]
fn keyed<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("HMAC takes keys of every length")
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(secret)")
    }
}

/// API keys and the identities they stand for. Only digests of the keys are kept, and they are looked up by digest: how
/// long a lookup takes says nothing about a key that is nearly right.
pub struct KeySet {
    identities: HashMap<[u8; 32], Arc<str>>,
    fingerprint: [u8; 32],
}

impl KeySet {
    /// Of pairs of key and identity; of two pairs with the same key the later one counts.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a str)>) -> Self {
        let identities: HashMap<[u8; 32], Arc<str>> =
            pairs.into_iter().map(|(key, identity)| (Sha256::digest(key).into(), Arc::from(identity))).collect();
        let mut ordered: Vec<_> = identities.iter().collect();
        ordered.sort();
        let mut fingerprint = Sha256::new();
        for (key, identity) in ordered {
            fingerprint.update(key);
            fingerprint.update((identity.len() as u64).to_le_bytes());
            fingerprint.update(identity.as_bytes());
        }
        Self { identities, fingerprint: fingerprint.finalize().into() }
    }

    /// The identity that a credential stands for.
    pub fn identify(&self, credential: &[u8]) -> Option<Arc<str>> {
        let key: [u8; 32] = Sha256::digest(credential).into();
        self.identities.get(&key).cloned()
    }

    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.identities.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hmac_agrees_with_rfc_4231_case_2() {
        let key = HmacKey::new(b"Jefe");
        let message = b"what do ya want for nothing?";
        assert_eq!(
            hex(&key.sign(HashKind::Sha256, message)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(
            hex(&key.sign(HashKind::Sha384, message)).starts_with("af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47")
        );
        assert!(
            hex(&key.sign(HashKind::Sha512, message)).starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd6")
        );
    }

    #[test]
    fn a_code_is_accepted_only_whole_and_for_its_own_message_and_hash() {
        let key = HmacKey::new(b"secret");
        for hash in [HashKind::Sha256, HashKind::Sha384, HashKind::Sha512] {
            let mac = key.sign(hash, b"message");
            assert!(key.verify(hash, b"message", &mac));
            assert!(!key.verify(hash, b"massage", &mac), "another message");
            assert!(!key.verify(hash, b"message", &mac[..16]), "truncated");
            assert!(!key.verify(hash, b"message", b""), "empty");
            assert!(!HmacKey::new(b"other").verify(hash, b"message", &mac), "another key");
        }
        assert!(!key.verify(HashKind::Sha512, b"message", &key.sign(HashKind::Sha256, b"message")));
    }

    #[test]
    fn a_key_set_knows_its_keys_and_no_others() {
        let set = KeySet::new([(&b"k1"[..], "alice"), (&b"k2"[..], "bob")]);
        assert_eq!(set.identify(b"k1").as_deref(), Some("alice"));
        assert_eq!(set.identify(b"k2").as_deref(), Some("bob"));
        assert_eq!(set.identify(b"k"), None);
        assert_eq!(set.identify(b""), None);
    }

    #[test]
    fn fingerprints_follow_the_content_and_not_its_order() {
        let one = KeySet::new([(&b"k1"[..], "alice"), (&b"k2"[..], "bob")]);
        let other = KeySet::new([(&b"k2"[..], "bob"), (&b"k1"[..], "alice")]);
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_ne!(one.fingerprint(), KeySet::new([(&b"k1"[..], "bob"), (&b"k2"[..], "alice")]).fingerprint());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        assert_eq!(format!("{:?}", HmacKey::new(b"hunter2")), "HmacKey(secret)");
        assert_eq!(format!("{:?}", KeySet::new([(&b"hunter2"[..], "eve")])), "KeySet(1 keys)");
    }
}
