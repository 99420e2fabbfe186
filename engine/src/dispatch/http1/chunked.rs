//! The chunks of a body (RFC 9112, 7.1): takes the frame away from the data.
//!
//! ```text
//! size in hex [; extension] CRLF  data CRLF  …  0 CRLF  trailer lines  CRLF
//! ```
//! Byte by byte where it is frame, in one piece where it is data; nothing is kept between pieces but the state.
//! Extensions and trailers are skipped; that they end is seen to by the bound on what is read of an answer. Strict
//! otherwise: lines end with CRLF, and a size has at most 16 digits.
//!
//! Pure. No limit of its own.

use super::answer::MalformedAnswer;

/// Digits of the largest size.
const DIGITS_MAX: u8 = 16;

/// Place of the next byte in the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// Behind the digits: white space, an extension.
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    Trailer,
    TrailerLine,
    TrailerLf,
    EndLf,
    End,
}

/// Reads the chunks of one body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    digits: u8,
    /// Of the chunk that is read: while at its size, as far as that is known.
    left: u64,
}

impl Chunks {
    /// True if the last chunk and all behind it was read.
    pub(super) fn is_complete(&self) -> bool {
        self.at == At::End
    }

    /// Takes bytes and hands on those that are data. Answers how many were taken: all, unless the body ends before.
    pub(super) fn feed(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, MalformedAnswer> {
        let mut read = 0;
        while read < bytes.len() && self.at != At::End {
            if self.at == At::Data {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - read);
                data(&bytes[read..read + len]);
                read += len;
                self.left -= len as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            self.at = self.step(bytes[read])?;
            read += 1;
        }
        Ok(read)
    }

    /// Takes one byte of the frame.
    fn step(&mut self, byte: u8) -> Result<At, MalformedAnswer> {
        Ok(match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.digits < DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).ok_or(MalformedAnswer::Chunk)?;
                self.digits += 1;
                self.left = self.left << 4 | u64::from(digit);
                At::Size
            }
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';' | b' ' | b'\t') if self.digits > 0 => At::Extension,
            (At::Extension, b'\r') => At::SizeLf,
            // A bare line feed ends a line for some: it must not be in here for us.
            (At::Extension, other) if other != b'\n' => At::Extension,
            (At::SizeLf, b'\n') => {
                self.digits = 0;
                if self.left == 0 { At::Trailer } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::EndLf,
            (At::Trailer | At::TrailerLine, other) if other != b'\r' && other != b'\n' => At::TrailerLine,
            (At::TrailerLine, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::Trailer,
            (At::EndLf, b'\n') => At::End,
            _ => return Err(MalformedAnswer::Chunk),
        })
    }
}
