//! Tests of target URLs: what is taken, what is refused, and odd forms of addresses.

use super::*;
use proptest::prelude::*;

fn normal(text: &str) -> Result<String, TargetError> {
    check_url(text, &Guard::default()).map(|url| url.uri().to_string())
}

fn refused(text: &str) -> bool {
    matches!(check_url(text, &Guard::default()), Err(TargetError::Refused(_)))
}

#[test]
fn a_url_comes_out_in_its_normal_form() {
    for (text, expected) in [
        ("https://Example.COM/Hook?a=B#part", "https://example.com/Hook?a=B"),
        ("HTTPS://example.com:443", "https://example.com/"),
        ("http://example.com.:8080?x=1", "http://example.com:8080/?x=1"),
        ("http://example.com:00080/", "http://example.com/"),
        ("http://134744072/", "http://8.8.8.8/"),
        ("http://0x08.8.010.8/", "http://8.8.8.8/"),
        ("https://[2606:4700:0::1111]:8443/x", "https://[2606:4700::1111]:8443/x"),
        ("https://user:pass@example.com/x", "https://example.com/x"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://under_score.example/a@b", "https://under_score.example/a@b"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example:8443/x", "https://xn--bcher-kva.example:8443/x"),
        ("https://例え.テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://example。com/", "https://example.com/"),
        ("https://example.com/naïve/ключ?q=ü", "https://example.com/na%C3%AFve/%D0%BA%D0%BB%D1%8E%D1%87?q=%C3%BC"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com:", "http://example.com/"),
        ("https://[2606:4700::1111]:/", "https://[2606:4700::1111]/"),
        ("https://example.com?x=1#y?z", "https://example.com/?x=1"),
    ] {
        assert_eq!(normal(text), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn every_spelling_of_a_refused_address_is_refused_at_once() {
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7f.0x0.0x0.0x1",
        "017700000001",
        "0177.0.0.1",
        "0177.0.0.01",
        "127.0.0.1.",
        "0X7F.1",
        "0",
        "0x",
        "0.0.0.0",
        "10.1.2.3",
        "167837955",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "192.168.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "4294967295",
        "localhost",
        "LOCALHOST.",
        "a.b.localhost",
        "１２７.０.０.１",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "LocalHoſt",
        "ⓛocalhost",
        "169.254.169.254.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "[ff02::1]",
        "[5f00::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[4000::1]",
        "[2606:4700::5efe:10.0.0.1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
    ] {
        for form in [format!("http://{host}/"), format!("https://{host}:8443"), format!("http://8.8.8.8@{host}?q")] {
            assert!(refused(&form), "{form} escaped");
        }
    }
}

#[test]
fn malformed_urls_say_what_is_wrong() {
    for (text, expected) in [
        ("ftp://example.com/", TargetError::Scheme),
        ("example.com", TargetError::Scheme),
        ("javascript:alert(1)//://x", TargetError::Scheme),
        ("http:/example.com", TargetError::Scheme),
        ("http://", TargetError::Host),
        ("http:///path", TargetError::Host),
        ("http://user@/", TargetError::Host),
        ("http://a..b/", TargetError::Host),
        ("http://./", TargetError::Host),
        ("http://exa%6dple.com/", TargetError::Host),
        ("http://1.2.3.4.5/", TargetError::Host),
        ("http://256.1.1.1/", TargetError::Host),
        ("http://1.2.3.08/", TargetError::Host),
        ("http://4294967296/", TargetError::Host),
        ("http://1.+2/", TargetError::Host),
        ("http://[fe80::1%25eth0]/", TargetError::Host),
        ("http://[::1/", TargetError::Host),
        ("http://[::1]x/", TargetError::Host),
        ("http://example.com:0/", TargetError::Port),
        ("http://example.com:65536/", TargetError::Port),
        ("http://example.com:80:80/", TargetError::Port),
        ("http://example.com:+80/", TargetError::Port),
        ("http://a@b@example.com/", TargetError::UserInfo),
        ("http://a%zz@example.com/", TargetError::UserInfo),
        ("http://a%4@example.com/", TargetError::UserInfo),
        ("http://example.com/a b", TargetError::Character),
        ("http://example.com/\r\nX: y", TargetError::Character),
        ("http://example.com\\@127.0.0.1/", TargetError::Character),
        ("http://example.com/\u{a0}", TargetError::Character),
        ("http://example.com/\u{85}", TargetError::Character),
        ("http://ex\u{2028}ample.com/", TargetError::Character),
        ("http://xn--a.example/", TargetError::Host),
        ("http://a!b.example/", TargetError::Host),
        ("http://%31%32%37.0.0.1/", TargetError::Host),
        ("http://example.com%00/", TargetError::Host),
        ("http://:80/", TargetError::Host),
        ("http://user@:80/path", TargetError::Host),
        ("http:////example.com/", TargetError::Host),
    ] {
        assert_eq!(normal(text), Err(expected), "{text}");
    }
    let long = format!("http://example.com/{}", "x".repeat(URL_LEN_MAX));
    assert_eq!(normal(&long), Err(TargetError::TooLong { len: long.len() }));
    assert!(normal(&long[..URL_LEN_MAX]).is_ok());
    assert_eq!(normal(&format!("http://{}/", "a".repeat(64))), Err(TargetError::Host));
}

#[test]
fn user_name_and_password_become_a_hidden_header() {
    let url = check_url("https://us%65r:p%40ss%3A@example.com/x", &Guard::default()).unwrap();
    let value = url.authorization().unwrap();
    assert_eq!(value, &format!("Basic {}", STANDARD.encode("user:p@ss:")));
    let shown = format!("{url:?} {}", url.host_and_port());
    assert!(!shown.contains("user") && !shown.contains("Basic") && !shown.contains("ss"), "{shown}");
    assert!(check_url("https://@example.com/", &Guard::default()).unwrap().authorization().is_none());
    let error = check_url("https://canary:canary@10.0.0.1/", &Guard::default()).unwrap_err();
    assert!(!error.to_string().contains("canary"));
}

#[test]
fn an_allowed_range_opens_its_literals_and_localhost() {
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
    for url in ["http://127.0.0.1:8080/", "http://localhost:1/", "http://2130706433/"] {
        assert!(check_url(url, &guard).is_ok(), "{url}");
    }
    assert!(check_url("http://[::1]/", &guard).is_err());
}

proptest! {
    #[test]
    fn no_text_panics_and_what_passes_is_its_own_normal_form(text in "(https?://)?([ -~]|[à-ÿ。ⓛ１]){0,40}") {
        if let Ok(first) = check_url(&text, &Guard::default()) {
            let again = check_url(&first.uri().to_string(), &Guard::default()).unwrap();
            prop_assert_eq!(first.uri(), again.uri());
            prop_assert!(first.uri().host().is_some_and(|host| !host.is_empty()));
            prop_assert!(!first.host_and_port().contains('@'));
        }
    }

    /// However an IPv4 address is written, it is read as the same address.
    #[test]
    fn every_spelling_means_the_same_address(bits: u32, form in 0..6) {
        let [a, b, c, d] = bits.to_be_bytes();
        let host = match form {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{bits}"),
            2 => format!("{bits:#x}"),
            3 => format!("0{bits:o}"),
            4 => format!("{a:#x}.0{b:o}.{}", u16::from_be_bytes([c, d])),
            _ => format!("{a}.{}", bits & 0x00ff_ffff),
        };
        let guard = Guard::new(vec!["0.0.0.0/0".parse().unwrap()]);
        // Metadata addresses stay refused.
        if let Ok(url) = check_url(&format!("http://{host}/"), &guard) {
            prop_assert_eq!(url.uri().host().unwrap(), Ipv4Addr::from_bits(bits).to_string());
        } else {
            prop_assert!(guard.check_ip(Ipv4Addr::from_bits(bits).into()).is_err());
        }
    }
}

#[test]
fn where_https_is_demanded_http_is_refused() {
    let guard = Guard::default().with_https_only(true);
    assert_eq!(check_url("http://example.com/", &guard).unwrap_err(), TargetError::NotHttps);
    assert!(check_url("https://example.com/", &guard).is_ok());
}
