//! Tests of signatures, against vectors and an HMAC written out by hand.

use super::*;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use proptest::prelude::*;
use sha2::Digest;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &[u8] = br#"{"test": 2432232314}"#;

fn parse(text: &str) -> SigningKey {
    SigningKey::parse(text).unwrap()
}

fn sign(keys: &[SigningKey], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let stamp = stamp(keys.iter(), |out| out.push_str(id), timestamp_s, body);
    assert_eq!((stamp.id(), stamp.timestamp()), (id, timestamp_s.to_string().as_str()));
    stamp.signature().to_owned()
}

/// HMAC written out by RFC 2104, sharing only SHA-256 with the code under test.
fn hmac_by_hand(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::digest([block.map(|byte| byte ^ 0x36).as_slice(), text].concat());
    Sha256::digest([block.map(|byte| byte ^ 0x5c).as_slice(), &inner].concat()).into()
}

#[test]
fn the_vector_of_the_standard_webhooks_libraries_is_met() {
    let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(sign(&[parse(SECRET)], ID, 1_614_265_330, BODY), expected);
    // Without its prefix, as Svix takes it, the secret means the same.
    assert_eq!(sign(&[parse(&SECRET[6..])], ID, 1_614_265_330, BODY), expected);
}

#[test]
fn several_keys_give_their_signatures_in_order_separated_by_one_space() {
    let seed = format!("whsk_{}", STANDARD.encode([7; 32]));
    let header = sign(&[parse(SECRET), parse(&seed)], ID, 5, BODY);
    let one_by_one = [sign(&[parse(SECRET)], ID, 5, BODY), sign(&[parse(&seed)], ID, 5, BODY)].join(" ");
    assert_eq!(header, one_by_one);
    assert_eq!(sign(&[], ID, 5, BODY), "");
}

/// RFC 8032, 7.1, test 1: the public key that belongs to this seed.
#[test]
fn an_ed25519_seed_and_its_key_pair_are_the_same_key() {
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
        0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    let public = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
        0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ];
    let from_seed = parse(&format!("whsk_{}", STANDARD.encode(seed)));
    let from_pair = parse(&generate_ed25519_secret(&seed));
    let public_text = Some(format!("whpk_{}", STANDARD.encode(public)));
    assert_eq!((from_seed.public_key_text(), from_pair.public_key_text()), (public_text.clone(), public_text));

    let header = sign(&[from_seed], ID, 1_614_265_330, BODY);
    assert_eq!(header, sign(&[from_pair], ID, 1_614_265_330, BODY));
    let signature = STANDARD.decode(header.strip_prefix("v1a,").unwrap()).unwrap();
    let text = [b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.".as_slice(), BODY].concat();
    let signature = Signature::from_slice(&signature).unwrap();
    VerifyingKey::from_bytes(&public).unwrap().verify(&text, &signature).unwrap();
}

#[test]
fn secrets_of_wrong_shape_are_refused_without_being_shown() {
    let base64 = |len: usize| STANDARD.encode(vec![b'A'; len]);
    let check = |text: String, expected: SigningKeyError| {
        let error = SigningKey::parse(&text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains("QUFB"));
    };
    check(format!("whsec_{}", base64(23)), SigningKeyError::SymmetricLength { len: 23 });
    check(format!("whsec_{}", base64(76)), SigningKeyError::SymmetricLength { len: 76 });
    check(format!("whsk_{}", base64(33)), SigningKeyError::AsymmetricLength { len: 33 });
    check(format!("whsk_{}", base64(64)), SigningKeyError::KeyPairMismatch);
    check("whsec_not base64!".into(), SigningKeyError::NotBase64);
    check(base64(96) + "A", SigningKeyError::NotBase64);
    check(String::new(), SigningKeyError::SymmetricLength { len: 0 });
    assert_eq!(format!("{:?}", parse(SECRET)), "SigningKey(v1, hidden)");
}

#[test]
fn a_generated_secret_parses_and_shows_no_padding() {
    let text = generate_secret(&[0xfb; GENERATED_SECRET_LEN]);
    assert_eq!(text.as_str(), format!("whsec_{}", STANDARD.encode([0xfb; 24])));
    assert!(!text.contains('='));
    parse(&text);
}

proptest! {
    #[test]
    fn every_signature_is_the_hmac_of_id_timestamp_body(
        key in prop::collection::vec(any::<u8>(), 24..=75),
        timestamp_s: u64,
        body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let header = sign(&[parse(&format!("whsec_{}", STANDARD.encode(&key)))], ID, timestamp_s, &body);
        let text = [format!("{ID}.{timestamp_s}.").as_bytes(), &body].concat();
        prop_assert_eq!(header, format!("v1,{}", STANDARD.encode(hmac_by_hand(&key, &text))));
    }
}
