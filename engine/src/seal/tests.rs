//! Tests of sealing: nothing opens elsewhere, changed, or under another key.

use super::*;
use proptest::prelude::*;

fn key(byte: u8) -> MasterKey {
    MasterKey::new([byte; MASTER_KEY_LEN])
}

fn place(app: u32, endpoint: u32, purpose: SealPurpose) -> SealContext {
    SealContext { app: AppId(app), endpoint: EndpointId(endpoint), purpose }
}

const HERE: SealContext = SealContext { app: AppId(7), endpoint: EndpointId(9), purpose: SealPurpose::SigningSecret };

#[test]
fn sealed_bytes_open_only_where_they_were_sealed() {
    let sealed = key(1).seal(b"whsec_canary", HERE).unwrap();
    assert_eq!(key(1).open(&sealed, HERE).unwrap().expose(), b"whsec_canary");
    for elsewhere in [
        place(8, 9, SealPurpose::SigningSecret),
        place(7, 8, SealPurpose::SigningSecret),
        place(9, 7, SealPurpose::SigningSecret),
        place(7, 9, SealPurpose::Headers),
    ] {
        assert_eq!(key(1).open(&sealed, elsewhere), Err(OpenError::NotAuthentic), "{elsewhere:?}");
    }
    assert_eq!(key(2).open(&sealed, HERE), Err(OpenError::NotAuthentic));
}

#[test]
fn the_layout_is_version_nonce_ciphertext_tag_and_the_nonce_is_fresh() {
    let first = key(1).seal(b"same", HERE).unwrap().0;
    let second = key(1).seal(b"same", HERE).unwrap().0;
    assert_eq!(first.len(), 1 + 12 + 4 + 16);
    assert_eq!(first[0], 1);
    assert_ne!(first[1..13], second[1..13]);
    assert_ne!(first[13..], second[13..]);
}

/// Bytes that a released version wrote must open for ever. Computed with Python's `cryptography` package:
/// `AESGCM(bytes([1]) * 32).encrypt(bytes(range(12)), b"whsec_old", b"pinion.seal\x01\0\0\0\x07\0\0\0\x09\x01")`.
#[test]
fn bytes_of_layout_1_still_open() {
    let mut sealed = vec![1];
    sealed.extend(0..12u8);
    sealed.extend(FIXTURE);
    assert_eq!(key(1).open(&SealedBytes(sealed), HERE).unwrap().expose(), b"whsec_old");
}

const FIXTURE: [u8; 25] =
    [204, 206, 230, 67, 67, 161, 105, 21, 154, 84, 205, 15, 248, 109, 33, 209, 137, 92, 35, 44, 154, 130, 182, 45, 147];

#[test]
fn errors_and_debug_carry_no_secret() {
    assert_eq!(format!("{:?}", key(65)), "MasterKey(hidden)");
    let too_long = key(1).seal(&vec![b'x'; PLAIN_LEN_MAX + 1], HERE).unwrap_err();
    assert_eq!(too_long.to_string(), "65537 bytes are too many to seal; the limit is 65536");
    assert!(!MasterKey::from_base64("canary").unwrap_err().to_string().contains("canary"));
}

#[test]
fn a_short_an_empty_and_a_future_layout_are_told_apart() {
    assert_eq!(key(1).open(&SealedBytes(vec![]), HERE), Err(OpenError::Length { len: 0 }));
    assert_eq!(key(1).open(&SealedBytes(vec![1; 28]), HERE), Err(OpenError::Length { len: 28 }));
    let mut sealed = key(1).seal(b"", HERE).unwrap();
    sealed.0[0] = 2;
    assert_eq!(key(1).open(&sealed, HERE), Err(OpenError::UnknownVersion { version: 2 }));
}

#[test]
fn the_text_form_of_a_master_key_is_32_bytes_in_base64() {
    let text = format!(" {}\n", STANDARD.encode([3; 32]));
    let sealed = key(3).seal(b"x", HERE).unwrap();
    assert!(MasterKey::from_base64(&text).unwrap().open(&sealed, HERE).is_ok());
    assert!(MasterKey::from_base64(&STANDARD.encode([3; 31])).is_err());
}

proptest! {
    #[test]
    fn every_secret_round_trips(plain in proptest::collection::vec(any::<u8>(), 0..300), app: u32, endpoint: u32) {
        let context = place(app, endpoint, SealPurpose::Headers);
        let sealed = key(5).seal(&plain, context).unwrap();
        let opened = key(5).open(&sealed, context).unwrap();
        prop_assert_eq!(opened.expose(), plain.as_slice());
    }

    #[test]
    fn any_flipped_bit_is_noticed(plain in proptest::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index, bit in 0..8u32) {
        let mut sealed = key(5).seal(&plain, HERE).unwrap();
        let at = at.index(sealed.0.len());
        sealed.0[at] ^= 1 << bit;
        prop_assert!(key(5).open(&sealed, HERE).is_err());
    }
}
