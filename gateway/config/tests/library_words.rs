//! Words that belong to libraries: whoever reads a message of ours should not have to know that there are any.

/// Parts of messages that a library would give: the parser of TOML, serde, rustls, the parser of certificates, wasmtime, the
/// validator of JSON Schema, and the operating system by way of the standard library.
pub const LIBRARY_WORDS: &[&str] = &[
    // toml
    "TOML parse error",
    "duplicate key",
    "invalid basic string",
    "must be quoted",
    "literal string",
    "unclosed ",
    "invalid key-value pair",
    "non-double-quote",
    "invalid TOML",
    "dotted key",
    "missing opening",
    "recurse further",
    // serde
    "invalid type",
    "invalid value:",
    "missing field",
    "unknown field",
    "unknown variant",
    "EOF while parsing",
    "trailing characters",
    "at line ",
    // std
    "os error",
    "No such file",
    "Permission denied",
    "Is a directory",
    "Address already in use",
    "invalid digit",
    "number too large",
    "invalid utf-8",
    "stream did not contain",
    "failed to lookup",
    "Name or service not known",
    "Not a directory",
    "Too many levels of symbolic links",
    // rustls and its PEM reader, x509-parser
    "InvalidCertificate",
    "BadEncoding",
    "BadSignature",
    "InconsistentKeys",
    "failed to parse private key",
    "PKCS#",
    "section end",
    "Base64",
    "Nom(",
    "nom ",
    "X.509 error",
    "ASN.1",
    "BER",
    "DER ",
    // wasmtime
    "failed to parse WebAssembly",
    "(at offset",
    "unexpected end-of-file",
    "wasm backtrace",
    "linker",
    "component imports",
    // jsonschema
    "is not of type",
    "is a required property",
    "Additional properties",
    "is not one of [",
    "is not valid under",
    "does not match",
    "is less than the minimum",
    "is greater than the maximum",
    "is shorter than",
    "is longer than",
    "has less than",
    "has more than",
    // Rust
    "Error {",
    "Error(",
    "Err(",
    "Some(",
    "None)",
    "panicked",
    "unwrap",
];

/// The first word of a library in a text.
pub fn library_words(text: &str) -> Option<&'static str> {
    LIBRARY_WORDS.iter().find(|word| text.contains(**word)).copied()
}
