//! URLs as they may be shown and kept. No parser: only the part that hides credentials.

/// A URL with its user info masked, as it may be kept and shown: `https://user:pass@host/` becomes `https://***@host/`.
///
/// User info is the text between `//` and the last `@` of the authority (RFC 3986, section 3.2.1).
#[must_use]
pub fn mask_user_info(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("//") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        // Nobody's.
        Some(0) => url.to_owned(),
        Some(1) if rest.starts_with(':') => url.to_owned(),
        Some(at) => format!("{scheme}//***{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_is_masked_and_nothing_else() {
        for (url, masked) in [
            ("https://me:secret@example.com/a?b#c", "https://***@example.com/a?b#c"),
            ("https://me@example.com", "https://***@example.com"),
            ("http://a:b@c@example.com:8/", "http://***@example.com:8/"),
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("https://example.com?a@b", "https://example.com?a@b"),
            ("https://example.com:443/", "https://example.com:443/"),
            ("https://@example.com/", "https://@example.com/"),
            ("", ""),
        ] {
            assert_eq!(mask_user_info(url), masked);
        }
    }
}
