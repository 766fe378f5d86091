//! `crypto`: digests, and the operator's keys by name.

use super::{HostCall, bounded};
use crate::bindings::witgate::plugin::access::AccessError;
use crate::bindings::witgate::plugin::crypto::{Hash, Host};
use crate::service::{HashKind, digest};

impl From<Hash> for HashKind {
    fn from(hash: Hash) -> Self {
        match hash {
            Hash::Sha256 => Self::Sha256,
            Hash::Sha384 => Self::Sha384,
            Hash::Sha512 => Self::Sha512,
        }
    }
}

impl Host for HostCall<'_> {
    fn digest(&mut self, hash: Hash, data: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.passed(data.len());
        let digest = digest(hash.into(), bounded(&data)?);
        Ok(self.give(digest))
    }

    fn hmac(&mut self, hash: Hash, key: String, message: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, AccessError>> {
        self.passed(key.len() + message.len());
        let (key, message) = (self.binding.grants.keys.get(&key), bounded(&message)?);
        let mac = key.map(|key| key.sign(hash.into(), message)).ok_or(AccessError::NotGranted);
        Ok(self.give(mac))
    }

    fn hmac_verify(
        &mut self,
        hash: Hash,
        key: String,
        message: Vec<u8>,
        mac: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, AccessError>> {
        self.passed(key.len() + message.len() + mac.len());
        let (key, message) = (self.binding.grants.keys.get(&key), bounded(&message)?);
        Ok(key.map(|key| key.verify(hash.into(), message, &mac)).ok_or(AccessError::NotGranted))
    }

    fn identify(
        &mut self,
        key_set: String,
        credential: Vec<u8>,
    ) -> wasmtime::Result<Result<Option<String>, AccessError>> {
        self.passed(key_set.len() + credential.len());
        let (set, credential) = (self.binding.grants.key_sets.get(&key_set), bounded(&credential)?);
        let identity = set.map(|set| set.identify(credential).as_deref().map(str::to_owned));
        Ok(self.give(identity.ok_or(AccessError::NotGranted)))
    }

    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        let grants = &self.binding.grants;
        let names = grants.keys.keys().chain(grants.key_sets.keys()).cloned().collect::<Vec<_>>();
        Ok(self.give(names))
    }
}
