//! Bodies: where they end, and what of the bytes that arrive is theirs (RFC 9112, sections 6 and 7).

use bytes::{Buf, BytesMut};
use http::HeaderMap;

use super::field::{self, Fields};

/// Longest line with a chunk's size, extensions included: they are not passed on, and nobody is known to use them.
const SIZE_LINE_LIMIT: usize = 1024;
/// Most bytes of trailers.
const TRAILERS_LIMIT: usize = 16 * 1024;

/// A body that does not follow its own framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("a chunk's size is not a hexadecimal number")]
    Size,
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    #[error("a trailer field is malformed")]
    Trailer,
    #[error("trailers exceed {TRAILERS_LIMIT} bytes")]
    TrailersTooLarge,
    #[error("the connection closed before the body's end")]
    Truncated,
    #[error("its length is not what Content-Length says, or its trailers do not end it")]
    Length,
}

/// What the buffer holds of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// This many bytes at the front are content.
    Data(usize),
    /// More bytes have to arrive.
    More,
    /// The body has ended.
    End,
}

/// Finds the content in the bytes of a message.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    trailers: Option<HeaderMap>,
    lenient: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This many bytes are left.
    Length(u64),
    /// All that comes.
    UntilClose,
    /// A line with a size.
    Size,
    /// This many bytes of the chunk are left.
    Chunk(u64),
    /// CRLF after a chunk.
    ChunkEnd,
    Trailers,
    End,
}

impl Decoder {
    pub fn length(length: u64) -> Self {
        Self::new(if length == 0 { State::End } else { State::Length(length) })
    }

    pub fn chunked() -> Self {
        Self::new(State::Size)
    }

    /// A response whose connection's end is its own.
    pub fn until_close() -> Self {
        Self::new(State::UntilClose)
    }

    fn new(state: State) -> Self {
        Self { state, trailers: None, lenient: false }
    }

    /// Of an upstream's response: its trailers are read as its head is.
    pub fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// Bytes that are left, if known.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::End => Some(0),
            _ => None,
        }
    }

    /// Fields behind the last chunk, once it has ended.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Takes framing off the front of the buffer and says how much content follows.
    ///
    /// # Errors
    /// The body is malformed; nothing after it can be trusted.
    pub fn advance(&mut self, buffer: &mut BytesMut) -> Result<Progress, BodyError> {
        loop {
            let available = |left: u64| match buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)) {
                0 => Progress::More,
                count => Progress::Data(count),
            };
            match self.state {
                State::End => return Ok(Progress::End),
                State::Length(left) | State::Chunk(left) => return Ok(available(left)),
                State::UntilClose => return Ok(available(u64::MAX)),
                State::Size => match size_line(buffer)? {
                    None => return Ok(Progress::More),
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Chunk(size),
                },
                State::ChunkEnd => match buffer.get(..2) {
                    None if buffer.first().is_none_or(|byte| *byte == b'\r') => return Ok(Progress::More),
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    _ => return Err(BodyError::ChunkEnd),
                },
                State::Trailers => match trailers(buffer, self.lenient)? {
                    None => return Ok(Progress::More),
                    Some(trailers) => {
                        self.trailers = trailers;
                        self.state = State::End;
                    }
                },
            }
        }
    }

    /// Takes content that has been used off the front.
    pub fn consume(&mut self, buffer: &mut BytesMut, count: usize) {
        buffer.advance(count);
        let taken = u64::try_from(count).unwrap_or(u64::MAX);
        self.state = match self.state {
            State::Length(left) if left <= taken => State::End,
            State::Length(left) => State::Length(left - taken),
            State::Chunk(left) if left <= taken => State::ChunkEnd,
            State::Chunk(left) => State::Chunk(left - taken),
            other => other,
        };
    }

    /// The sender has closed: that ends some bodies and breaks all others.
    ///
    /// # Errors
    /// The body was not complete.
    pub fn closed(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::End => Ok(()),
            State::UntilClose => {
                self.state = State::End;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }
}

/// A chunk's size; none: the line is not complete.
fn size_line(buffer: &mut BytesMut) -> Result<Option<u64>, BodyError> {
    let Some(newline) = memchr::memchr(b'\n', buffer.get(..SIZE_LINE_LIMIT.min(buffer.len())).unwrap_or_default())
    else {
        return if buffer.len() >= SIZE_LINE_LIMIT { Err(BodyError::Size) } else { Ok(None) };
    };
    let line = buffer.get(..newline).and_then(|line| line.strip_suffix(b"\r")).ok_or(BodyError::Size)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (number, rest) = line.split_at_checked(digits).unwrap_or_default();
    let extension_or_nothing = matches!(rest.trim_ascii_start().first(), None | Some(b';'));
    // 15 digits hold every size below 2^60.
    if !(1..=15).contains(&digits)
        || !extension_or_nothing
        || rest.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(BodyError::Size);
    }
    let size = number.iter().fold(0, |size, digit| size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or(0)));
    buffer.advance(newline + 1);
    Ok(Some(size))
}

/// The trailers, behind the last chunk; none: they are not complete.
fn trailers(buffer: &mut BytesMut, lenient: bool) -> Result<Option<Option<HeaderMap>>, BodyError> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(None));
    }
    let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        return if buffer.len() > TRAILERS_LIMIT { Err(BodyError::TrailersTooLarge) } else { Ok(None) };
    };
    if end > TRAILERS_LIMIT {
        return Err(BodyError::TrailersTooLarge);
    }
    let section = buffer.get(..end).unwrap_or_default();
    let split = if lenient { field::split_lenient } else { field::split };
    let mut fields = Fields::default();
    for line in section.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        let (name, value) = split(line).map_err(|_| BodyError::Trailer)?;
        fields.add(name, value).map_err(|_| BodyError::Trailer)?;
        if fields.map.len() > field::FIELDS_LIMIT {
            return Err(BodyError::TrailersTooLarge);
        }
    }
    buffer.advance(end + 4);
    Ok(Some(Some(fields.map)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in pieces and gathers the content, or says what is wrong.
    fn decode(mut decoder: Decoder, bytes: &[u8], piece: usize) -> Result<(String, Decoder, usize), BodyError> {
        let (mut buffer, mut content, mut fed) = (BytesMut::new(), Vec::new(), 0);
        loop {
            match decoder.advance(&mut buffer)? {
                Progress::Data(count) => {
                    content.extend_from_slice(&buffer[..count]);
                    decoder.consume(&mut buffer, count);
                }
                Progress::End => break,
                Progress::More if fed == bytes.len() => {
                    decoder.closed()?;
                    break;
                }
                Progress::More => {
                    let next = bytes.len().min(fed + piece);
                    buffer.extend_from_slice(&bytes[fed..next]);
                    fed = next;
                }
            }
        }
        Ok((String::from_utf8(content).unwrap(), decoder, buffer.len() + bytes.len() - fed))
    }

    #[test]
    fn every_framing_gives_the_same_content_however_it_arrives() {
        let chunked = b"5;ext=\"1\"\r\nhello\r\n1\r\n \r\n00A\r\nworld12345\r\n0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\nGET";
        for piece in 1..chunked.len() {
            let (content, mut decoder, left) = decode(Decoder::chunked(), chunked, piece).unwrap();
            assert_eq!((content.as_str(), left), ("hello world12345", 3), "pieces of {piece}");
            assert_eq!(decoder.take_trailers().unwrap().get_all("x-sum").iter().count(), 2);
            let (content, _, left) = decode(Decoder::length(5), b"helloGET", piece).unwrap();
            assert_eq!((content.as_str(), left), ("hello", 3));
            assert_eq!(decode(Decoder::until_close(), b"hello", piece).unwrap().0, "hello");
        }
    }

    #[test]
    fn broken_framing_is_an_error_however_it_arrives() {
        for (bytes, error) in [
            (&b"zz\r\nabc\r\n0\r\n\r\n"[..], BodyError::Size),
            (b"\r\n", BodyError::Size),
            (b"-1\r\n", BodyError::Size),
            (b"0x1\r\na\r\n", BodyError::Size),
            (b"1\na\r\n0\r\n\r\n", BodyError::Size),
            (b"1 1\r\na\r\n0\r\n\r\n", BodyError::Size),
            (b"1;a\rb\r\na\r\n0\r\n\r\n", BodyError::Size),
            (b"ffffffffffffffff\r\n", BodyError::Size),
            (b"3\r\nabcde\r\n0\r\n\r\n", BodyError::ChunkEnd),
            (b"3\r\nabc\n0\r\n\r\n", BodyError::ChunkEnd),
            (b"0\r\nno colon\r\n\r\n", BodyError::Trailer),
            (b"0\r\n folded: x\r\n\r\n", BodyError::Trailer),
            (b"0\r\nspaced : x\r\n\r\n", BodyError::Trailer),
            (b"3\r\nab", BodyError::Truncated),
            (b"3\r\nabc\r\n", BodyError::Truncated),
            (b"0\r\n", BodyError::Truncated),
        ] {
            for piece in [1, 2, 7, bytes.len()] {
                let got = decode(Decoder::chunked(), bytes, piece).map(|(content, ..)| content);
                assert_eq!(got, Err(error), "{:?} in pieces of {piece}", String::from_utf8_lossy(bytes));
            }
        }
        assert_eq!(decode(Decoder::length(5), b"hell", 9).unwrap_err(), BodyError::Truncated);
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(SIZE_LINE_LIMIT));
        assert_eq!(decode(Decoder::chunked(), long.as_bytes(), 64).unwrap_err(), BodyError::Size);
        let long = format!("0\r\nx: {}\r\n\r\n", "x".repeat(TRAILERS_LIMIT));
        assert_eq!(decode(Decoder::chunked(), long.as_bytes(), 64).unwrap_err(), BodyError::TrailersTooLarge);
    }
}
