//! Bytes of strangers, on a small scale in every test run; `fuzz/` does it for as long as one likes.

mod oracle;

use proptest::prelude::*;

/// Pieces of heads, of which some fit together.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST http://a.test:80/x?y HTTP/1.1\r\n", "TRACE * HTTP/1.0\r\n", "HTTP/1.1 200 OK\r\n",
            "HTTP/1.0 304\r\n", "HTTP/1.1 101 Switching\n", "Host: a.test\r\n", "host:A.test:80\r\n", "X-Real_IP: 1\r\n",
            "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close, x-a\r\n", "X-A : b\r\n",
            "Max-Forwards: 1\r\n", "Cookie: a=1\r\n", " folded\r\n", "\r\n", "\n", "\r", ":", " ", "\t",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..9).prop_map(|pieces| [pieces.concat(), b"\r\n\r\n".to_vec()].concat())
}

fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "5\r\nhello\r\n", "00A;x=\"y\"\r\n0123456789\r\n", "1\r\na\r\n", "0\r\n", "\r\n", "x-sum: 1\r\n", "x-sum : 1\r\n",
            "content-length: 5\r\n", "ffffffffffffffff\r\n", "\n", "\r", ";",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

fn http2() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::sample::select(vec![
        "cookie:a=1",
        "cookie:b=2",
        "cookie:",
        "host:a.test",
        "host:A.test:80",
        "host:b.test",
        "host:a b",
        "host:u@a.test",
        "te:trailers",
        "te:gzip",
        "content-length:5",
        "content-length:x",
        "x-forwarded-for:6.6.6.6",
        "x_real_ip:6.6.6.6",
        "x-a: 1",
        "x-a:1 ",
        "connection:x",
        "transfer-encoding:chunked",
        "max-forwards:0",
        "x-\u{e9}:1",
        "x:\u{e9}",
    ]);
    let target = prop::sample::select(vec![
        "http://a.test/",
        "https://a.test:443/x?y",
        "/x",
        "*",
        "http://u@a.test/",
        "http://[::1]/",
        "http://a.test/\u{e9}",
        "a.test:443",
        "http://a.test/x?y#z",
        "http://a_b.test/\"",
    ]);
    let method = prop::sample::select(vec!["GET", "OPTIONS", "CONNECT", "M-SEARCH", "g!t"]);
    (method, target, prop::collection::vec(lines, 0..6))
        .prop_map(|(method, target, lines)| format!("{method}\n{target}\n{}", lines.join("\n")).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn heads_that_are_accepted_are_read_again_as_they_are_sent_on(bytes in head()) {
        oracle::request_head(&bytes);
        oracle::response_head(&bytes);
    }

    #[test]
    fn chunked_bodies_are_the_same_in_any_pieces(bytes in chunks(), piece in 1..9_usize) {
        oracle::chunked_body(&bytes, piece);
    }

    #[test]
    fn what_comes_over_http_2_is_one_request_of_http_1(bytes in http2()) {
        oracle::http2_head_of_bytes(&bytes);
    }

    #[test]
    fn hosts_and_paths_have_one_form(text in "(/([ab]|\\.|%2[eE]|%2[fF]|%[0-9a-fA-F]{2}|é|;|\\\\){0,3}){1,6}|.*") {
        oracle::host_and_path(&text);
    }
}
