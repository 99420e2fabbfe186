//! A request as bytes. The few headers that are needed are written in place.

use std::net::SocketAddr;

/// A request with a JSON body (empty: none), authorised by `key`.
pub(crate) fn request(method: &str, host: SocketAddr, path: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(method, host, path, key, body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn head(method: &str, host: SocketAddr, path: &str, key: &str, body_len: usize) -> String {
    let what = if body_len > 0 { "content-type: application/json\r\n" } else { "" };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n{what}content-length: {body_len}\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_the_standard_says() {
        let host = SocketAddr::from(([127, 0, 0, 1], 80));
        let bytes = request("POST", host, "/a", "k", b"{}");
        let expected = "POST /a HTTP/1.1\r\nhost: 127.0.0.1:80\r\nauthorization: Bearer k\r\n\
                        content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
