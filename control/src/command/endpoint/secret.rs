//! Signing secrets of an endpoint: given, made, rotated with an overlap, shown. They lie on the disk sealed.
//!
//! The secret that is shown is the one that a receiver verifies with: of an ed25519 secret, the public key only. Old
//! secrets are never listed: they sign until they end.

use super::{Set, save_together};
use crate::checks::Checks;
use crate::command::{At, Changed, Command, Draw, Reach, Repeatable};
use crate::error::Error;
use crate::find::EndpointName;
use crate::limits::{GRACE_PERIOD_DEFAULT_S, GRACE_PERIOD_MAX_S, OLD_SECRETS_MAX, Rules};
use crate::seals::Seals;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use engine::config::SecretKind;
use engine::prepare::sign::{GENERATED_SECRET_LEN, RAW_PREFIX};
use engine::prepare::{SigningKey, generate_ed25519_secret, generate_raw_secret, generate_secret};
use engine::seal::SealPurpose;
use model::endpoint::EndpointSecret;
use model::{AppId, Endpoint, EndpointRef, SecretBytes, UnixMs};
use sha2::{Digest, Sha256};
use storage::Txn;
use zeroize::Zeroizing;

/// The prefix of an ed25519 secret.
const ED25519_PREFIX: &str = "whsk_";

/// A secret in the clear, cleared from memory when dropped.
pub type SecretText = Zeroizing<String>;

/// Puts a new signing secret in place; the old one goes on to sign beside it for a while. A secret that is made is of
/// the kind of the present one, which the receiver can verify.
pub struct RotateSecret {
    /// Whose.
    pub endpoint: EndpointName,
    /// The new secret; none to have one made.
    pub secret: Option<SecretText>,
    /// Seconds for which the replaced secret goes on to sign. Default: a day.
    pub grace_period_s: Option<u64>,
}

impl Command for RotateSecret {
    const NAME: &'static str = "endpoint.rotate-secret";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        let grace_period_s = self.grace_period_s.iter();
        grace_period_s.for_each(|seconds| checks.within("gracePeriodSeconds", *seconds, &(0..=GRACE_PERIOD_MAX_S)));
        read_secret(checks, "key", &mut self.secret);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let old = self.endpoint.find(txn)?;
        let secret = match (self.secret, current(at.seals, &old)?) {
            (Some(given), _) => given,
            (None, Some(present)) => new_secret_like(text_of(&present)?, at.draw),
            (None, None) => new_secret(at.rules.secret_kind, at.draw),
        };
        let grace_period_ms = self.grace_period_s.unwrap_or(GRACE_PERIOD_DEFAULT_S) * 1_000;
        let new = seal_secret(at.seals, old.target(), &secret)?;
        let secrets = rotated(&old.secrets, new, grace_period_ms, at.now)?;
        let row = Endpoint { secrets, updated_at: at.now, ..old.clone() };
        save_together(at, txn, old, row, &Set::Secret("key"))
    }
}

impl Repeatable for RotateSecret {
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
        let target = self.endpoint.find(txn)?.target();
        Ok((target.app, format!("rotate/{}", target.endpoint.0)))
    }

    fn number(changed: &Endpoint) -> u64 {
        changed.secrets.first().map_or(0, reference)
    }

    /// The endpoint as the first rotation left it. Never a second rotation for one key, also when others have replaced
    /// the secret that the first one made.
    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Endpoint>, Error> {
        let mut row = self.endpoint.find(txn)?;
        let gone = || Error::Conflict("the secret that this rotation made is not kept any more".into());
        let made = row.secrets.iter().position(|secret| reference(secret) == number).ok_or_else(gone)?;
        row.secrets.drain(..made);
        Ok(Some(row))
    }
}

/// Shows the secret that a receiver verifies with. Whoever saw it can sign, so it is in the audit log, in a commit before the
/// answer.
pub struct RevealSecret {
    /// Whose.
    pub endpoint: EndpointName,
}

impl Command for RevealSecret {
    const NAME: &'static str = "endpoint.reveal-secret";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn apply(self, _: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        Ok(Changed::Seen(self.endpoint.find(txn)?))
    }
}

/// The secrets after `new` took over: those that expired are gone, the replaced one ends after the grace period.
///
/// # Errors
/// [`Error::TooManySecrets`] when more old secrets would be valid at once than may be.
fn rotated(
    current: &[EndpointSecret],
    new: EndpointSecret,
    grace_period_ms: u64,
    now: UnixMs,
) -> Result<Vec<EndpointSecret>, Error> {
    let until = now.plus_ms(grace_period_ms);
    let old = current
        .iter()
        .map(|secret| EndpointSecret { expires_at: Some(secret.expires_at.unwrap_or(until)), ..secret.clone() })
        .filter(|secret| secret.expires_at.is_some_and(|at| at > now));
    let secrets: Vec<EndpointSecret> = std::iter::once(new).chain(old).collect();
    if secrets.len() > OLD_SECRETS_MAX + 1 { Err(Error::TooManySecrets) } else { Ok(secrets) }
}

/// A number that tells a secret from the others of its endpoint and says nothing of it: it is a hash of the sealed
/// bytes.
fn reference(secret: &EndpointSecret) -> u64 {
    Sha256::digest(&secret.sealed.0).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A new secret of the kind of another.
fn new_secret_like(present: &str, draw: &Draw) -> SecretText {
    if present.starts_with(RAW_PREFIX) {
        generate_raw_secret(&draw.secret)
    } else {
        new_secret(SecretKind::of(present), draw)
    }
}

/// The secret of a new endpoint that brings none. One that signs in hex has a receiver that knows a plain text.
pub(super) fn first_secret(row: &Endpoint, kind: SecretKind, draw: &Draw) -> SecretText {
    match &row.signature_format {
        Some(format) if format.scheme.is_hex() => generate_raw_secret(&draw.secret),
        _ => new_secret(kind, draw),
    }
}

/// A new secret.
fn new_secret(kind: SecretKind, draw: &Draw) -> SecretText {
    match kind {
        SecretKind::Hmac => {
            let mut random = Zeroizing::new([0; GENERATED_SECRET_LEN]);
            random.copy_from_slice(&draw.secret[..GENERATED_SECRET_LEN]);
            generate_secret(&random)
        }
        SecretKind::Ed25519 => generate_ed25519_secret(&draw.secret),
    }
}

/// Gives an endpoint a secret in place of all that it has, unless it is the current one already: then those that still
/// sign beside it stay.
pub(super) fn set_secret(seals: &Seals, row: &mut Endpoint, secret: Option<&SecretText>) -> Result<(), Error> {
    let Some(secret) = secret else { return Ok(()) };
    if current(seals, row)?.is_none_or(|current| current.expose() != secret.as_bytes()) {
        row.secrets = vec![seal_secret(seals, row.target(), secret)?];
    }
    Ok(())
}

/// A secret as it lies on the disk, current.
pub(super) fn seal_secret(seals: &Seals, target: EndpointRef, text: &SecretText) -> Result<EndpointSecret, Error> {
    let sealed = seals.seal(target, SealPurpose::SigningSecret, text.as_bytes())?;
    Ok(EndpointSecret { sealed, expires_at: None })
}

/// Notes the faults of a secret that a caller gave, and brings it into the form that strict verifiers read: prefix,
/// standard base64, padding.
pub(super) fn read_secret(checks: &mut Checks, field: &str, text: &mut Option<SecretText>) {
    let Some(given) = text else { return };
    match canonical(given) {
        Ok(canonical) => *given = canonical,
        Err(msg) => checks.wrong(&[field], msg, "value_error.secret"),
    }
}

fn canonical(given: &str) -> Result<SecretText, String> {
    SigningKey::parse(given).map_err(|error| error.to_string())?;
    if given.starts_with(RAW_PREFIX) {
        return Ok(Zeroizing::new(given.to_owned()));
    }
    let (prefix, digits) = match given.strip_prefix(ED25519_PREFIX) {
        Some(digits) => (ED25519_PREFIX, digits),
        None => ("whsec_", given.strip_prefix("whsec_").unwrap_or(given)),
    };
    let bytes = STANDARD_NO_PAD.decode(digits.trim_end_matches('=')).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| "a signing secret is base64 behind its prefix".to_owned())?;
    let mut canonical = Zeroizing::new(prefix.to_owned());
    STANDARD.encode_string(bytes.as_slice(), &mut canonical);
    Ok(canonical)
}

/// The current secret in the clear; none when there is none.
fn current(seals: &Seals, row: &Endpoint) -> Result<Option<SecretBytes>, Error> {
    let current = row.secrets.first();
    current.map(|current| seals.open(row.target(), SealPurpose::SigningSecret, &current.sealed)).transpose()
}

/// True if the current secret is one of ed25519.
pub(super) fn has_ed25519(seals: &Seals, row: &Endpoint) -> Result<bool, Error> {
    let Some(plain) = current(seals, row)? else { return Ok(false) };
    Ok(text_of(&plain)?.starts_with(ED25519_PREFIX))
}

fn text_of(plain: &SecretBytes) -> Result<&str, Error> {
    std::str::from_utf8(plain.expose()).map_err(|_| Error::Internal)
}

/// The secret that an endpoint signs with now, private key and all.
///
/// # Errors
/// [`Error::NotFound`] when it has none, [`Error::Internal`] when it does not open.
pub(super) fn signing_secret(seals: &Seals, row: &Endpoint) -> Result<SecretText, Error> {
    let plain = current(seals, row)?.ok_or(Error::NotFound("secret"))?;
    Ok(text_of(&plain)?.to_owned().into())
}

/// The key that a receiver of this endpoint verifies with.
///
/// # Errors
/// [`Error::NotFound`] when it has no secret, [`Error::Internal`] when it does not open.
pub fn verification_key(seals: &Seals, row: &Endpoint) -> Result<SecretText, Error> {
    let plain = current(seals, row)?.ok_or(Error::NotFound("secret"))?;
    let secret = text_of(&plain)?;
    if !secret.starts_with(ED25519_PREFIX) {
        return Ok(Zeroizing::new(secret.to_owned()));
    }
    let key = SigningKey::parse(secret).ok().and_then(|key| key.public_key_text());
    key.map(Zeroizing::new).ok_or_else(|| {
        tracing::error!("a stored signing secret could not be read");
        Error::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::SealedBytes;

    fn secret(byte: u8, expires_at: Option<u64>) -> EndpointSecret {
        EndpointSecret { sealed: SealedBytes(vec![byte]), expires_at: expires_at.map(UnixMs) }
    }

    #[test]
    fn the_replaced_secret_ends_after_its_grace_and_expired_ones_go() {
        let current = [secret(3, None), secret(2, Some(150)), secret(1, Some(90))];
        let after = rotated(&current, secret(4, None), 1_000, UnixMs(100)).unwrap();
        assert_eq!(after, [secret(4, None), secret(3, Some(1_100)), secret(2, Some(150))]);
    }

    #[test]
    fn without_grace_the_replaced_secret_ends_at_once() {
        let after = rotated(&[secret(1, None)], secret(2, None), 0, UnixMs(100)).unwrap();
        assert_eq!(after, [secret(2, None)]);
    }

    #[test]
    fn only_so_many_old_secrets_are_valid_at_once() {
        let mut secrets = vec![secret(0, None)];
        for round in 1..=10 {
            secrets = rotated(&secrets, secret(round, None), 1_000, UnixMs(100)).unwrap();
        }
        assert!(matches!(rotated(&secrets, secret(11, None), 1_000, UnixMs(100)), Err(Error::TooManySecrets)));
    }

    fn read(text: &str) -> Result<SecretText, Error> {
        let (mut checks, mut text) = (Checks::default(), Some(Zeroizing::new(text.to_owned())));
        read_secret(&mut checks, "key", &mut text);
        checks.finish()?;
        Ok(text.unwrap())
    }

    #[test]
    fn a_given_secret_gets_its_prefix_and_padding() {
        let bare = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA";
        for text in [bare.to_owned(), format!("whsec_{bare}"), format!("whsec_{bare}==")] {
            assert_eq!(read(&text).unwrap().as_str(), format!("whsec_{bare}=="));
        }
    }

    #[test]
    fn a_plain_text_stays_as_it_is_and_is_followed_by_one_of_its_kind() {
        let raw = "raw:It's a Secret to Everybody";
        assert_eq!(read(raw).unwrap().as_str(), raw);
        let draw = Draw { salt: 0, secret: Zeroizing::new([0xab; 32]), challenge: [9; 32] };
        let next = new_secret_like(raw, &draw);
        assert_eq!(next.as_str(), format!("raw:{}", "ab".repeat(32)));
        assert!(read(&next).is_ok());
    }

    #[test]
    fn what_is_no_secret_is_refused_at_its_field() {
        let long = format!("raw:{}", "a".repeat(121));
        for text in ["raw:short", "raw: a text with space in front", "raw:äääääääääääääää", &long] {
            assert!(matches!(read(text), Err(Error::Invalid(_))), "{text}");
        }
        for text in ["", "whsec_", "short", "whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"] {
            let Err(Error::Invalid(wrong)) = read(text) else { panic!("{text} was taken") };
            assert_eq!(wrong[0].at, ["key"], "{text}");
        }
    }
}
