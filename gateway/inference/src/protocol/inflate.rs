//! Bodies and messages that were compressed on their way (RFC 9110, section 8.4.1).

use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::failure::{Failure, Kind};

/// What a client may have its bodies compressed with, as `Accept-Encoding` and `grpc-accept-encoding` say it.
pub const ACCEPTED: &str = "gzip, deflate";

/// How a body was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    /// In the format of zlib, as the RFC has it.
    Deflate,
}

impl Coding {
    /// What a field says about the body; none: it is as it is.
    ///
    /// # Errors
    /// It was compressed in another way, or more than once.
    pub fn of(headers: &HeaderMap, field: &HeaderName) -> Result<Option<Self>, Failure> {
        let mut values = headers.get_all(field).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) => value.as_bytes().trim_ascii(),
            (Some(_), Some(_)) => b"",
        };
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        if is("identity") {
            Ok(None)
        } else if is("gzip") || is("x-gzip") {
            Ok(Some(Self::Gzip))
        } else if is("deflate") {
            Ok(Some(Self::Deflate))
        } else {
            Err(refused(field))
        }
    }

    /// The body as it was before; `limit`: most bytes of it. A small body can stand for a large one, so it is read in
    /// pieces and only as far as that.
    ///
    /// # Errors
    /// It is longer than that, or was not compressed in this way.
    pub fn inflate(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut inflated = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
        let (read, rest) = match self {
            Self::Gzip => (MultiGzDecoder::new(body).take(most).read_to_end(&mut inflated), 0),
            Self::Deflate => {
                let mut decoder = ZlibDecoder::new(body);
                let read = (&mut decoder).take(most).read_to_end(&mut inflated);
                (read, decoder.into_inner().len())
            }
        };
        if inflated.len() > limit {
            return Err(Failure::new(
                Kind::TooLarge,
                format!("the body has more than the {limit} bytes that are taken here, once it is decompressed"),
            ));
        }
        if read.is_err() || rest > 0 {
            let name = match self {
                Self::Gzip => "gzip",
                Self::Deflate => "deflate (in the format of zlib)",
            };
            return Err(Failure::invalid(format!("the body is not {name}, as its header says, or not whole")));
        }
        Ok(inflated)
    }
}

/// The error for another coding.
fn refused(field: &HeaderName) -> Failure {
    Failure::new(
        Kind::Encoding,
        format!("the body is compressed in a way that is not read here: expected {ACCEPTED} or identity in {field}"),
    )
}

/// [`ACCEPTED`], for a client that did not know.
pub fn accepted() -> HeaderValue {
    HeaderValue::from_static(ACCEPTED)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http::header::CONTENT_ENCODING;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_coding_is_told_by_its_name() {
        let of = |values: &[&'static str]| {
            let headers: HeaderMap =
                values.iter().map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value))).collect();
            Coding::of(&headers, &CONTENT_ENCODING).map_err(|failure| failure.kind)
        };
        assert_eq!([of(&[]), of(&["identity"]), of(&["Identity"])], [Ok(None); 3]);
        assert_eq!([of(&["gzip"]), of(&["GZIP"]), of(&["x-gzip "])], [Ok(Some(Coding::Gzip)); 3]);
        assert_eq!(of(&["deflate"]), Ok(Some(Coding::Deflate)));
        for wrong in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &[""], &["deflate, identity"]] {
            assert_eq!(of(wrong), Err(Kind::Encoding), "{wrong:?}");
        }
    }

    #[test]
    fn a_body_comes_out_as_it_went_in_up_to_the_limit() {
        for (coding, pack) in [(Coding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Coding::Deflate, zlib)] {
            for body in [&b""[..], b"x", &[7; 100_000]] {
                assert_eq!(coding.inflate(&pack(body), body.len()).unwrap(), body, "{coding:?}");
            }
            let bomb = pack(&vec![0; 10_000_000]);
            let failure = coding.inflate(&bomb, 1_000_000).unwrap_err();
            assert_eq!(failure.kind, Kind::TooLarge);
            assert!(failure.message.contains("1000000 bytes"), "{}", failure.message);
        }
        let twice = [gzip(b"ab"), gzip(b"cd")].concat();
        assert_eq!(Coding::Gzip.inflate(&twice, 4).unwrap(), b"abcd");
    }

    #[test]
    fn what_was_not_compressed_so_is_refused() {
        let (gzip, zlib) = (gzip(b"hello"), zlib(b"hello"));
        let more = |bytes: &[u8]| [bytes, b"x"].concat();
        let mut changed = gzip.clone();
        *changed.last_mut().unwrap() ^= 1;
        for (coding, body) in [
            (Coding::Gzip, b"".to_vec()),
            (Coding::Gzip, b"hello".to_vec()),
            (Coding::Gzip, zlib.clone()),
            (Coding::Gzip, gzip[..gzip.len() - 1].to_vec()),
            (Coding::Gzip, more(&gzip)),
            (Coding::Gzip, changed),
            (Coding::Deflate, b"".to_vec()),
            (Coding::Deflate, b"hello".to_vec()),
            (Coding::Deflate, gzip.clone()),
            (Coding::Deflate, zlib[..zlib.len() - 1].to_vec()),
            (Coding::Deflate, more(&zlib)),
        ] {
            assert_eq!(
                coding.inflate(&body, 100).map_err(|failure| failure.kind),
                Err(Kind::Invalid),
                "{coding:?} {body:?}"
            );
        }
    }
}
