//! Root files that are taken and refused, and the words for certificates that fail.

use super::*;

fn section(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn pem(count: usize) -> String {
    let certificate = |n| rcgen::generate_simple_self_signed([format!("a{n}.example")]).unwrap().cert;
    (0..count).map(|n| section("CERTIFICATE", certificate(n).der())).collect()
}

#[test]
fn a_bundle_gives_each_of_its_certificates() {
    assert_eq!(read_roots(pem(3).as_bytes()).unwrap().len(), 3);
    let with_comments = format!("# ours\n{}\ntrailing words\n", pem(1));
    assert_eq!(read_roots(with_comments.as_bytes()).unwrap().len(), 1);
}

#[test]
fn a_file_without_a_usable_certificate_is_refused_in_words() {
    let key = section("PRIVATE KEY", &rcgen::KeyPair::generate().unwrap().serialize_der());
    for (text, expected) in [
        (String::new(), "no certificate"),
        ("not PEM at all".to_owned(), "no certificate"),
        (key, "no certificate"),
        (pem(1).replace("-----END CERTIFICATE-----", ""), "no END line"),
        (format!("{}-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", pem(1)), "certificate 2"),
    ] {
        let error = read_roots(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn certificates_that_fail_are_named_by_their_flaw() {
    let table = [
        (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), "self-signed or from an unknown authority"),
        (TlsError::InvalidCertificate(CertificateError::Expired), "expired"),
        (TlsError::InvalidCertificate(CertificateError::NotValidYet), "not valid yet"),
        (TlsError::InvalidCertificate(CertificateError::NotValidForName), "not valid for this name"),
        (TlsError::AlertReceived(AlertDescription::CertificateRequired), "client certificate"),
        (TlsError::NoCertificatesPresented, "no certificate"),
    ];
    for (error, expected) in table {
        let text = words(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(text.contains(expected), "{text}");
    }
}
