//! Content filters: an expression in CEL that says which messages an endpoint gets, by what is in them.
//!
//! ```text
//! text ─▶ parse ─▶ bounds ─▶ Compiled ─┐
//!            event ─▶ convert ─▶ Content ─┴─▶ judge ─▶ Verdict
//! ```
//! - *Who owns the state:* a compiled expression is part of its endpoint's plan; a converted event is kept beside the
//!   offer that brought it ([`crate::endpoint::offer`]), for all endpoints of a shard.
//! - *What bounds it:* [`TEXT_BYTES_MAX`] and the shape of the expression ([`bounds`]); steps of an evaluation
//!   ([`STEPS_MAX`]), which are known before it begins.
//! - *Hostile input:* a message that would take more steps is not evaluated and does not match. A panic of the
//!   interpreter is caught and counts as an error.
//!
//! An error, of whatever kind, means that the message does not match. It is counted.
//!
//! Pure. See docs/adr/0023-content-filters.md.

mod bounds;
mod convert;

pub use convert::{Content, Parts};

use bounds::Cost;
use cel::common::ast::IdedExpr;
use cel::parser::{ParseErrors, PrattParser};
use cel::{ExecutionError, Value};
use model::Event;
use std::fmt::{self, Display, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use thiserror::Error;

/// Bytes of an expression.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Steps of one evaluation: some milliseconds at worst.
pub const STEPS_MAX: u64 = 200_000;

/// Signs of an expression that are neither letters nor digits nor spaces. The parser's time grows with their square.
const SIGNS_MAX: usize = 512;

/// Parts of an expression inside one another, as the parser counts them.
const PARSER_LEVELS_MAX: u16 = 32;

/// Bytes of the words of an error: an interpreter's error may hold a whole payload.
const WORDS_BYTES_MAX: usize = 300;

/// The variables of a message.
const VARIABLES: [&str; 5] = ["payload", "eventType", "eventId", "channels", "tags"];

/// The reason why an expression cannot be a filter.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FilterFault {
    /// It is longer than [`TEXT_BYTES_MAX`], or too much is in it.
    #[error("the expression is too long or too deep")]
    TooLong,
    /// It is not of the language.
    #[error("line {line}, column {column}: {words}")]
    Syntax {
        /// From 1.
        line: u32,
        /// From 1.
        column: u32,
        /// The parser's.
        words: String,
    },
    /// It names a variable that messages do not have.
    #[error("there is no variable {0:?}; there are payload, eventType, eventId, channels and tags")]
    UnknownVariable(String),
    /// It calls a function that there is not.
    #[error("there is no function {name:?} with {arguments} arguments")]
    UnknownFunction {
        /// Its name.
        name: String,
        /// The number of its arguments, without the value that it is called on.
        arguments: usize,
    },
    /// It has a shape whose work cannot be bounded.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

impl FilterFault {
    const fn unsupported(shape: &'static str) -> FilterFault {
        FilterFault::Unsupported(shape)
    }
}

/// The answer of a filter about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The message is for the endpoint.
    Matches,
    /// It is not.
    Differs,
    /// It is not, as the evaluation failed. The words may name values of the payload.
    Failed(String),
}

/// A content filter. Two are equal if their texts are.
#[derive(Debug)]
pub struct ContentFilter {
    text: Box<str>,
    /// Compiled at the first question: the router holds filters and never asks. None if the text is no filter.
    compiled: OnceLock<Option<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    expression: IdedExpr,
    cost: Cost,
}

impl PartialEq for ContentFilter {
    fn eq(&self, other: &ContentFilter) -> bool {
        self.text == other.text
    }
}

impl Eq for ContentFilter {}

/// Checks the text of a filter.
///
/// # Errors
/// Why it cannot be one.
pub fn check_filter(text: &str) -> Result<(), FilterFault> {
    compile(text).map(drop)
}

fn compile(text: &str) -> Result<Compiled, FilterFault> {
    let signs = text.chars().filter(|sign| !sign.is_alphanumeric() && !sign.is_whitespace()).count();
    if text.len() > TEXT_BYTES_MAX || signs > SIGNS_MAX {
        return Err(FilterFault::TooLong);
    }
    let parser =
        PrattParser::new().max_recursion_depth(PARSER_LEVELS_MAX).error_recovery_limit(1).error_reporting_limit(1);
    let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse(text))).map_err(|_| FilterFault::TooLong)?;
    let expression = parsed.map_err(|errors| syntax(&errors))?;
    let cost = Cost::of(&expression)?;
    Ok(Compiled { expression, cost })
}

/// The first error that the parser found, at its place.
fn syntax(errors: &ParseErrors) -> FilterFault {
    let at = |place: isize| u32::try_from(place).unwrap_or_default().max(1);
    let found = errors.errors.iter().find(|error| error.pos.0 > 0).or(errors.errors.first());
    let (place, words) = found.map_or(((1, 1), "it cannot be read"), |error| (error.pos, &*error.msg));
    FilterFault::Syntax { line: at(place.0), column: at(place.1), words: shortened(words) }
}

/// The beginning of a text. What is beyond is not even written: an error may print a whole payload.
fn shortened(words: impl Display) -> String {
    let mut beginning = Beginning(String::new());
    let _cut = write!(beginning, "{words}");
    beginning.0
}

struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = WORDS_BYTES_MAX - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

impl ContentFilter {
    /// The filter of this text, which was checked when it was set.
    #[must_use]
    pub fn new(text: &str) -> ContentFilter {
        ContentFilter { text: text.into(), compiled: OnceLock::new() }
    }

    /// Steps that the evaluation takes at most.
    #[must_use]
    pub fn steps(&self, content: &Content) -> u64 {
        self.compiled().map_or(0, |compiled| compiled.cost.steps(content.size))
    }

    /// Evaluates the expression over a message.
    #[must_use]
    pub fn judge(&self, content: &Content) -> Verdict {
        let Some(compiled) = self.compiled() else {
            return Verdict::Failed("the stored filter is none".to_owned());
        };
        if compiled.cost.steps(content.size) > STEPS_MAX {
            return Verdict::Failed("the message is too large for this filter".to_owned());
        }
        let evaluate = || Value::resolve(&compiled.expression, &content.context);
        match catch_unwind(AssertUnwindSafe(evaluate)) {
            Ok(Ok(Value::Bool(true))) => Verdict::Matches,
            Ok(Ok(Value::Bool(false))) => Verdict::Differs,
            Ok(Ok(_)) => Verdict::Failed("the result is neither true nor false".to_owned()),
            Ok(Err(ExecutionError::UndeclaredReference(name))) if content.not_json && *name == "payload" => {
                Verdict::Failed("the payload is not JSON".to_owned())
            }
            Ok(Err(error)) => Verdict::Failed(shortened(error)),
            Err(_) => Verdict::Failed("the evaluation failed".to_owned()),
        }
    }

    fn compiled(&self) -> Option<&Compiled> {
        self.compiled.get_or_init(|| compile(&self.text).ok()).as_ref()
    }
}

/// Converts an event.
#[must_use]
pub fn content_of(event: &Event) -> Content {
    Content::new(Parts {
        event_type: &event.event_type,
        event_id: event.event_id.as_deref(),
        channels: &event.channels,
        tags: event.tags(),
        payload: &event.payload,
    })
}

/// Steps that it takes to convert a payload of so many bytes.
#[must_use]
pub fn steps_to_convert(payload_bytes: usize) -> u64 {
    payload_bytes as u64 / 8
}

#[cfg(test)]
mod tests;
